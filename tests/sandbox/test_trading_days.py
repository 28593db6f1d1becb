"""New York's trading days by rule are those of exchange_calendars' XNYS, and those that the real prices have."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import exchange_calendars
import pytest

from fintrack_tasks.sandbox.trading_days import closes_early, is_trading_day


def days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


@pytest.fixture(scope="module")
def xnys() -> exchange_calendars.ExchangeCalendar:
    return exchange_calendars.get_calendar("XNYS", start="1990-01-01", end="2027-06-30")


def test_the_rules_give_the_sessions_of_twenty_real_years(bundled: Callable[[str], list[dict[str, str]]]) -> None:
    real = {date.fromisoformat(row["date"]) for row in bundled("daily.csv.gz") if row["symbol"] == "^GSPC"}
    assert {day for day in days(min(real), max(real)) if is_trading_day(day)} == real


def test_every_session_since_1990_is_a_trading_day_and_no_other_day_is(
    xnys: exchange_calendars.ExchangeCalendar,
) -> None:
    sessions = {stamp.date() for stamp in xnys.sessions}
    assert [d for d in days(date(1990, 1, 1), date(2027, 6, 30)) if is_trading_day(d) != (d in sessions)] == []


def test_the_short_sessions_are_those_of_the_exchange(xnys: exchange_calendars.ExchangeCalendar) -> None:
    short = {stamp.date() for stamp in xnys.early_closes}
    assert {stamp.date() for stamp in xnys.sessions if closes_early(stamp.date())} == short


def test_early_closes() -> None:
    assert closes_early(date(2024, 11, 29))
    assert closes_early(date(2024, 7, 3))
    assert closes_early(date(2024, 12, 24))
    assert not closes_early(date(2024, 11, 27))
