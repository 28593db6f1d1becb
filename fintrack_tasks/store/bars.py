"""The tables of bars and of their versions: rows, revisions, the item's end and its event in one transaction.

Loading an item twice changes nothing. Decimals go in as the provider's own text; times as integers of microseconds,
which SQL turns into exact instants. What reads bars for people is in :mod:`fintrack_tasks.queries.bars`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import psycopg

from fintrack_tasks.domain import Batch, Event, Item, from_micros
from fintrack_tasks.store import index_indicators, locks, outbox, run_items

__all__ = ["load_bars", "merge_bars", "stands"]

_BAR_COLUMNS: Final = ("open", "high", "low", "close", "adj_close", "volume")
_STAGE: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS staged_bars (
    micros bigint NOT NULL, open numeric, high numeric, low numeric, close numeric, adj_close numeric, volume numeric,
    is_final boolean NOT NULL
) ON COMMIT DELETE ROWS
"""
_STAMP: Final = "timestamptz 'epoch' + micros * interval '1 microsecond'"
_VALUES: Final = ", ".join(_BAR_COLUMNS)
_BAR_ROW: Final = ", ".join(f"b.{name}" for name in (*_BAR_COLUMNS, "currency"))
_STAGED: Final = ", ".join((*(f"s.{name}" for name in _BAR_COLUMNS), "%(currency)s::text"))
_EXCLUDED: Final = ", ".join(f"excluded.{name}" for name in (*_BAR_COLUMNS, "currency"))
_NO_TRADE: Final = "{0}.high = {0}.low AND coalesce({0}.volume, 0) = 0"
_REPLACES: Final = f"""
    ({{0}}.is_final OR NOT b.is_final)
    AND (%(anyway)s OR (NOT b.is_final OR b.source <> ALL(%(preferred)s))
                       AND NOT ({_NO_TRADE} AND NOT ({_NO_TRADE.format("b")})))
"""
"""Whether a row takes the place of a stored bar ``b``: not a provisional one that of a final one, nor one from further
down the route, nor a snapshot (one price without trade) that of a bar in which something was traded."""
_KEEP_VERSIONS: Final = f"""
WITH kept AS (
INSERT INTO fintrack.bar_versions (instrument_id, interval, timestamp, {_VALUES}, currency, is_final, source, item_id,
                                   adjusted_to, valid_from, valid_to, replaced_by)
SELECT b.instrument_id, b.interval, b.timestamp, {_BAR_ROW}, b.is_final, b.source, b.item_id, b.adjusted_to,
       b.valid_from, %(now)s, %(item)s
FROM fintrack.bars b JOIN staged_bars s ON b.timestamp = {_STAMP}
WHERE b.instrument_id = %(instrument)s AND b.interval = %(interval)s AND b.timestamp BETWEEN %(first)s AND %(last)s
  AND {_REPLACES.format("s")}
  AND ({_BAR_ROW}) IS DISTINCT FROM ({_STAGED})
RETURNING timestamp
)
UPDATE fintrack.index_indicators SET bars_seen = NULL
WHERE instrument_id = %(instrument)s AND interval = %(interval)s AND timestamp >= (SELECT min(timestamp) FROM kept)
"""  # noqa: S608  built from the constants above
_MERGE: Final = f"""
INSERT INTO fintrack.bars AS b (instrument_id, interval, timestamp, {_VALUES}, currency, is_final, source, item_id,
                                adjusted_to, valid_from)
SELECT %(instrument)s, %(interval)s, {_STAMP}, {_VALUES}, %(currency)s, is_final, %(source)s, %(item)s,
       %(adjusted_to)s::date, %(now)s
FROM staged_bars ORDER BY micros
ON CONFLICT (instrument_id, interval, timestamp) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in (*_BAR_COLUMNS, "currency", "is_final", "source", "item_id"))},
    adjusted_to = excluded.adjusted_to,
    valid_from = CASE WHEN ({_BAR_ROW}) IS DISTINCT FROM ({_EXCLUDED})
                      THEN excluded.valid_from ELSE b.valid_from END
WHERE {_REPLACES.format("excluded")}
  AND ({_BAR_ROW}, b.is_final) IS DISTINCT FROM
      ({_EXCLUDED}, excluded.is_final)
"""  # noqa: S608  built from the constants above
_UNTRUE: Final = f"""
UPDATE fintrack.index_indicators SET bars_seen = NULL
WHERE instrument_id = %(instrument)s AND interval = %(interval)s AND timestamp >= (
    SELECT min(b.timestamp) FROM fintrack.bars b JOIN staged_bars s ON b.timestamp = {_STAMP}
    WHERE b.instrument_id = %(instrument)s AND b.interval = %(interval)s AND b.timestamp BETWEEN %(first)s AND %(last)s
      AND NOT ({_REPLACES.format("s")}) AND ({_BAR_ROW}) IS DISTINCT FROM ({_STAGED})
)
"""  # noqa: S608  built from the constants above
"""Bars that did not replace the stored ones: what was computed with them does not stand."""
_END: Final = f"WITH told AS ({outbox.INSERT}) {run_items.LOADED} WHERE r.id = %(item)s"


def load_bars(
    conn: psycopg.Connection,
    item: Item,
    batch: Batch,
    event: Event,
    now: datetime,
    finals: Sequence[bool],
    preferred: Sequence[str] = (),
) -> bool:
    """Load a batch of bars; returns whether this call did it.

    Idempotent. A changed bar keeps its former self in ``bar_versions``; a final bar is not replaced by a provisional
    one, nor a bar with volume by a snapshot without.

    :param finals: for each row whether its bar has closed.
    :param preferred: the sources whose final bars this batch does not replace, unless the item's run fetches again what
        is there (``refetch``).
    """
    values = _bars_values(item, batch, event, now) | {"anyway": False, "preferred": list(preferred)}
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (locks.LOADS, item.instrument_id))
        open_item = conn.execute(
            "SELECT (SELECT arguments ? 'refetch' FROM fintrack.runs u WHERE u.id = r.run_id)"
            " FROM fintrack.run_items r WHERE r.id = %s AND r.finished_at IS NULL FOR UPDATE",
            (item.id,),
        ).fetchone()
        if open_item is None:
            return False
        if open_item[0]:
            values["preferred"] = []
        _merge(conn, item, batch, values, finals)
        conn.execute(_END, values)
    return True


def merge_bars(
    conn: psycopg.Connection, item: Item, batch: Batch, event: Event, now: datetime, finals: Sequence[bool]
) -> None:
    """Write bars, revisions and event of an item that has ended already; its state stays."""
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (locks.LOADS, item.instrument_id))
        values = _bars_values(item, batch, event, now) | {"anyway": True, "preferred": []}
        _merge(conn, item, batch, values, finals)
        outbox.add(conn, event, now)


def stands(conn: psycopg.Connection, item: Item, timestamp: int) -> bool:
    """Whether a final bar is stored at a time (microseconds). The caller's transaction keeps other loads out."""
    conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (locks.LOADS, item.instrument_id))
    row = conn.execute(
        "SELECT is_final FROM fintrack.bars WHERE instrument_id = %s AND interval = %s AND timestamp = %s",
        (item.instrument_id, item.interval, from_micros(timestamp)),
    ).fetchone()
    return bool(row and row[0])


def _merge(conn: psycopg.Connection, item: Item, batch: Batch, values: dict[str, Any], finals: Sequence[bool]) -> None:
    _stage(conn, batch, finals)
    conn.execute(_KEEP_VERSIONS, values)
    conn.execute(_MERGE, values)
    if "sma_20" in batch.columns:
        index_indicators.save(conn, item, batch, values["now"])
        conn.execute(_UNTRUE, values)


def _bars_values(item: Item, batch: Batch, event: Event, now: datetime) -> dict[str, Any]:
    return run_items.loaded_values(item, batch, event, now) | {
        "interval": item.interval.value if item.interval else None,
        "first": from_micros(min(batch.columns["timestamp"])),
        "last": from_micros(max(batch.columns["timestamp"])),
        "rows": len(batch),
        "note": None,
        "adjusted_to": batch.meta.get("adjusted_to"),
    }


def _stage(conn: psycopg.Connection, batch: Batch, finals: Sequence[bool]) -> None:
    nothing = [None] * len(batch)
    columns = [batch.columns.get(name, nothing) for name in _BAR_COLUMNS]
    conn.execute(_STAGE)
    with (
        conn.cursor() as cursor,
        cursor.copy(f"COPY staged_bars (micros, {_VALUES}, is_final) FROM STDIN") as copy,
    ):
        for row in zip(batch.columns["timestamp"], *columns, finals, strict=True):
            copy.write_row(row)
