"""The table of quotes: one row, its item's end and its event in one statement. Loading an item twice changes nothing.

Decimals go in as the provider's own text.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import psycopg

from fintrack_tasks.domain import Batch, Event, Item, from_micros
from fintrack_tasks.store import locks, outbox, run_items

__all__ = ["load_quote", "merge_quote"]

_QUOTE_COLUMNS: Final = (
    "price", "volume", "previous_close", "price_change", "price_change_pct", "open", "high", "low", "bid", "ask",
)  # fmt: skip
_MERGE_QUOTE: Final = f"""
    INSERT INTO fintrack.quotes AS q (instrument_id, timestamp, source, currency, item_id, received_at,
                                      {", ".join(_QUOTE_COLUMNS)})
    SELECT %(instrument)s, %(timestamp)s, %(source)s, %(currency)s, %(item)s, %(now)s,
           {", ".join(f"%({name})s::numeric" for name in _QUOTE_COLUMNS)} FROM item
    ON CONFLICT (instrument_id, timestamp, source) DO UPDATE SET
        currency = excluded.currency, item_id = excluded.item_id, received_at = excluded.received_at,
        {", ".join(f"{name} = excluded.{name}" for name in _QUOTE_COLUMNS)}
"""  # noqa: S608  built from the constants above
_QUOTE: Final = f"""
WITH item AS (
    SELECT id, pg_advisory_xact_lock({locks.LOADS}, instrument_id) FROM fintrack.run_items
    WHERE id = %(item)s AND finished_at IS NULL FOR UPDATE
), written AS ({_MERGE_QUOTE}), ended AS ({run_items.LOADED} FROM item WHERE r.id = item.id
), told AS ({outbox.INSERT} FROM item
)
SELECT count(*) FROM item
"""  # noqa: S608  built from the constants above


def load_quote(conn: psycopg.Connection, item: Item, batch: Batch, event: Event, now: datetime) -> bool:
    """Load the one row of a quote's batch, in one statement; returns whether this call did it."""
    done = conn.execute(_QUOTE, _quote_values(item, batch, event, now)).fetchone()
    return bool(done and done[0])


_MERGE_ALONE: Final = f"WITH item AS (SELECT pg_advisory_xact_lock({locks.LOADS}, %(instrument)s)) {_MERGE_QUOTE}"


def merge_quote(conn: psycopg.Connection, item: Item, batch: Batch, event: Event, now: datetime) -> None:
    """Write row and event of a quote whose item has ended already; its state stays."""
    with conn.transaction():
        conn.execute(_MERGE_ALONE, _quote_values(item, batch, event, now))
        outbox.add(conn, event, now)


def _quote_values(item: Item, batch: Batch, event: Event, now: datetime) -> dict[str, Any]:
    row = batch.row(0)
    values = {name: row.get(name) for name in _QUOTE_COLUMNS}
    told = {"timestamp": from_micros(row["timestamp"]), "note": batch.meta.get("note"), "rows": 1}
    return {**run_items.loaded_values(item, batch, event, now), **values, **told}
