"""Longer bars of stored ones, read from a real database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.domain import Batch, Instrument, Interval, Kind, TimeRange, from_micros, to_micros
from fintrack_tasks.errors import UsageError
from fintrack_tasks.queries.aggregate import Adjust, aggregate_bars, sessions_of
from fintrack_tasks.sessions import expected_bars
from fintrack_tasks.transform.resample import BarLength
from tests.fixtures_stages import Stages
from tests.store.items import make_run

pytestmark = pytest.mark.integration

APPLE = Instrument.of("AAPL")
NOW = datetime(2026, 6, 17, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Loader:
    """Loads bars of one price each."""

    def __init__(self, stages: Stages, conn: psycopg.Connection) -> None:
        self.stages, self.conn = stages, conn

    def load(
        self, stamps: list[int], closes: list[str], interval: Interval, now: datetime, symbol: str = "AAPL", **meta: Any
    ) -> int:
        """Bars whose four prices are one, each with a volume of 10; their item's window is that of the first to now."""
        _, [item] = make_run(self.conn, [symbol], Kind.BARS)
        item = replace(item, interval=interval, window=TimeRange(from_micros(stamps[0]), now))
        columns: dict[str, list[Any]] = dict.fromkeys(("open", "high", "low", "close"), closes)
        made = {"timestamp": stamps, **columns, "volume": ["10"] * len(stamps)}
        batch = Batch(Kind.BARS, symbol, "x", made, "USD", interval, {"zone": "America/New_York", **meta})
        pipeline.load_item(item, batch, context=self.stages.at(now))
        return item.instrument_id


@pytest.fixture
def store(make_stages: Callable[..., Stages], conn: psycopg.Connection) -> Loader:
    return Loader(make_stages(NOW), conn)


def days(start: str, end: str, symbol: str = "AAPL") -> list[int]:
    return expected_bars(Instrument.of(symbol), Interval.D1, TimeRange(at(start), at(end)))


def closes(count: int) -> list[str]:
    return [str(n) for n in range(1, count + 1)]


def test_a_week_in_progress_is_not_final_and_its_successor_has_the_same_stamp(store: Loader) -> None:
    """Monday to Wednesday are there on Wednesday evening, the rest on Friday evening."""
    week = days("2024-05-06", "2024-05-11")
    wednesday, friday = at("2024-05-08T22:00"), at("2024-05-10T22:00")
    number = store.load(week[:3], closes(3), Interval.D1, wednesday)
    live = aggregate_bars(store.conn, number, APPLE, BarLength.W1, now=wednesday)
    assert (live.columns["close"], live.columns["is_final"], live.columns["missing"]) == ([Decimal(3)], [False], [0])
    store.load(week[3:], ["4", "5"], Interval.D1, friday)
    whole = aggregate_bars(store.conn, number, APPLE, BarLength.W1, now=friday)
    assert whole.columns["timestamp"] == live.columns["timestamp"] == [to_micros(at("2024-05-06"))]
    assert (whole.columns["close"], whole.columns["is_final"]) == ([Decimal(5)], [True])
    assert (whole.source, whole.splits) == (Interval.D1, [])


def test_a_day_that_is_expected_and_not_there_keeps_its_week_from_being_final(store: Loader) -> None:
    week = days("2024-05-06", "2024-05-11")
    now = at("2024-05-13T10:00")
    number = store.load([week[0], week[4]], ["1", "5"], Interval.D1, now)
    found = aggregate_bars(store.conn, number, APPLE, BarLength.W1, now=now)
    # The provider left them out: nobody is asked again for twenty hours, then they are missing until seen twice.
    assert (found.columns["parts"], found.columns["missing"], found.columns["is_final"]) == ([2], [0], [True])
    next_day = aggregate_bars(store.conn, number, APPLE, BarLength.W1, now=now + timedelta(days=1))
    assert (next_day.columns["missing"], next_day.columns["is_final"]) == ([3], [False])


def test_hours_become_the_days_of_the_exchange(store: Loader) -> None:
    hours = expected_bars(APPLE, Interval.H1, TimeRange(at("2024-11-27"), at("2024-11-30")))
    assert len(hours) == 7 + 4  # Thanksgiving, then a half day
    now = at("2024-12-02T12:00")
    number = store.load(hours, closes(11), Interval.H1, now)
    found = aggregate_bars(store.conn, number, APPLE, BarLength.D1, now=now)
    assert [from_micros(s).date() for s in found.columns["timestamp"]] == [date(2024, 11, 27), date(2024, 11, 29)]
    assert found.columns["volume"] == ["70", "40"]
    assert found.columns["close"] == [Decimal(7), Decimal(11)]
    assert found.columns["is_final"] == [True, True]


def test_what_is_chosen_is_whole_and_begins_at_its_own_stamp(store: Loader) -> None:
    month = days("2024-04-01", "2024-06-01")
    now = at("2024-06-03T12:00")
    number = store.load(month, closes(len(month)), Interval.D1, now)
    found = aggregate_bars(
        store.conn, number, APPLE, BarLength.W1, now=now, start=at("2024-04-03"), end=at("2024-04-22")
    )
    assert [from_micros(s).strftime("%m-%d") for s in found.columns["timestamp"]] == ["04-08", "04-15"]
    assert found.columns["parts"] == [5, 5]
    all_of_april = aggregate_bars(
        store.conn, number, APPLE, BarLength.MO1, now=now, start=at("2024-04-01"), end=at("2024-04-02")
    )
    assert (all_of_april.columns["parts"], all_of_april.columns["is_final"]) == ([22], [True])


def test_a_week_with_a_split_is_named_raw_and_whole_when_it_is_adjusted(store: Loader) -> None:
    week = days("2000-06-19", "2000-06-24")
    now = at("2000-06-26T12:00")
    stamp = to_micros(at("2000-06-21T13:30"))
    prices = ["96.62", "101.25", "55.63", "53.75", "51.69"]
    number = store.load(week, prices, Interval.D1, now, splits=[[stamp, "2", "1"]])
    raw = aggregate_bars(store.conn, number, APPLE, BarLength.W1, now=now)
    assert (raw.columns["high"], raw.splits) == ([Decimal("101.25")], [date(2000, 6, 21)])
    adjusted = aggregate_bars(store.conn, number, APPLE, BarLength.W1, now=now, adjust=Adjust.SPLITS)
    assert (adjusted.columns["open"], adjusted.columns["high"]) == ([Decimal("48.31")], [Decimal("55.63")])
    assert (adjusted.columns["volume"], adjusted.splits) == (["70"], [])  # 2 x 20 + 3 x 10
    both = aggregate_bars(store.conn, number, APPLE, BarLength.W1, now=now, adjust=Adjust.ALL)
    assert both.columns["open"] == adjusted.columns["open"]


def test_a_pairs_day_lacks_the_hours_of_the_evening_before_that_are_not_stored(store: Loader) -> None:
    """Monday 29 October 2018 began on Sunday at 21:00 UTC and ended on Monday at 21:00."""
    pair, monday, now = Instrument.of("EURUSD=X"), at("2018-10-29"), at("2018-10-30T12:00")
    hours = [to_micros(monday) + n * 3_600_000_000 for n in range(21)]
    # A bar of Friday after the close is kept, belongs to no day, and is counted.
    late = to_micros(at("2018-10-26T21:00"))
    number = store.load([late], closes(1), Interval.H1, at("2018-10-26T22:01"), "EURUSD=X")
    store.load(hours, closes(21), Interval.H1, at("2018-10-29T21:00"), "EURUSD=X")
    found = aggregate_bars(store.conn, number, pair, BarLength.D1, now=now, start=monday, end=at("2018-10-30"))
    assert [found.columns[name] for name in ("parts", "missing", "is_final")] == [[21], [3], [False]]
    assert found.outside == 0
    whole = aggregate_bars(store.conn, number, pair, BarLength.D1, now=now)
    assert (whole.columns["parts"], whole.outside) == ([21], 1)


def test_currencies_and_crypto_have_days_of_their_own(store: Loader) -> None:
    euro = sessions_of(Instrument.of("EUR/USD"))
    monday = euro.dates.tolist().index(to_micros(at("2024-03-11")))
    assert from_micros(int(euro.starts[monday])) == at("2024-03-10T21:00")
    bitcoin = sessions_of(Instrument.of("BTC-USD"))
    assert int(bitcoin.starts[0]) % 86_400_000_000 == 0
    hours = [to_micros(at("2024-03-10T20:00")) + n * 3_600_000_000 for n in range(3)]
    for symbol, stamps in (("BTC-USD", ["03-10"]), ("EURUSD=X", ["03-11"])):
        number = store.load(hours, closes(3), Interval.H1, at("2024-03-10T23:00"), symbol)
        found = aggregate_bars(store.conn, number, Instrument.of(symbol), BarLength.D1, now=at("2024-03-10T23:00"))
        assert [from_micros(s).strftime("%m-%d") for s in found.columns["timestamp"]] == stamps
        assert found.columns["is_final"] == [False]


def test_what_cannot_be_made_is_a_usage_error_and_nothing_stored_is_nothing(store: Loader) -> None:
    now = at("2024-05-06")
    with pytest.raises(UsageError, match="cannot be made"):
        aggregate_bars(store.conn, 1, APPLE, BarLength.H1, now=now, source=Interval.D1)
    with pytest.raises(UsageError, match="must be after"):
        aggregate_bars(store.conn, 1, APPLE, BarLength.W1, now=now, start=now, end=now)
    assert aggregate_bars(store.conn, 1, APPLE, BarLength.W1, now=now).columns["timestamp"] == []
