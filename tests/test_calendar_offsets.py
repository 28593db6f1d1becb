"""The patched offsets of exchange_calendars: sessions are those under pandas 2.3, where nothing has to be patched."""

from __future__ import annotations

import csv
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fintrack_tasks import calendars, session_times
from fintrack_tasks.domain import Instrument, Interval, TimeRange, to_micros
from fintrack_tasks.sessions import expected_bars
from tests.recorded.record_sessions import counted

DAY = timedelta(days=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


CALENDARS = sorted({*calendars.MARKETS.values(), *calendars.SUFFIXES.values(), *calendars.INDICES.values()})


def recorded() -> dict[str, list[tuple[int, int, str]]]:
    """What ``tests/recorded/record_sessions.py`` found under pandas 2.3.3."""
    found: dict[str, list[tuple[int, int, str]]] = {}
    with (Path(__file__).parent / "recorded" / "sessions_pandas_2.3.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            year = int(row["year"]), int(row["sessions"]), row["sha256"]
            found.setdefault(row["calendar"], []).append(year)
    return found


OURS = {calendars.FOREX, calendars.FUTURES}


MENDED = {"ASEX", "XBOM", "XBSE", "XKRX", "XMOS", "XTAE"}
"""Those whose sessions pandas 3.1 computes wrongly, or not at all, as exchange_calendars 4.13 is."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in {*MENDED, "XNYS", "XLON", "CMES"} else pytest.mark.soak)
        for name in sorted({*CALENDARS, "CMES"} - OURS)
    ],
)
def test_the_sessions_from_1990_to_2026_are_those_under_pandas_2_3(name: str) -> None:
    """Dates, opens, closes and breaks: exchange_calendars#394, #471, #502."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert list(counted(session_times._calendar(name).schedule)) == recorded()[name]


@pytest.mark.parametrize(
    ("symbol", "day"),
    [
        ("RELIANCE.NS", "2024-01-20"),
        ("RELIANCE.BO", "2025-02-01"),
        ("SBER.ME", "2018-04-28"),
        ("005930.KS", "1998-11-28"),
    ],
)
def test_a_special_saturday_is_a_session(symbol: str, day: str) -> None:
    """By the exchanges' own circulars; Seoul traded on Saturdays until December 1998."""
    start = at(day)
    assert expected_bars(Instrument.of(symbol), Interval.D1, TimeRange(start, start + DAY)) == [to_micros(start)]
