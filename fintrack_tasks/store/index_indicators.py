"""The table of index indicators: writing them, the state that new bars continue from, and which rows are outdated.

They are computed by :mod:`fintrack_tasks.pipeline.indicators`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import psycopg

from fintrack_tasks.domain import (
    CARRIED_COLUMNS,
    INDICATOR_COLUMNS,
    STATE_COLUMNS,
    Batch,
    Interval,
    Item,
    from_micros,
    to_micros,
)

__all__ = ["earlier_bars", "fingerprint", "outdated", "save", "stored_bars"]

_STORED_COLUMNS: Final = (*INDICATOR_COLUMNS, *STATE_COLUMNS)
_COLUMNS: Final = ("open", "high", "low", "close", "volume")

# A state counts when it was computed from as many bars as there are now, and none of them has changed since.
_EARLIER: Final = f"""
WITH seen AS MATERIALIZED (
    SELECT count(*) AS bars, max(timestamp) AS newest, max(valid_from) AS changed FROM fintrack.bars
    WHERE instrument_id = %(instrument)s AND interval = %(interval)s AND timestamp < %(first)s
), state AS (
    SELECT x.* FROM fintrack.index_indicators x JOIN seen ON x.timestamp = seen.newest
    WHERE x.instrument_id = %(instrument)s AND x.interval = %(interval)s
      AND x.bars_seen = seen.bars AND x.computed_at >= seen.changed
), own AS (
    SELECT timestamp, {", ".join(_COLUMNS)} FROM fintrack.bars
    WHERE instrument_id = %(instrument)s AND interval = %(interval)s AND timestamp < %(first)s
    ORDER BY timestamp DESC LIMIT (SELECT CASE WHEN EXISTS (SELECT FROM state) THEN %(limit)s::bigint END)
), market AS (
    SELECT b.timestamp, b.close AS benchmark
    FROM fintrack.bars b JOIN fintrack.instruments i ON i.id = b.instrument_id
    WHERE i.symbol = %(benchmark)s AND i.asset_class = 'index' AND b.interval = %(interval)s
      AND b.timestamp BETWEEN coalesce((SELECT min(timestamp) FROM own), %(first)s) AND %(last)s
)
SELECT timestamp, {", ".join(f"own.{name}" for name in _COLUMNS)}, market.benchmark,
       {", ".join(f"state.{name}" for name in CARRIED_COLUMNS)}
FROM own FULL JOIN market USING (timestamp) LEFT JOIN state USING (timestamp)
ORDER BY timestamp
"""  # noqa: S608  built from the constants above

_MARKET: Final = """
market AS (
    SELECT b.timestamp, b.valid_from FROM fintrack.bars b JOIN fintrack.instruments i ON i.id = b.instrument_id
    WHERE i.symbol = %(benchmark)s AND i.asset_class = 'index' AND i.id <> %(instrument)s AND b.interval = %(interval)s
)
"""

# Sorted together and not joined: a planner that does not know the tables' sizes yet could try every pair.
_OUTDATED: Final = f"""
WITH {_MARKET}, told AS (
    SELECT timestamp, valid_from AS own, NULL::timestamptz AS other, NULL::bigint AS seen, NULL::timestamptz AS computed
    FROM fintrack.bars WHERE instrument_id = %(instrument)s AND interval = %(interval)s
    UNION ALL SELECT timestamp, NULL, valid_from, NULL, NULL FROM market
    UNION ALL SELECT timestamp, NULL, NULL, bars_seen::bigint, computed_at FROM fintrack.index_indicators
    WHERE instrument_id = %(instrument)s AND interval = %(interval)s
), stored AS (
    SELECT timestamp, greatest(max(own), max(other)) AS changed, max(seen) AS seen, max(computed) AS computed
    FROM told GROUP BY timestamp HAVING max(own) IS NOT NULL
), standing AS (
    SELECT timestamp, seen, computed, row_number() OVER series AS bars, max(changed) OVER series AS changed
    FROM stored WINDOW series AS (ORDER BY timestamp)
)
SELECT timestamp FROM standing WHERE seen IS DISTINCT FROM bars OR computed < changed
"""  # noqa: S608  built from the constants above

# A bar that comes changes a count, one that changes a sum: its valid_from is another one then.
_BASIS: Final = f"""
WITH {_MARKET}
SELECT concat_ws('|', own.bars, own.times, other.bars, other.times) FROM (
    SELECT count(*) AS bars, sum(extract(epoch FROM valid_from)) AS times FROM fintrack.bars
    WHERE instrument_id = %(instrument)s AND interval = %(interval)s AND timestamp <= %(last)s
      AND timestamp NOT IN (SELECT unnest(%(own)s::timestamptz[]))
) own, (
    SELECT count(*) AS bars, sum(extract(epoch FROM valid_from)) AS times FROM market WHERE timestamp <= %(last)s
) other
"""  # noqa: S608  built from the constants above

_STORED: Final = f"""
SELECT (extract(epoch FROM timestamp) * 1000000)::bigint, {", ".join(f"{name}::text" for name in _COLUMNS)}
FROM fintrack.bars WHERE instrument_id = %(instrument)s AND interval = %(interval)s
 AND timestamp BETWEEN %(first)s AND %(last)s ORDER BY timestamp LIMIT %(limit)s
"""  # noqa: S608  built from the constants above


_SAVE: Final = f"""
INSERT INTO fintrack.index_indicators (instrument_id, interval, timestamp, {", ".join(_STORED_COLUMNS)}, computed_at)
SELECT %(instrument)s, %(interval)s, timestamptz 'epoch' + micros * interval '1 microsecond',
       {", ".join(_STORED_COLUMNS)}, %(now)s
FROM unnest(%(micros)s::bigint[], {", ".join(f"%({name})s::numeric[]" for name in _STORED_COLUMNS)})
     AS given(micros, {", ".join(_STORED_COLUMNS)})
ON CONFLICT (instrument_id, interval, timestamp) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _STORED_COLUMNS)}, computed_at = excluded.computed_at
"""  # noqa: S608  built from the constants above


def earlier_bars(
    conn: psycopg.Connection, instrument_id: int, interval: Interval, span: tuple[int, int], limit: int, benchmark: str
) -> dict[str, Any]:
    """The state that the bars of ``span`` (first and last stamp, microseconds) continue from.

    ``timestamp``, ``open``, ``high``, ``low``, ``close``, ``volume`` of bars before the span, oldest first: the newest
    ``limit`` of them and in ``state`` the carried state of the newest, or, where that was never computed or is
    outdated, all of them and ``None``. ``benchmark``: the benchmark's closes by time, up to the span's end.
    """
    named = _named(instrument_id, interval, span, limit=limit, benchmark=benchmark)
    found = conn.execute(_EARLIER, named).fetchall()
    own = [row for row in found if row[4] is not None]
    columns = dict(zip(_COLUMNS, zip(*(row[1:6] for row in own), strict=True), strict=True)) if own else {}
    carried = dict(zip(CARRIED_COLUMNS, own[-1][7:], strict=True)) if own and own[-1][7] is not None else None
    return {
        "timestamp": [to_micros(row[0]) for row in own],
        **{name: list(columns.get(name, ())) for name in _COLUMNS},
        "benchmark": {to_micros(row[0]): row[6] for row in found if row[6] is not None},
        "state": carried,
    }


def fingerprint(
    conn: psycopg.Connection, instrument_id: int, interval: Interval, stamps: Sequence[int], benchmark: str
) -> str:
    """The fingerprint, for optimistic concurrency, of what bars with these stamps (ascending) continue from.

    It changes with any other bar up to the last of them, and with the benchmark's bars.
    """
    own = [from_micros(stamp) for stamp in stamps]
    named = _named(instrument_id, interval, (stamps[0], stamps[-1]), own=own, benchmark=benchmark)
    row = conn.execute(_BASIS, named).fetchone()
    return str(row[0]) if row else ""


def outdated(conn: psycopg.Connection, instrument_id: int, interval: Interval, benchmark: str) -> set[int]:
    """The stamps of stored bars whose indicators are missing, or were computed from other bars than are stored now.

    That is told by ``bars_seen``, which a load takes from the bars behind one that it changes, and by times: a bar
    before them, or the benchmark's bar of the same time as one of these, changed after ``computed_at``.
    """
    named = {"instrument": instrument_id, "interval": interval.value, "benchmark": benchmark}
    return {to_micros(stamp) for (stamp,) in conn.execute(_OUTDATED, named)}


def stored_bars(
    conn: psycopg.Connection, instrument_id: int, interval: Interval, span: tuple[int, int], limit: int
) -> dict[str, list[Any]]:
    """The first ``limit`` bars of a span, oldest first, as a batch has them: stamps, and prices as decimal text."""
    rows = conn.execute(_STORED, _named(instrument_id, interval, span, limit=limit)).fetchall()
    return {name: [row[place] for row in rows] for place, name in enumerate(("timestamp", *_COLUMNS))}


def save(conn: psycopg.Connection, item: Item, batch: Batch, now: datetime) -> None:
    """Write the indicators of a batch's bars and the carried state, in place of the former ones."""
    nothing = [None] * len(batch)
    columns = {name: list(batch.columns.get(name, nothing)) for name in _STORED_COLUMNS}
    told = {"instrument": item.instrument_id, "interval": item.interval.value if item.interval else None, "now": now}
    conn.execute(_SAVE, {**told, **columns, "micros": list(batch.columns["timestamp"])})


def _named(instrument_id: int, interval: Interval, span: tuple[int, int], **more: Any) -> dict[str, Any]:
    first, last = map(from_micros, span)
    return {"instrument": instrument_id, "interval": interval.value, "first": first, "last": last, **more}
