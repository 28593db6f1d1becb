"""The table of coverage: spans of bars that are confirmed absent or unavailable; which bars are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import psycopg

from fintrack_tasks.domain import Interval, Item, TimeRange, from_micros, to_micros

__all__ = ["missing", "record_absent", "record_empty", "record_unavailable"]

_SETTLED: Final = timedelta(days=3)
"""A provider may be late: an absence that was seen sooner after the bar's time is asked about again."""
_ASKED_LATELY: Final = timedelta(hours=20)
_CONFIRMATIONS: Final = 2
"""A provider may also be wrong for a moment (rows of nulls): an absence is final once it was seen on two days."""
_NOT_KEPT: Final = timedelta(days=30)
"""What nobody on the route keeps is asked for again after so long: a provider's limits may change."""

_RECORD: Final = """
INSERT INTO fintrack.coverage AS known (instrument_id, interval, window_start, window_end, state, item_id, checked_at)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (instrument_id, interval, window_start, window_end)
DO UPDATE SET state = excluded.state, item_id = excluded.item_id, providers = NULL,
              (confirmations, checked_at) = (
                  SELECT CASE WHEN known.state <> excluded.state OR known.providers IS NOT NULL THEN 1
                              ELSE known.confirmations + (later)::integer END,
                         CASE WHEN later OR known.state <> excluded.state OR known.providers IS NOT NULL
                              THEN excluded.checked_at ELSE known.checked_at END
                  FROM (SELECT excluded.checked_at - known.checked_at >= %s) AS seen(later))
"""

_RECORD_NOT_KEPT: Final = """
WITH touched AS (
    DELETE FROM fintrack.coverage WHERE instrument_id = %(instrument)s AND interval = %(interval)s
      AND state = 'unavailable' AND providers = %(providers)s AND window_start <= %(end)s AND window_end >= %(start)s
    RETURNING window_start, window_end
)
INSERT INTO fintrack.coverage AS known
    (instrument_id, interval, window_start, window_end, state, item_id, checked_at, providers)
SELECT %(instrument)s, %(interval)s, least(%(start)s, min(window_start)), greatest(%(end)s, max(window_end)),
       'unavailable', %(item)s, %(now)s, %(providers)s FROM touched
ON CONFLICT (instrument_id, interval, window_start, window_end)
DO UPDATE SET state = excluded.state, item_id = excluded.item_id, checked_at = excluded.checked_at,
              providers = excluded.providers, confirmations = 1
"""


_CONFIRMED_ABSENT: Final = """
SELECT window_start, window_end FROM fintrack.coverage WHERE instrument_id = %s AND interval = %s
AND window_end > %s AND window_start <= %s
AND CASE WHEN providers IS NULL
THEN checked_at > window_end + %s AND confirmations >= %s OR checked_at > %s
ELSE providers @> %s::text[] AND checked_at > %s END ORDER BY window_start
"""


def missing(
    conn: psycopg.Connection,
    instrument_id: int,
    interval: Interval,
    expected: Sequence[int],
    now: datetime,
    stands_for: Callable[[Sequence[int]], Sequence[int]] = list,
    asked: Sequence[str] | None = None,
) -> list[int]:
    """The expected bars (opening times, microseconds, ascending) that are neither final nor confirmed absent.

    :param stands_for: maps stored stamps to expected ones.
    :param asked: the providers that could be asked: bars that all of them were found not to keep are unavailable, not
        missing. A provider that was added since is still to be asked.
    """
    if not expected:
        return []
    first, last = from_micros(expected[0]), from_micros(expected[-1])
    stored = conn.execute(
        "SELECT timestamp FROM fintrack.bars WHERE instrument_id = %s AND interval = %s AND is_final"
        " AND timestamp >= %s AND timestamp < %s",
        (instrument_id, interval.value, first - interval.delta, last + interval.delta),
    )
    final = set(stands_for([to_micros(stamp) for (stamp,) in stored]))
    spans = conn.execute(
        _CONFIRMED_ABSENT,
        (
            *(instrument_id, interval.value, first, last),
            *(_SETTLED, _CONFIRMATIONS, now - _ASKED_LATELY),
            *(None if asked is None else list(asked), now - _NOT_KEPT),
        ),
    ).fetchall()
    absent = [(to_micros(start), to_micros(end)) for start, end in spans]
    return [stamp for stamp in _outside(expected, absent) if stamp not in final]


def _outside(stamps: Sequence[int], spans: Sequence[tuple[int, int]]) -> Iterator[int]:
    """The stamps that lie in none of the half-open spans; both ascend by their start."""
    position, reach = 0, -(2**63)
    for stamp in stamps:
        while position < len(spans) and spans[position][0] <= stamp:
            reach = max(reach, spans[position][1])
            position += 1
        if stamp >= reach:
            yield stamp


def record_empty(conn: psycopg.Connection, item: Item, now: datetime) -> None:
    """Record an answer without rows: the item's whole window is confirmed empty."""
    if item.window and item.interval:
        window = (min(item.window.start, now), min(item.window.end, now))
        if window[0] < window[1]:
            values = (item.instrument_id, item.interval.value, *window, "empty", item.id, now, _ASKED_LATELY)
            conn.execute(_RECORD, values)


def record_absent(conn: psycopg.Connection, item: Item, absent: Sequence[int], now: datetime) -> None:
    """Record the bars that an answer with rows left out as unavailable; neighbouring bars share a span."""
    if not absent or item.interval is None:
        return
    step = item.interval.delta // timedelta(microseconds=1)
    spans: list[list[int]] = []
    for stamp in absent:
        if spans and spans[-1][1] == stamp:
            spans[-1][1] = stamp + step
        else:
            spans.append([stamp, stamp + step])
    told = ("unavailable", item.id, now, _ASKED_LATELY)
    with conn.cursor() as cursor:
        cursor.executemany(
            _RECORD,
            [(item.instrument_id, item.interval.value, *map(from_micros, span), *told) for span in spans],
        )


def record_unavailable(
    conn: psycopg.Connection,
    instrument_id: int,
    interval: Interval,
    window: TimeRange,
    providers: Sequence[str],
    now: datetime,
    item_id: UUID | None = None,
) -> None:
    """Record a window that none of these providers keeps; adjoining windows of the same providers are merged."""
    values = {
        "instrument": instrument_id,
        "interval": interval.value,
        "start": window.start,
        "end": window.end,
        "providers": sorted(providers),
        "item": item_id,
        "now": now,
    }
    conn.execute(_RECORD_NOT_KEPT, values)
