"""The weekly removal of old outbox rows and raw answers; prices, revisions, runs and coverage are kept for ever."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import psycopg

from fintrack_tasks.store import run_items

__all__ = ["clean"]

OUTBOX_AGE: Final = timedelta(days=14)
PAYLOAD_AGE: Final = timedelta(days=90)


def clean(conn: psycopg.Connection, now: datetime) -> dict[str, int]:
    """Remove published outbox rows after 14 days and raw answers after 90; returns how many rows went, by table.

    A raw answer behind a failed item or a quarantined row stays: it can still be replayed.
    """
    events = conn.execute("DELETE FROM fintrack.outbox WHERE published_at < %s", (now - OUTBOX_AGE,)).rowcount
    with conn.transaction():
        run_items.forget_answers(conn, now - PAYLOAD_AGE)
        answers = conn.execute(
            "DELETE FROM fintrack.payloads p WHERE p.received_at < %s"
            " AND NOT EXISTS (SELECT FROM fintrack.run_items r WHERE r.payload_sha = p.sha256)",
            (now - PAYLOAD_AGE,),
        ).rowcount
    return {"outbox": events, "payloads": answers}
