"""The indicators of an index at load: computed for new bars, recomputed for stored bars that became outdated.

The formulas are in :mod:`fintrack_tasks.transform.indicators`, the table in
:mod:`fintrack_tasks.store.index_indicators`.

After each load the stored indicators equal those of the whole stored series computed at once: new bars continue from
the stored state; after a late, released or corrected bar everything from there on is recomputed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import psycopg

from fintrack_tasks.domain import BATCH_LIMIT, BENCHMARK, AssetClass, Batch, Interval, Item, Kind
from fintrack_tasks.store import index_indicators

__all__ = ["indicate", "recompute"]

_FINGERPRINT: Final = "continues"
"""In a batch's ``meta``: what its indicators were computed from (:func:`index_indicators.fingerprint`)."""


def indicate(conn: psycopg.Connection, item: Item, batch: Batch) -> Batch:
    """The batch of bars, oldest first, with indicators that continue from the stored bars before it.

    Stored bars between its own, which an answer may lack, are included, up to a batch's limit.
    """
    stamps, interval = batch.columns["timestamp"], item.interval or Interval.D1
    known = index_indicators.fingerprint(conn, item.instrument_id, interval, stamps, BENCHMARK)
    stored = index_indicators.stored_bars(conn, item.instrument_id, interval, _span(batch), 2 * BATCH_LIMIT)
    made = _indicated(conn, item, _filled(batch, stored))
    own = set(stamps)
    made = made.take(place for place, stamp in enumerate(made.columns["timestamp"]) if stamp in own)
    return replace(made, meta={**made.meta, _FINGERPRINT: known})


def recompute(conn: psycopg.Connection, item: Item, batch: Batch, now: datetime) -> int:
    """Recompute the indicators of an index's stored bars that the load of a batch made outdated.

    In the caller's transaction, which holds the instrument's order of loads. The bars from the first such one on are
    read batch by batch, each continuing from the one before. Returns how many were recomputed; 0 for an instrument that
    is no index.
    """
    if item.interval is None or (item.kind is not Kind.INDEX and item.instrument.asset_class is not AssetClass.INDEX):
        return 0
    wrong = index_indicators.outdated(conn, item.instrument_id, item.interval, BENCHMARK)
    if _FINGERPRINT in batch.meta:
        present = index_indicators.fingerprint(
            conn, item.instrument_id, item.interval, batch.columns["timestamp"], BENCHMARK
        )
        wrong |= set(batch.columns["timestamp"] if present != batch.meta[_FINGERPRINT] else ())
    first, last, count = min(wrong, default=0), max(wrong, default=-1), 0
    while first <= last:
        columns = index_indicators.stored_bars(conn, item.instrument_id, item.interval, (first, last), BATCH_LIMIT)
        part = Batch(Kind.INDEX, item.instrument.symbol, batch.source, columns, batch.currency, item.interval)
        index_indicators.save(conn, item, _indicated(conn, item, part), now)
        first, count = columns["timestamp"][-1] + 1, count + len(part)
    return count


def _indicated(conn: psycopg.Connection, item: Item, batch: Batch) -> Batch:
    from fintrack_tasks.transform.incremental import with_indicators  # noqa: PLC0415  TA-Lib, for these alone
    from fintrack_tasks.transform.indicators import INDICATOR_LOOKBACK  # noqa: PLC0415

    interval = item.interval or Interval.D1
    history = index_indicators.earlier_bars(
        conn, item.instrument_id, interval, _span(batch), INDICATOR_LOOKBACK, BENCHMARK
    )
    return with_indicators(batch, history)


def _filled(batch: Batch, stored: Mapping[str, Sequence[Any]]) -> Batch:
    """The batch with the stored bars that it lacks, oldest first."""
    own = set(batch.columns["timestamp"])
    absent = [place for place, stamp in enumerate(stored["timestamp"]) if stamp not in own][: BATCH_LIMIT - len(batch)]
    nothing = [None] * len(stored["timestamp"])
    columns = {
        name: [*cells, *(stored.get(name, nothing)[place] for place in absent)] for name, cells in batch.columns.items()
    }
    stamps = columns["timestamp"]
    return replace(batch, columns=columns).take(sorted(range(len(stamps)), key=stamps.__getitem__)) if absent else batch


def _span(batch: Batch) -> tuple[int, int]:
    return int(batch.columns["timestamp"][0]), int(batch.columns["timestamp"][-1])
