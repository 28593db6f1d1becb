"""Stage messages with a wrong signature: dropped with a dead letter and an alert; the item they name is not touched.

The item goes on with its true message, or is enqueued again after its deadline: a client of the broker cannot end an
item by a forged message.
"""

from __future__ import annotations

from typing import Any, Final

from fintrack_tasks.domain import Item, uuid7
from fintrack_tasks.publish import messages
from fintrack_tasks.store import alerts, database_mode, outbox
from fintrack_tasks.tasks import foreign_messages
from fintrack_tasks.tasks.base import connections, settings, utc_now

__all__ = ["RULE", "report"]

RULE: Final = "forged_message"
_EVERY: Final = 10.0
"""Seconds between two alerts of one task: however many are forged, the table does not fill."""


def report(task: str, claimed: Item, reason: str, args: Any) -> None:
    """Write the message to the dead letters and raise an alert, in the table and in Kafka.

    :param claimed: the item that the message names.
    """
    foreign_messages.keep(task, RULE, reason, args)
    now = utc_now()
    detail = f"{reason}; it claims to be of item {claimed.id}; nothing of it was stored"
    database, topic = connections().database, settings().kafka_topic_notifications
    simulated = database_mode.is_simulated(database)
    event = messages.alert_raised(RULE, task, detail, topic, now, uuid7(now.timestamp()), simulated=simulated)
    with database.connection() as conn, conn.transaction():
        if alerts.add_once(conn, RULE, "error", task, detail, now, _EVERY):
            outbox.add(conn, event, now)
