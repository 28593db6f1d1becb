"""What several providers said of one item, until they are combined."""

from __future__ import annotations

import orjson
import psycopg

from fintrack_tasks.domain import Batch, Item

__all__ = ["add", "held"]


def add(conn: psycopg.Connection, item: Item, batch: Batch) -> list[Batch]:
    """Keep a provider's answer, the newest where it is asked twice; returns what all of them said so far."""
    conn.execute(
        "INSERT INTO fintrack.opinions (item_id, provider, batch) VALUES (%s, %s, %s)"
        " ON CONFLICT (item_id, provider) DO UPDATE SET batch = excluded.batch",
        (item.id, batch.source, orjson.dumps(batch.to_message()).decode()),
    )
    return held(conn, item)


def held(conn: psycopg.Connection, item: Item) -> list[Batch]:
    """What the providers said of an item, by their names."""
    rows = conn.execute(
        "SELECT batch FROM fintrack.opinions WHERE item_id = %s ORDER BY provider", (item.id,)
    ).fetchall()
    return [Batch.from_message(message) for (message,) in rows]
