"""Marks of an axis of times: where a period begins, few, apart, with the year or the day where it changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.cli.chart_ticks import ticks

START = datetime(2023, 11, 15, tzinfo=UTC)


def working_days(count: int) -> list[datetime]:
    days = (START + timedelta(days=n) for n in range(2 * count + 3))
    return [day for day in days if day.weekday() < 5][:count]


def test_a_few_months_of_days_are_marked_where_a_month_begins() -> None:
    times = working_days(125)
    marked = ticks(times, daily=True)
    assert [times[place].date().isoformat() for place, _ in marked] == [
        "2023-12-01", "2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01", "2024-05-01",
    ]  # fmt: skip
    assert [text for _, text in marked] == ["Dec\n2023", "Jan\n2024", "Feb", "Mar", "Apr", "May"]


def test_decades_are_marked_by_years() -> None:
    times = working_days(260 * 24)
    assert [text for _, text in ticks(times, daily=True)] == ["2025", "2030", "2035", "2040", "2045"]


def test_a_day_of_quarter_hours_is_marked_by_round_hours_and_its_date() -> None:
    times = [datetime(2024, 5, 6, 13, 30, tzinfo=UTC) + timedelta(minutes=15 * n) for n in range(26)]
    marked = ticks(times, daily=False)
    assert [text for _, text in marked] == ["14:00\n06 May 2024", "15:00", "16:00", "17:00", "18:00", "19:00"]


def test_weeks_of_hours_are_marked_where_a_week_begins() -> None:
    times = [day + timedelta(hours=14 + n) for day in working_days(35) for n in range(7)]
    marked = ticks(times, daily=False)
    assert {times[place].weekday() for place, _ in marked} == {0}
    assert marked[0][1] == "20 Nov\n2023"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_few_bars_are_marked_all_the_same(count: int) -> None:
    assert ticks(working_days(count), daily=True)


@given(st.integers(1, 3000), st.sampled_from([timedelta(minutes=15), timedelta(hours=1), timedelta(days=1)]))
def test_marks_are_few_ascending_and_never_so_near_that_they_touch(count: int, step: timedelta) -> None:
    times = [START + step * n for n in range(count)]
    marked = [place for place, _ in ticks(times, daily=step.days > 0)]
    assert 1 <= len(marked) <= 11
    assert all((after - before) * 14 >= count for before, after in pairwise(marked))
