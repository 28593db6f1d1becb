"""Windows cover what is missing and nothing twice; the newest sessions are asked for again beside it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import Instrument, Interval, TimeRange, from_micros, to_micros
from fintrack_tasks.pipeline.windows import newest_sessions, windows, with_newest
from fintrack_tasks.sessions import expected_bars

DAY = 86_400_000_000
AAPL, BITCOIN = Instrument.of("AAPL"), Instrument.of("BTC-USD")


@given(
    days=st.sets(st.integers(0, 400), min_size=1, max_size=200),
    data=st.data(),
    page=st.integers(1, 60),
)
def test_windows_cover_every_missing_bar_and_hold_at_most_a_page_of_expected_ones(
    days: set[int], data: st.DataObject, page: int
) -> None:
    start = to_micros(datetime(2020, 1, 1, tzinfo=UTC))
    expected = [start + day * DAY for day in sorted(days)]
    missing = sorted(data.draw(st.sets(st.sampled_from(expected))))
    found = list(windows(expected, missing, Interval.D1, page))
    spans = [(to_micros(w.start), to_micros(w.end)) for w in found]
    for moment in missing:
        assert sum(low <= moment < high for low, high in spans) == 1
    for low, high in spans:
        assert 1 <= sum(low <= moment < high for moment in expected) <= page
    assert all(first[1] <= second[0] for first, second in pairwise(spans))


def test_nothing_missing_means_no_window() -> None:
    assert list(windows([0, DAY], [], Interval.D1, 10)) == []


def test_a_run_of_missing_bars_is_cut_into_full_pages() -> None:
    expected = [day * DAY for day in range(25)]
    found = list(windows(expected, expected, Interval.D1, 10))
    assert [(w.end - w.start) // timedelta(days=1) for w in found] == [10, 10, 5]


def days_of(sessions: list[list[int]]) -> list[date]:
    return [from_micros(stamps[-1]).date() for stamps in sessions]


NIGHT = datetime(2026, 12, 1, 2, tzinfo=UTC)
"""2026-11-26 is Thanksgiving, and the 27th a half day; the last session closed on the 30th, the next one is to come."""


@pytest.mark.parametrize("interval", list(Interval))
def test_the_newest_sessions_are_those_of_the_exchange_before_what_is_wanted(interval: Interval) -> None:
    expected = expected_bars(AAPL, interval, TimeRange(NIGHT - timedelta(days=50), NIGHT))
    since = to_micros(datetime(2026, 11, 30, tzinfo=UTC))
    wanted = [stamp for stamp in expected if stamp >= since]
    found = newest_sessions(AAPL, interval, expected, wanted, 3, NIGHT)
    assert days_of(found) == [date(2026, 11, 24), date(2026, 11, 25), date(2026, 11, 27)]
    counts = {Interval.D1: [1, 1, 1], Interval.H1: [7, 7, 4], Interval.M15: [26, 26, 14]}
    assert [len(stamps) for stamps in found] == counts[interval]
    assert newest_sessions(AAPL, interval, expected, wanted, 0, NIGHT) == []


def test_a_market_without_a_close_has_its_days() -> None:
    expected = expected_bars(BITCOIN, Interval.H1, TimeRange(NIGHT - timedelta(days=9), NIGHT))
    found = newest_sessions(BITCOIN, Interval.H1, expected, expected[-2:], 2, NIGHT)
    assert [len(stamps) for stamps in found] == [24, 24]
    assert days_of(found) == [date(2026, 11, 29), date(2026, 11, 30)]


def test_where_nothing_is_wanted_of_late_no_session_is_asked_for_again() -> None:
    """Neither by itself nor for the sake of an old gap, and history that ended long ago has no newest sessions."""
    span = TimeRange(datetime(2018, 1, 1, tzinfo=UTC), datetime(2019, 1, 1, tzinfo=UTC))
    for expected, wanted in (
        (expected_bars(AAPL, Interval.D1, span), expected_bars(AAPL, Interval.D1, span)),
        (now := expected_bars(AAPL, Interval.D1, TimeRange(datetime(2026, 1, 1, tzinfo=UTC), NIGHT)), now[:3]),
        (now, []),
    ):
        assert newest_sessions(AAPL, Interval.D1, expected, wanted, 3, NIGHT) == []


def test_the_newest_sessions_are_asked_for_with_the_bar_after_them() -> None:
    """Equibles#4278."""
    expected = [day * DAY for day in range(20)]
    newest = [[17 * DAY], [18 * DAY]]
    assert with_newest(expected, [19 * DAY], newest, Interval.D1, 1000) == [17 * DAY, 18 * DAY, 19 * DAY]
    assert with_newest(expected, [3 * DAY], [], Interval.D1, 1000) == [3 * DAY]


def test_of_the_newest_sessions_as_many_are_asked_for_as_fit_into_the_request() -> None:
    """250 quarters of an hour: those of the day so far and of two of the three days before it."""
    expected = expected_bars(BITCOIN, Interval.M15, TimeRange(NIGHT - timedelta(days=9), NIGHT))
    newest = newest_sessions(BITCOIN, Interval.M15, expected, expected[-8:], 3, NIGHT)
    joined = with_newest(expected, expected[-8:], newest, Interval.M15, 250)
    assert len(joined) == 96 + 96 + 8
    [window] = windows(expected, joined, Interval.M15, 250)
    assert window.start == datetime(2026, 11, 29, tzinfo=UTC)


@given(data=st.data(), page=st.integers(1, 40), size=st.integers(1, 120), sessions=st.integers(0, 5))
def test_what_is_asked_for_again_costs_no_request_and_loses_nothing(
    data: st.DataObject, page: int, size: int, sessions: int
) -> None:
    expected = [place * DAY for place in range(size)]
    wanted = sorted(data.draw(st.sets(st.sampled_from(expected))))
    newest = [[stamp] for stamp in expected[-sessions - 1 : -1]] if sessions else []
    joined = with_newest(expected, wanted, newest, Interval.D1, page)
    assert set(wanted) <= set(joined) <= {*wanted, *(stamp for stamps in newest for stamp in stamps)}
    assert list(joined) == sorted(set(joined))
    counts = [len(list(windows(expected, each, Interval.D1, page))) for each in (wanted, joined)]
    assert counts[1] <= counts[0]
