"""Debounce: a burst of callers enqueues one task message, tracked by a key in Redis until the task begins."""

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
    """The debounce ``key`` of one task. It expires after ``seconds``, so that a message that was lost with its worker
    does not suppress later ones.
    """

    key: str
    seconds: int

    def begin(self) -> None:
        """Clear the key when the task begins: the next caller enqueues a new message.

        Call it before reading what the task works on: a caller that still finds the key has committed early enough
        for its work to be read.
        """
        connections().redis.delete(self.key)

    def enqueue(self, task: Any, countdown: float | None = None) -> None:
        """Enqueue the task unless it is enqueued already. Redis being away is no error: the schedule enqueues it,
        too."""
        try:
            if connections().redis.set(self.key, 1, nx=True, ex=self.seconds):
                task.apply_async(countdown=countdown)
        except (*OUTAGES, redis.exceptions.ResponseError) as error:
            log.warning("not_enqueued", task=task.name, error=type(error).__name__)
