"""What new bars continue: the look-back with its state while it stands, the whole series when it does not."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest

from fintrack_tasks.domain import Batch, Interval, Item, Kind, to_micros
from fintrack_tasks.store import index_indicators
from fintrack_tasks.store.bars import load_bars
from fintrack_tasks.transform import INDICATORS
from fintrack_tasks.transform.incremental import CARRIED, with_indicators
from fintrack_tasks.transform.indicators import STATE
from tests.store.items import DAY, NOW, bars, event, make_run

pytestmark = pytest.mark.integration

FIRST = NOW.replace(hour=0) - 400 * DAY
SPAN = (to_micros(NOW), to_micros(NOW + 5 * DAY))


def store(conn: psycopg.Connection, symbol: str, count: int, first: int = 0, *, with_state: bool = True) -> Item:
    """So many daily bars with closes 100, 101, 102, ... from a place on."""
    _, [item] = make_run(conn, [symbol], Kind.INDEX)
    batch = bars(item, [str(100 + n) for n in range(first, first + count)], first=FIRST + first * DAY)
    if with_state:
        batch = with_indicators(batch, read(conn, item, batch))
    load_bars(conn, item, batch, event(item), NOW, [True] * count)
    return item


def read(conn: psycopg.Connection, item: Item, batch: Batch | None = None, limit: int = 252) -> dict[str, object]:
    span = SPAN if batch is None else (batch.columns["timestamp"][0], batch.columns["timestamp"][-1])
    return index_indicators.earlier_bars(conn, item.instrument_id, Interval.D1, span, limit, "^GSPC")


def test_every_indicator_that_is_computed_has_a_column_in_the_order_of_the_table(conn: psycopg.Connection) -> None:
    columns = [row[0] for row in conn.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'fintrack'"
        " AND table_name = 'index_indicators'")]  # fmt: skip
    assert set(columns) == {"instrument_id", "interval", "timestamp", "computed_at", *INDICATORS, *STATE}
    assert set(CARRIED) < set(columns)


def test_with_a_state_that_stands_the_look_back_is_enough(conn: psycopg.Connection) -> None:
    item = store(conn, "^GSPC", 300)
    found = read(conn, item)
    assert found["close"] == [Decimal(100 + n) for n in range(48, 300)]
    assert found["timestamp"][-1] == to_micros(FIRST + 299 * DAY)
    assert found["volume"] == [Decimal(100)] * 252
    state = found["state"]
    assert (state["bars_seen"], state["peak"]) == (300, 399)
    assert set(state) == set(CARRIED)


def test_a_float_comes_back_from_the_state_as_it_was(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["^GSPC"], Kind.INDEX)
    batch = with_indicators(bars(item, [repr(100 / (n + 3)) for n in range(300)], first=FIRST))
    load_bars(conn, item, batch, event(item), NOW, [True] * 300)
    found = read(conn, item)
    for name in CARRIED:
        assert float(found["state"][name]) == float(batch.columns[name][-1]), name


def test_without_a_state_the_whole_series_is_read(conn: psycopg.Connection) -> None:
    item = store(conn, "^GSPC", 300, with_state=False)
    found = read(conn, item)
    assert (len(found["close"]), found["state"]) == (300, None)
    assert index_indicators.outdated(conn, item.instrument_id, Interval.D1, "^GSPC") == set(found["timestamp"])


def test_older_bars_that_came_later_take_the_state_away_and_a_new_computation_brings_it_back(
    conn: psycopg.Connection,
) -> None:
    store(conn, "^GSPC", 200, first=100)
    item = store(conn, "^GSPC", 100, first=0)
    found = read(conn, item)
    assert (len(found["close"]), found["state"]) == (300, None)
    late = {to_micros(FIRST + n * DAY) for n in range(100, 300)}
    assert index_indicators.outdated(conn, item.instrument_id, Interval.D1, "^GSPC") == late
    store(conn, "^GSPC", 200, first=100)
    assert read(conn, item)["state"]["bars_seen"] == 300
    assert index_indicators.outdated(conn, item.instrument_id, Interval.D1, "^GSPC") == set()


def test_a_bar_that_was_corrected_takes_the_state_of_all_behind_it_away(conn: psycopg.Connection) -> None:
    item = store(conn, "^GSPC", 300)
    _, [again] = make_run(conn, ["^GSPC"], Kind.BARS)
    corrected = bars(again, ["7"], first=FIRST + 250 * DAY)
    load_bars(conn, again, corrected, event(again), NOW + timedelta(hours=1), [True])
    assert read(conn, item)["state"] is None
    behind = {to_micros(FIRST + n * DAY) for n in range(250, 300)}
    assert index_indicators.outdated(conn, item.instrument_id, Interval.D1, "^GSPC") == behind


def test_the_benchmarks_closes_reach_from_the_look_back_to_the_spans_end(conn: psycopg.Connection) -> None:
    store(conn, "^GSPC", 404)
    item = store(conn, "^DJI", 399)
    found = read(conn, item, limit=10)
    assert len(found["close"]) == 10
    # NOW is the noon of the 400th day: the bars of the span itself begin with the 401st.
    expected = {to_micros(FIRST + n * DAY): Decimal(100 + n) for n in range(389, 404)}
    assert found["benchmark"] == expected
    assert found["state"]["bars_seen"] == 399


def test_an_instrument_without_bars_continues_nothing(conn: psycopg.Connection) -> None:
    store(conn, "^GSPC", 404)
    _, [item] = make_run(conn, ["^DJI"], Kind.INDEX)
    found = read(conn, item)
    assert (found["timestamp"], found["close"], found["state"]) == ([], [], None)
    assert set(found["benchmark"]) == {to_micros(FIRST + n * DAY) for n in range(401, 404)}
    assert index_indicators.outdated(conn, item.instrument_id, Interval.D1, "^GSPC") == set()
