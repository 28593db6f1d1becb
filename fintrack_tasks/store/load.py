"""Rows, revisions, ledger and outbox in one transaction. Loading an item twice changes nothing.

Decimals go in as the provider's own text; times as integers of microseconds, which SQL turns into exact instants.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import psycopg

from fintrack_tasks.domain import Batch, Event, Item, from_micros
from fintrack_tasks.store import outbox

__all__ = ["indicate", "load_bars", "load_quote", "merge_bars", "merge_quote", "stands"]

_ORDER_LOCK: Final = 7_246_313
"""With an instrument's number: its loads follow each other, so that its events stand in the order of its commits."""

_QUOTE_COLUMNS: Final = (
    "price", "volume", "previous_close", "price_change", "price_change_pct", "open", "high", "low", "bid", "ask",
)  # fmt: skip
_BAR_COLUMNS: Final = ("open", "high", "low", "close", "adj_close", "volume")
_INDICATORS: Final = (
    "change", "change_pct", "log_change", "sma_20", "sma_50", "sma_200", "ema_12", "ema_26", "rsi_14", "macd",
    "macd_signal", "macd_histogram", "bollinger_upper", "bollinger_lower", "atr_14", "vwap", "obv", "volatility_20",
    "parkinson_20", "garman_klass_20", "drawdown", "beta_60", "correlation_60", "sharpe_252", "var_95_252",
    "bars_seen", "rsi_gain", "rsi_loss", "macd_fast", "peak",
)  # fmt: skip
"""The indicators and, last, what carries them on (transform/incremental.py)."""

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
    SELECT id, pg_advisory_xact_lock({_ORDER_LOCK}, instrument_id) FROM fintrack.run_items
    WHERE id = %(item)s AND finished_at IS NULL FOR UPDATE
), written AS ({_MERGE_QUOTE}), ended AS (
    UPDATE fintrack.run_items r SET state = 'loaded', reason = NULL, detail = %(note)s, provider = %(source)s,
           rows_loaded = 1, finished_at = %(now)s
    FROM item WHERE r.id = item.id
), told AS (
    INSERT INTO fintrack.outbox (event_id, run_id, topic, key, value, created_at)
    SELECT %(event)s, %(run)s, %(topic)s, %(key)s, %(value)s, %(now)s FROM item
)
SELECT count(*) FROM item
"""  # noqa: S608  built from the constants above

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
# The indicators from the first bar on that changes do not stand any more, whatever the clocks say.

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

_INDICATE: Final = f"""
INSERT INTO fintrack.index_indicators (instrument_id, interval, timestamp, {", ".join(_INDICATORS)}, computed_at)
SELECT %(instrument)s, %(interval)s, {_STAMP}, {", ".join(_INDICATORS)}, %(now)s
FROM unnest(%(micros)s::bigint[], {", ".join(f"%({name})s::numeric[]" for name in _INDICATORS)})
     AS given(micros, {", ".join(_INDICATORS)})
ON CONFLICT (instrument_id, interval, timestamp) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _INDICATORS)}, computed_at = excluded.computed_at
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

_END: Final = """
WITH told AS (
    INSERT INTO fintrack.outbox (event_id, run_id, topic, key, value, created_at)
    VALUES (%(event)s, %(run)s, %(topic)s, %(key)s, %(value)s, %(now)s)
)
UPDATE fintrack.run_items SET state = 'loaded', reason = NULL, detail = NULL, provider = %(source)s,
       rows_loaded = %(rows)s, finished_at = %(now)s
WHERE id = %(item)s
"""


def load_quote(conn: psycopg.Connection, item: Item, batch: Batch, event: Event, now: datetime) -> bool:
    """Load the one row of a quote's batch, in one statement; returns whether this call did it."""
    done = conn.execute(_QUOTE, _quote_values(item, batch, event, now)).fetchone()
    return bool(done and done[0])


def merge_quote(conn: psycopg.Connection, item: Item, batch: Batch, event: Event, now: datetime) -> None:
    """Write a quote's row and its event, whatever became of the item, which stays as it ended."""
    locked = f"WITH item AS (SELECT pg_advisory_xact_lock({_ORDER_LOCK}, %(instrument)s))"
    with conn.transaction():
        conn.execute(f"{locked} {_MERGE_QUOTE}", _quote_values(item, batch, event, now))
        outbox.add(conn, event, now)


def _quote_values(item: Item, batch: Batch, event: Event, now: datetime) -> dict[str, Any]:
    row = batch.row(0)
    values = {name: row.get(name) for name in _QUOTE_COLUMNS}
    told = {"timestamp": from_micros(row["timestamp"]), "note": batch.meta.get("note")}
    return {**_common(item, batch, event, now), **values, **told}


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

    A bar that changes leaves what it was in ``bar_versions``; a final bar is not replaced by a provisional one, nor one
    in which something was traded by a snapshot.

    :param finals: for each row whether its bar has closed.
    :param preferred: the sources whose final bars stand against this batch's, unless the item's run was told to fetch
        again what is there.
    """
    values = _bars_values(item, batch, event, now) | {"anyway": False, "preferred": list(preferred)}
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_ORDER_LOCK, item.instrument_id))
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
    """Write bars, their revisions and their event, whatever became of the item, which stays as it ended."""
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_ORDER_LOCK, item.instrument_id))
        values = _bars_values(item, batch, event, now) | {"anyway": True, "preferred": []}
        _merge(conn, item, batch, values, finals)
        outbox.add(conn, event, now)


def stands(conn: psycopg.Connection, item: Item, timestamp: int) -> bool:
    """Whether a final bar is stored at a time (microseconds). The caller's transaction keeps other loads out."""
    conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_ORDER_LOCK, item.instrument_id))
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
        indicate(conn, item, batch, values["now"])
        conn.execute(_UNTRUE, values)


def indicate(conn: psycopg.Connection, item: Item, batch: Batch, now: datetime) -> None:
    """Write the indicators of a batch's bars, and what carries them on, in place of those that they had."""
    nothing = [None] * len(batch)
    columns = {name: list(batch.columns.get(name, nothing)) for name in _INDICATORS}
    told = {"instrument": item.instrument_id, "interval": item.interval.value if item.interval else None, "now": now}
    conn.execute(_INDICATE, {**told, **columns, "micros": list(batch.columns["timestamp"])})


def _bars_values(item: Item, batch: Batch, event: Event, now: datetime) -> dict[str, Any]:
    return _common(item, batch, event, now) | {
        "interval": item.interval.value if item.interval else None,
        "first": from_micros(min(batch.columns["timestamp"])),
        "last": from_micros(max(batch.columns["timestamp"])),
        "rows": len(batch),
        "adjusted_to": batch.meta.get("adjusted_to"),
    }


def _common(item: Item, batch: Batch, event: Event, now: datetime) -> dict[str, Any]:
    return {
        "item": item.id,
        "instrument": item.instrument_id,
        "source": batch.source,
        "currency": batch.currency,
        "now": now,
        "event": event.id,
        "run": item.run_id,
        "topic": event.topic,
        "key": event.key,
        "value": event.value,
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
