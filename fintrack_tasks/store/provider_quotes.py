"""The quotes of several providers for one item of a consensus run, until they are combined (table ``opinions``)."""

from __future__ import annotations

import orjson
import psycopg

from fintrack_tasks.domain import Batch, Item

__all__ = ["add", "held"]


def add(conn: psycopg.Connection, item: Item, batch: Batch) -> list[Batch]:
    """Write a provider's quote, the newest where it was asked twice; returns those of all providers so far."""
    conn.execute(
        "INSERT INTO fintrack.opinions (item_id, provider, batch) VALUES (%s, %s, %s)"
        " ON CONFLICT (item_id, provider) DO UPDATE SET batch = excluded.batch",
        (item.id, batch.source, orjson.dumps(batch.to_message()).decode()),
    )
    return held(conn, item)


def held(conn: psycopg.Connection, item: Item) -> list[Batch]:
    """The quotes for an item, by provider."""
    rows = conn.execute(
        "SELECT batch FROM fintrack.opinions WHERE item_id = %s ORDER BY provider", (item.id,)
    ).fetchall()
    return [Batch.from_message(message) for (message,) in rows]
