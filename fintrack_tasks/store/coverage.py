"""Which expected bars are there, which are confirmed not to exist, and which are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import psycopg

from fintrack_tasks.domain import Interval, Item, from_micros, to_micros

__all__ = ["missing", "record_absent", "record_empty"]

_SETTLED: Final = timedelta(days=3)
"""A provider may be late: an absence that was seen sooner after the bar's time is asked about again."""
_ASKED_LATELY: Final = timedelta(hours=20)
_CONFIRMATIONS: Final = 2
"""A provider may also be wrong for a moment (rows of nulls): an absence is final once it was seen on two days."""

_RECORD: Final = """
INSERT INTO fintrack.coverage AS known (instrument_id, interval, window_start, window_end, state, item_id, checked_at)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (instrument_id, interval, window_start, window_end)
DO UPDATE SET state = excluded.state, item_id = excluded.item_id, checked_at = excluded.checked_at,
              confirmations = known.confirmations + 1
"""


def missing(
    conn: psycopg.Connection,
    instrument_id: int,
    interval: Interval,
    expected: Sequence[int],
    now: datetime,
    stands_for: Callable[[Sequence[int]], Sequence[int]] = list,
) -> list[int]:
    """The expected bars (opening times, microseconds, ascending) that are neither final nor confirmed absent.

    :param stands_for: which expected stamp each stored one is.
    """
    if not expected:
        return []
    first, last = from_micros(expected[0]), from_micros(expected[-1])
    stored = conn.execute(
        "SELECT timestamp FROM fintrack.bars WHERE instrument_id = %s AND interval = %s AND is_final"
        " AND timestamp >= %s AND timestamp < %s",
        (instrument_id, interval.value, first, last + interval.delta),
    )
    final = set(stands_for([to_micros(stamp) for (stamp,) in stored]))
    spans = conn.execute(
        "SELECT window_start, window_end FROM fintrack.coverage WHERE instrument_id = %s AND interval = %s"
        " AND window_end > %s AND window_start <= %s"
        " AND (checked_at > window_end + %s AND confirmations >= %s OR checked_at > %s) ORDER BY window_start",
        (instrument_id, interval.value, first, last, _SETTLED, _CONFIRMATIONS, now - _ASKED_LATELY),
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
    """An answer without rows: the item's whole window is confirmed empty."""
    if item.window and item.interval:
        window = (min(item.window.start, now), min(item.window.end, now))
        if window[0] < window[1]:
            conn.execute(_RECORD, (item.instrument_id, item.interval.value, *window, "empty", item.id, now))


def record_absent(conn: psycopg.Connection, item: Item, absent: Sequence[int], now: datetime) -> None:
    """Bars that an answer with rows left out: unavailable from where the route leads. Neighbours share a span."""
    if not absent or item.interval is None:
        return
    step = item.interval.delta // timedelta(microseconds=1)
    spans: list[list[int]] = []
    for stamp in absent:
        if spans and spans[-1][1] == stamp:
            spans[-1][1] = stamp + step
        else:
            spans.append([stamp, stamp + step])
    with conn.cursor() as cursor:
        cursor.executemany(
            _RECORD,
            [
                (item.instrument_id, item.interval.value, from_micros(a), from_micros(b), "unavailable", item.id, now)
                for a, b in spans
            ],
        )
