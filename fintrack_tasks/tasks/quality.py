"""The tasks that measure the quality of ended runs, and train the anomaly models once a week.

Both work page by page and end before their time limit; the rest is enqueued as another message.
"""

from __future__ import annotations

import time
from typing import Any, Final

import structlog

from fintrack_tasks.app import app
from fintrack_tasks.pipeline.quality import measure_run, train_model
from fintrack_tasks.store import quality
from fintrack_tasks.tasks.base import OUTAGES, BaseTask, connections, stage_context
from fintrack_tasks.tasks.debounce import Debounce

__all__ = ["measure_quality", "measure_soon", "train_anomaly_models"]

log = structlog.get_logger("fintrack.tasks")

_MEASURING: Final = Debounce("fintrack:measure-pending", 60)
_AT_MOST: Final = 120.0
"""Seconds of one message: half the soft time limit."""


@app.task(name="fintrack.measure_quality", base=BaseTask, bind=True, send_events=False)
def measure_quality(self: BaseTask) -> dict[str, Any]:
    """Measure the runs that have ended, the oldest first."""
    # The mark goes first: a run that ends from now on is either seen below or enqueues the next message.
    _MEASURING.begin()
    count, began = 0, time.monotonic()
    while (done := measure_run(context=stage_context())) is not None:
        count += done
        if time.monotonic() - began > _AT_MOST:
            self.apply_async()
            break
    return {"instruments": count}


def measure_soon() -> None:
    """Enqueue :func:`measure_quality` when a run waits for it, debounced.

    The schedule enqueues it every five minutes as well.
    """
    try:
        with connections().database.connection() as conn:
            waiting = quality.unmeasured(conn)
    except OUTAGES as error:
        log.warning("not_enqueued", task=measure_quality.name, error=type(error).__name__)
        return
    if waiting:
        _MEASURING.enqueue(measure_quality)


@app.task(name="fintrack.train_anomaly_models", base=BaseTask, bind=True)
def train_anomaly_models(self: BaseTask, after: int = 0) -> dict[str, Any]:
    """Train a model for each registered instrument with a year of daily bars.

    :param after: the id of the last instrument that an earlier message has handled.
    """
    count, began = 0, time.monotonic()
    while (number := train_model(context=stage_context(), after=after)) is not None:
        count, after = count + 1, number
        if time.monotonic() - began > _AT_MOST:
            self.apply_async((after,))
            break
    return {"instruments": count}
