"""New York's holidays by rule equal the days on which the real prices have no bar."""

from __future__ import annotations

import csv
import gzip
from datetime import date, timedelta
from pathlib import Path

from fintrack_tasks.sandbox.trading_days import closes_early, is_trading_day

DATA = Path(__file__).resolve().parents[2] / "fintrack_tasks/sandbox/data/daily.csv.gz"
# Closures by decision, which no rule foresees: September 2001, two funerals, the storm of 2012, a day of mourning.
EXCEPTIONAL = {
    *(date(2001, 9, day) for day in (11, 12, 13, 14)),
    date(2004, 6, 11),
    date(2007, 1, 2),
    date(2012, 10, 29),
    date(2012, 10, 30),
    date(2018, 12, 5),
}


def test_the_rules_give_the_sessions_of_twenty_real_years() -> None:
    with gzip.open(DATA, "rt", newline="") as lines:
        real = {date.fromisoformat(row["date"]) for row in csv.DictReader(lines) if row["symbol"] == "^GSPC"}
    first, last = min(real), max(real)
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    assert {day for day in days if is_trading_day(day)} - EXCEPTIONAL == real


def test_early_closes() -> None:
    assert closes_early(date(2024, 11, 29))
    assert closes_early(date(2024, 7, 3))
    assert closes_early(date(2024, 12, 24))
    assert not closes_early(date(2024, 11, 27))
