"""The dead letters of messages that belong to no item; those of items are written with the item's end (run_items)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import psycopg

__all__ = ["LONGEST_MESSAGE", "MOST_MESSAGES", "add_message"]

LONGEST_MESSAGE: Final = 4_000
"""Characters that are kept of one message."""
MOST_MESSAGES: Final = 10_000
"""So many are kept; whoever sends more has been noticed."""


def add_message(conn: psycopg.Connection, task: str, reason: str, detail: str, message: str, now: datetime) -> bool:
    """Write a message that no task can run; False when there are too many already.

    :param task: the task's name as the message gives it, or the queue that it came by.
    :param message: its text, without secrets.
    """
    return bool(
        conn.execute(
            "INSERT INTO fintrack.dead_letters (task, reason, detail, message, created_at)"
            " SELECT %s, %s, %s, %s, %s WHERE (SELECT count(*) FROM"
            " (SELECT FROM fintrack.dead_letters WHERE item_id IS NULL LIMIT %s) kept) < %s",
            (
                _text(task)[:200],
                reason,
                _text(detail)[:2000],
                _text(message)[:LONGEST_MESSAGE],
                now,
                MOST_MESSAGES,
                MOST_MESSAGES,
            ),
        ).rowcount
    )


def _text(value: str) -> str:
    """The text as PostgreSQL can hold it: without NUL and lone surrogates."""
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
