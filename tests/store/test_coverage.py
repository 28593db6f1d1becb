"""Coverage: missing is what is expected, not final and not confirmed absent."""

from __future__ import annotations

from datetime import datetime, timedelta

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import Instrument, Interval, ItemState, Kind, TimeRange, to_micros
from fintrack_tasks.store import coverage, instruments, run_items
from fintrack_tasks.store.bars import load_bars
from fintrack_tasks.store.coverage import _outside
from tests.store.items import DAY, NOW, bars, event, make_run

FIRST = NOW.replace(hour=0) - 10 * DAY


def stamps(count: int) -> list[int]:
    return [to_micros(FIRST + n * DAY) for n in range(count)]


@pytest.mark.integration
def test_final_bars_are_not_missing_and_provisional_ones_are(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["AAPL"], Kind.BARS)
    load_bars(conn, item, bars(item, ["1", "2", "3"]), event(item), NOW, [True, False, True])
    missing = coverage.missing(conn, item.instrument_id, Interval.D1, stamps(5), NOW)
    assert missing == [stamps(5)[1], stamps(5)[3], stamps(5)[4]]
    assert coverage.missing(conn, item.instrument_id, Interval.H1, stamps(5), NOW) == stamps(5)
    assert coverage.missing(conn, item.instrument_id, Interval.D1, [], NOW) == []


@pytest.mark.integration
def test_a_confirmed_empty_window_is_not_asked_for_again_but_a_fresh_one_is_after_a_day(
    conn: psycopg.Connection,
) -> None:
    _, [item] = make_run(conn, ["AAPL"], Kind.BARS)
    run_items.finish(conn, item, ItemState.EMPTY, "empty", "", "yahoo_finance", NOW)
    number = item.instrument_id
    assert coverage.missing(conn, number, Interval.D1, stamps(10), NOW) == stamps(1)  # before the window's start
    # Its last days were too fresh when it was seen to be empty.
    assert coverage.missing(conn, number, Interval.D1, stamps(10), NOW + 2 * DAY) == stamps(10)
    later = NOW + 30 * DAY
    run_items.finish(
        conn, make_run(conn, ["AAPL"], Kind.BARS, days=10)[1][0], ItemState.EMPTY, "empty", "", None, later
    )
    assert coverage.missing(conn, number, Interval.D1, stamps(10), later + 300 * DAY) == stamps(1)


@pytest.mark.integration
def test_bars_that_an_answer_left_out_are_unavailable_and_neighbours_share_a_span(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["AAPL"], Kind.BARS)
    days = stamps(6)
    coverage.record_absent(conn, item, [days[0], days[1], days[4]], NOW)
    spans = conn.execute(
        "SELECT window_start, window_end - window_start, state FROM fintrack.coverage ORDER BY 1"
    ).fetchall()
    assert spans == [(FIRST, timedelta(days=2), "unavailable"), (FIRST + 4 * DAY, timedelta(days=1), "unavailable")]
    assert coverage.missing(conn, item.instrument_id, Interval.D1, days, NOW) == [days[2], days[3], days[5]]


def unavailable(conn: psycopg.Connection, days: tuple[int, int], *providers: str, at: datetime = NOW) -> int:
    number, _ = instruments.ensure(conn, [Instrument.of("AAPL")])["AAPL"]
    window = TimeRange(FIRST + days[0] * DAY, FIRST + days[1] * DAY)
    coverage.record_unavailable(conn, number, Interval.D1, window, providers, at)
    return number


@pytest.mark.integration
def test_what_nobody_on_the_route_keeps_is_asked_for_again_when_somebody_else_can_be(conn: psycopg.Connection) -> None:
    """yfinance#636: 1h of more than 730 days ago; the next night nobody new is there."""
    days = stamps(6)
    number = unavailable(conn, (0, 4), "yahoo_finance", "finnhub")
    for asked, found in (
        (["yahoo_finance"], days[4:]),
        (["yahoo_finance", "finnhub"], days[4:]),
        (["yahoo_finance", "twelve_data"], days),
        (None, days),  # it is not there: what is put together of these bars is not complete
    ):
        assert coverage.missing(conn, number, Interval.D1, days, NOW + DAY, asked=asked) == found
    assert coverage.missing(conn, number, Interval.D1, days, NOW + 31 * DAY, asked=["finnhub"]) == days


@pytest.mark.integration
def test_what_is_not_kept_grows_day_by_day_as_one_range_and_a_word_of_others_stands_beside_it(
    conn: psycopg.Connection,
) -> None:
    for last in (4, 5, 6):
        unavailable(conn, (0 if last == 4 else last - 1, last), "yahoo_finance", at=NOW + last * DAY)
    unavailable(conn, (0, 6), "yahoo_finance", at=NOW + 7 * DAY)
    unavailable(conn, (6, 7), "twelve_data")
    found = conn.execute("SELECT window_start, window_end, providers, checked_at FROM fintrack.coverage ORDER BY 1")
    assert found.fetchall() == [
        (FIRST, FIRST + 6 * DAY, ["yahoo_finance"], NOW + 7 * DAY),
        (FIRST + 6 * DAY, FIRST + 7 * DAY, ["twelve_data"], NOW),
    ]


@pytest.mark.integration
def test_an_empty_answer_confirms_none_of_what_was_not_kept_nor_twice_on_one_day(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["AAPL"], Kind.BARS)
    assert item.window
    coverage.record_unavailable(conn, item.instrument_id, Interval.D1, item.window, ["yahoo_finance"], NOW - 9 * DAY)
    confirmed = []
    for at in (NOW, NOW + DAY / 4, NOW + DAY):
        coverage.record_empty(conn, item, at)
        confirmed += conn.execute("SELECT state, confirmations, providers FROM fintrack.coverage").fetchall()
    assert confirmed == [("empty", 1, None), ("empty", 1, None), ("empty", 2, None)]


@given(
    st.sets(st.integers(0, 60)).map(sorted),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda s: (s[0], s[0] + s[1]))).map(sorted),
)
def test_what_lies_in_no_span_is_kept(moments: list[int], spans: list[tuple[int, int]]) -> None:
    expected = [m for m in moments if not any(low <= m < high for low, high in spans)]
    assert list(_outside(moments, spans)) == expected
