"""The maintenance tasks: ``reconcile`` enqueues lost items again, ``cleanup`` removes old working data."""

from __future__ import annotations

from typing import Any

import structlog

from fintrack_tasks import pipeline
from fintrack_tasks.app import app
from fintrack_tasks.embedded import logs
from fintrack_tasks.store.cleanup import clean
from fintrack_tasks.tasks import orphaned_items
from fintrack_tasks.tasks.base import BaseTask, connections, settings, stage_context, utc_now
from fintrack_tasks.tasks.ingest import enqueue

__all__ = ["cleanup", "reconcile"]

log = structlog.get_logger("fintrack.tasks")


@app.task(name="fintrack.reconcile", base=BaseTask, send_events=False)
def reconcile() -> dict[str, Any]:
    """Enqueue again items that passed their deadline or lost their message; bound a local stack's logs.

    The supervisor does so each second; a stack that was started without one (``--no-restart``) has this alone.
    """
    if cut := logs.rotate_oversized(settings().fintrack_home):
        log.info("logs_cut", logs=cut)
    items = pipeline.reconcile_items(context=stage_context())
    if items:
        log.warning("items_enqueued_again", items=len(items))
    count = enqueue(items)  # before Redis is asked for more, which may be away
    missed = orphaned_items.seek(app, connections().redis, settings().fintrack_item_deadline_seconds)
    return {"enqueued": count + enqueue(missed)}


@app.task(name="fintrack.cleanup", base=BaseTask)
def cleanup() -> dict[str, Any]:
    """Remove published outbox rows and unreferenced payloads past their age."""
    with connections().database.connection() as conn:
        removed = clean(conn, utc_now())
    log.info("cleaned", **removed)
    return removed
