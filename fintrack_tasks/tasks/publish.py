"""The task that drains the outbox to Kafka: soon after each commit, and by the schedule as a safety net."""

from __future__ import annotations

from typing import Any, Final

from fintrack_tasks import pipeline
from fintrack_tasks.app import app
from fintrack_tasks.tasks.base import BaseTask, connections, stage_context
from fintrack_tasks.tasks.debounce import Debounce
from fintrack_tasks.tasks.quality import measure_soon

__all__ = ["publish", "publish_soon"]

_DRAIN: Final = Debounce("fintrack:publish-pending", 5)
_LINGER_SECONDS: Final = 0.15
"""A burst of commits is collected for so long: one drain for many costs the fleet less than one for each."""
_BUSY_SECONDS: Final = 1.0
"""A drain that finds another one at work looks again after so long."""


@app.task(name="fintrack.publish", base=BaseTask, bind=True, send_events=False)
def publish(self: BaseTask) -> dict[str, Any]:
    """Close complete runs and send what the outbox holds."""
    _DRAIN.begin()
    sent = pipeline.publish_events(context=stage_context(), producer=connections().producer)
    if sent is None:
        # What was committed since the other drain looked last must not wait for the schedule.
        publish_soon(_BUSY_SECONDS)
        return {"published": 0, "busy": True}
    measure_soon()
    return {"published": sent}


def publish_soon(countdown: float = _LINGER_SECONDS) -> None:
    """Enqueue one drain for a burst of commits. Never raises: the scheduled drain follows anyway."""
    _DRAIN.enqueue(publish, countdown)
