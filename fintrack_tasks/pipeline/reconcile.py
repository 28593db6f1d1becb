"""The reconcile stage: items that passed their deadline without an end are enqueued again, or given up as lost."""

from __future__ import annotations

from fintrack_tasks.domain import Item
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.outcome import fail_item
from fintrack_tasks.store import lost_items

__all__ = ["reconcile_items"]


def reconcile_items(*, context: StageContext, limit: int = 1000) -> list[Item]:
    """The items whose deadline has passed, to be enqueued again.

    One that was enqueued again too often ends as failed, with the reason ``lost``.
    """
    with context.database.connection() as conn:
        again, given_up = lost_items.overdue(conn, context.now, context.settings.fintrack_item_deadline_seconds, limit)
    for item in given_up:
        detail = f"enqueued {lost_items.MOST_LOSSES + 1} times and never ended; are the workers of its queue up?"
        fail_item(item, "lost", detail, context=context)
    return again
