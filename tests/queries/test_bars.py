"""Stored bars as columns, read from a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fintrack_tasks.domain import Interval, Kind, to_micros
from fintrack_tasks.queries import bars
from tests.store.items import make_run

pytestmark = pytest.mark.integration

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
COUNT = 30


@pytest.fixture
def stored(conn: psycopg.Connection) -> int:
    """The id of an instrument with 30 daily bars, closes 1 to 30, every second one of another source."""
    _, [item] = make_run(conn, ["AAPL"], Kind.BARS)
    conn.execute(
        "INSERT INTO fintrack.bars (instrument_id, interval, timestamp, open, high, low, close, volume, is_final,"
        " source, item_id, valid_from) SELECT %s, '1d', %s::timestamptz + n * interval '1 day', n + 1, n + 1, n + 1,"
        " n + 1, 100, true, CASE n %% 2 WHEN 0 THEN 'yahoo_finance' ELSE 'twelve_data' END, %s, now()"
        " FROM generate_series(0, %s - 1) n",
        (item.instrument_id, FIRST, item.id, COUNT),
    )
    return item.instrument_id


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(-2, COUNT + 2), max_size=6, unique=True))
def test_ranges_that_follow_each_other_give_each_bar_once(
    conn: psycopg.Connection, stored: int, cuts: list[int]
) -> None:
    bounds = [None, *(FIRST + cut * DAY for cut in sorted(cuts)), None]

    pages = [bars.read_columns(conn, stored, Interval.D1, start, end)["timestamp"] for start, end in pairwise(bounds)]

    assert [stamp for page in pages for stamp in page] == [to_micros(FIRST + n * DAY) for n in range(COUNT)]


def test_columns_are_oldest_first_and_empty_where_nothing_is_stored(conn: psycopg.Connection, stored: int) -> None:
    found = bars.read_columns(conn, stored, Interval.D1, FIRST + DAY, FIRST + 3 * DAY)

    assert tuple(found) == bars.COLUMNS
    assert found["close"] == [Decimal(2), Decimal(3)]
    assert bars.read_columns(conn, stored, Interval.H1) == {name: [] for name in bars.COLUMNS}


def test_a_later_split_divides_adjusted_prices_alone(conn: psycopg.Connection, stored: int) -> None:
    split = FIRST + 2 * DAY
    conn.execute(
        "INSERT INTO fintrack.corporate_actions (instrument_id, ex_date, kind, effective_at, numerator, denominator,"
        " source, item_id, first_seen, changed_at)"
        " SELECT %s, %s, 'split', %s, 2, 1, 'x', id, now(), now() FROM fintrack.run_items",
        (stored, split.date(), split),
    )

    for adjust, expected in (("none", ["1", "2", "3"]), ("splits", ["0.5", "1", "3"]), ("all", ["0.5", "1", "3"])):
        found = bars.read_columns(conn, stored, Interval.D1, FIRST, FIRST + 3 * DAY, adjust)
        assert found["close"] == [Decimal(text) for text in expected]


def test_span_sources_and_currency_of_an_instrument(conn: psycopg.Connection, stored: int) -> None:
    last = FIRST + (COUNT - 1) * DAY

    assert bars.span(conn, stored, Interval.D1) == (FIRST, last)
    assert bars.span(conn, stored, Interval.H1) is None
    assert bars.sources(conn, stored, Interval.D1, FIRST, last) == ["twelve_data", "yahoo_finance"]
    assert bars.sources(conn, stored, Interval.D1, FIRST, FIRST) == ["yahoo_finance"]
    conn.execute("UPDATE fintrack.bars SET currency = 'GBP' WHERE timestamp = %s", (last,))
    assert bars.currency(conn, stored, Interval.D1) == "GBP"
    assert bars.currency(conn, stored, Interval.H1) is None


def test_daily_bars_of_a_symbol_whatever_signs_it_has(conn: psycopg.Connection, stored: int) -> None:
    found = bars.daily_bars(conn, "AAPL")

    assert [row["close"] for row in found] == [Decimal(n) for n in range(1, COUNT + 1)]
    assert bars.daily_bars(conn, "AAPL' OR true --") == []
