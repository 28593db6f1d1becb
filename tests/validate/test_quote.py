"""A quote against its previous close, the time of trading and other providers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import AssetClass, Batch, Instrument, Kind, to_micros
from fintrack_tasks.session_times import TradingSessions, instrument_sessions
from fintrack_tasks.transform.consensus import combine
from fintrack_tasks.validate import ValidationContext, check_batch
from fintrack_tasks.validate.quote import traded_time

STOCK = AssetClass.STOCK
AAPL = instrument_sessions(Instrument.of("AAPL"))
MONDAY = datetime(2024, 5, 6, 15, 0, tzinfo=UTC)  # 11:00 in New York; the session began at 13:30 UTC


def quote(at: datetime = MONDAY, **cells: Any) -> Batch:
    row = {"timestamp": to_micros(at), "price": "100", "volume": None, **cells}
    return Batch(Kind.QUOTE, "AAPL", "x", {name: [cell] for name, cell in row.items()})


def found(batch: Batch, now: datetime = MONDAY, sessions: TradingSessions | None = AAPL) -> list[str]:
    return [one.rule for one in check_batch(batch, now, context=ValidationContext(STOCK, sessions))]


@pytest.mark.parametrize(
    ("price", "rules"),
    [
        ("100", []),
        ("128", []),
        ("129", ["price_jump"]),  # log(1.29) = 0.2546
        ("10000", ["unit_error"]),
        ("1.01", ["unit_error"]),
        ("300", ["price_jump"]),
        ("0", ["value_ranges"]),
        ("nan", ["value_ranges"]),
        (None, ["value_ranges"]),
    ],
)
def test_a_price_is_measured_against_the_previous_close(price: str | None, rules: list[str]) -> None:
    assert found(quote(price=price, previous_close="100")) == rules


@pytest.mark.parametrize("before", [None, "0", "-1", "1e-400"])
def test_without_a_previous_close_there_is_nothing_to_measure(before: str | None) -> None:
    assert found(quote(price="10000", previous_close=before)) == []


@pytest.mark.parametrize(
    ("at", "now", "stale"),
    [
        ("2024-05-06T14:00", "2024-05-06T15:00", False),
        ("2024-05-06T13:59", "2024-05-06T15:00", True),
        ("2024-05-03T20:00", "2024-05-06T14:30", False),  # Friday's close, an hour after Monday's open
        ("2024-05-03T20:00", "2024-05-06T14:31", True),
        ("2024-05-03T19:30", "2024-05-05T12:00", False),  # a weekend is no time of trading
        ("2024-05-03T18:59", "2024-05-05T12:00", True),
        ("2024-07-03T17:00", "2024-07-05T14:30", False),  # a half day's close, and a holiday
        ("2024-03-08T21:00", "2024-03-11T14:30", False),  # the clocks change over the weekend
        ("2024-03-08T21:00", "2024-03-11T14:31", True),
    ],
)
def test_a_quote_is_stale_after_an_hour_of_trading_not_of_time(at: str, now: str, stale: bool) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    batch = quote(datetime.fromisoformat(at).replace(tzinfo=UTC))
    assert found(batch, moment) == (["stale_quote"] if stale else [])
    assert found(batch, moment, sessions=None) == []


@pytest.mark.parametrize(
    ("now", "stale"),
    [
        ("2024-03-08T22:59", False),
        ("2024-03-09T12:00", False),
        ("2024-03-10T21:58", False),  # trading goes on at 21:00 UTC, New York having changed its clocks that morning
        ("2024-03-10T22:00", True),
    ],
)
def test_a_quote_of_a_pair_from_fridays_close_is_fresh_all_weekend(now: str, stale: bool) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    sessions = instrument_sessions(Instrument.of("EURUSD=X"))
    batch = quote(datetime(2024, 3, 8, 21, 59, tzinfo=UTC))
    assert found(batch, moment, sessions) == (["stale_quote"] if stale else [])


def test_a_quote_from_the_future_is_not_stale() -> None:
    assert found(quote(MONDAY + timedelta(hours=2))) == ["timestamps"]


@given(st.integers(0, 2_000_000_000), st.integers(0, 2_000_000_000))
def test_time_of_trading_is_at_most_time(since: int, until: int) -> None:
    traded = traded_time(AAPL, since * 1_000_000, until * 1_000_000)
    assert 0 <= traded <= max(until - since, 0) * 1_000_000


def test_a_provider_that_lies_apart_from_the_consensus_is_named() -> None:
    prices = {"a": "100", "b": "100.1", "c": "110"}
    said = [
        Batch(Kind.QUOTE, "AAPL", name, {"timestamp": [to_micros(MONDAY)], "price": [price], "volume": [None]}, "USD")
        for name, price in prices.items()
    ]
    [one] = check_batch(combine(said, 100), MONDAY, context=ValidationContext(STOCK))
    assert (one.rule, one.severity, one.row) == ("provider_disagreement", "flag", 0)
    assert one.detail.startswith("c said 110")
    assert check_batch(combine(said[:2], 100), MONDAY, context=ValidationContext(STOCK)) == []


def test_a_quote_is_judged_without_numpy_and_pandas() -> None:
    """A worker that sees quotes alone has neither; see also tests of the pipeline."""
    import subprocess
    import sys

    code = (
        "import sys; from datetime import datetime, UTC; from fintrack_tasks.domain import *;"
        "from fintrack_tasks.validate import ValidationContext, check_batch;"
        "batch = Batch(Kind.QUOTE, 'A', 'x', {'timestamp': [0], 'price': ['1'], 'volume': [None],"
        " 'previous_close': ['1']});"
        "assert not check_batch(batch, datetime(2024, 1, 1, tzinfo=UTC), context=ValidationContext(AssetClass.STOCK));"
        "print(sorted({'numpy', 'pandas'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
