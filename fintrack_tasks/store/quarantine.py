"""Rows that a check rejected, kept with the rule and the reason until a person decides."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import orjson
import psycopg

from fintrack_tasks.domain import Batch, Finding, Item

__all__ = ["add"]


def add(conn: psycopg.Connection, item: Item, batch: Batch, findings: Iterable[Finding], now: datetime) -> int:
    """Keep the rejected rows of a batch, once each; returns how many rows that were."""
    rejecting = [f for f in findings if f.severity == "reject" and f.row is not None]
    rows = {f.row for f in rejecting}
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO fintrack.quarantine (item_id, row_key, rule, detail, content, created_at)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (item_id, row_key, rule) DO NOTHING",
            [
                (
                    item.id,
                    # The position keeps two bad rows of one time apart.
                    f"{batch.symbol}|{batch.columns['timestamp'][f.row]}|{f.row}",
                    f.rule,
                    f.detail[:500],
                    orjson.dumps({**batch.row(f.row), "source": batch.source}, default=repr).decode(),
                    now,
                )
                for f in rejecting
                if f.row is not None
            ],
        )
        conn.execute("UPDATE fintrack.run_items SET rows_quarantined = %s WHERE id = %s", (len(rows), item.id))
    return len(rows)
