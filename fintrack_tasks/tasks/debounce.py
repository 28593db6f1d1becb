"""One message soon, not many: a burst of callers shares a task that is marked in Redis until it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis.exceptions
import structlog

from fintrack_tasks.tasks.base import OUTAGES, connections

__all__ = ["Debounce"]

log = structlog.get_logger("fintrack.tasks")


@dataclass(frozen=True, slots=True)
class Debounce:
    """A mark ``key`` that says that the task is enqueued. It expires after ``seconds``, so that a message that was lost
    with its worker does not silence later ones.
    """

    key: str
    seconds: int

    def begin(self) -> None:
        """The task begins: whoever finds no mark from now on enqueues the next one.

        Call it before reading what the task works on: a caller that still finds the mark has committed early enough
        to be read.
        """
        connections().redis.delete(self.key)

    def enqueue(self, task: Any, countdown: float | None = None) -> None:
        """Enqueue the task unless it is enqueued. Redis being away is no error: the schedule enqueues it as well."""
        try:
            if connections().redis.set(self.key, 1, nx=True, ex=self.seconds):
                task.apply_async(countdown=countdown)
        except (*OUTAGES, redis.exceptions.ResponseError) as error:
            log.warning("not_enqueued", task=task.name, error=type(error).__name__)
