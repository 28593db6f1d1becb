"""How a stage ends: with the next stage's batch, later (:class:`Retry`), or for good (:class:`Ended`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fintrack_tasks.domain import Item, ItemState, uuid7
from fintrack_tasks.fetch.quota.permits import Reservation
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.publish import messages
from fintrack_tasks.store import database_mode, run_items

__all__ = ["DEFERRED", "LONGEST_COUNTDOWN", "Ended", "Retry", "fail_item"]

DEFERRED: Final = "deferred"
LONGEST_COUNTDOWN: Final = 900.0
"""Seconds; below the broker's visibility timeout, or a waiting message would be delivered twice. What waits longer
waits in the ledger: reconcile enqueues it when its time has come."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The chain stops here: the item is in this state for this reason.

    ``stale``: another message owns it; ``deferred``: it waits in the ledger until then.
    """

    state: str
    reason: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """The item goes on with ``provider`` in ``countdown`` seconds, with its ``reservation`` in that quota."""

    provider: str
    countdown: float
    retries: int
    reservation: Reservation | None = None


def fail_item(
    item: Item,
    reason: str,
    detail: str,
    *,
    context: StageContext,
    provider: str | None = None,
) -> Ended:
    """End an item as failed: dead letter and notification in one transaction."""
    topic, event_id = context.settings.kafka_topic_notifications, uuid7(context.now.timestamp())
    simulated = database_mode.is_simulated(context.database)
    event = messages.item_failed(item, reason, detail, topic, context.now, event_id, simulated=simulated)
    with context.database.connection() as conn:
        run_items.finish(conn, item, ItemState.FAILED, reason, detail, provider, context.now, event)
    return Ended(ItemState.FAILED, reason)
