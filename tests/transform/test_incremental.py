"""A new bar from its look-back and the carried state equals the whole series, on every bar of the real histories."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fintrack_tasks.domain import Batch, Interval, Kind
from fintrack_tasks.transform.incremental import CARRIED, continued, with_indicators
from fintrack_tasks.transform.indicators import INDICATOR_LOOKBACK, INDICATORS, STATE, Prices, indicators, state
from tests.bundled_histories import SYMBOLS, prices

HOUR = 3_600_000_000


def bar_by_bar(held: Prices, step: int = 1, *, signed: bool = False) -> dict[str, np.ndarray]:
    """Each ``step`` bars computed from the look-back before them and what was carried, as they would arrive."""
    carried, parts = None, []
    for first in range(0, len(held), step):
        start = max(0, first - INDICATOR_LOOKBACK)
        got = continued(held.take(slice(start, first + step)), first - start, carried, signed=signed)
        carried = {name: float(got[name][-1]) for name in CARRIED}
        parts.append(got)
    return {name: np.concatenate([part[name] for part in parts]) for name in (*INDICATORS, *STATE)}


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_bar_of_the_real_history_equals_the_whole(symbol: str) -> None:
    held = prices(symbol)
    got, whole = bar_by_bar(held), indicators(held) | state(held)
    for name, values in whole.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-9, atol=0, err_msg=name)


@pytest.mark.parametrize("step", [7, 251, 252, 253, 1000])
def test_batches_of_any_size_equal_the_whole(step: int) -> None:
    held = prices("GOOG")
    got, whole = bar_by_bar(held, step), indicators(held) | state(held)
    for name, values in whole.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-9, atol=0, err_msg=name)


@pytest.mark.parametrize(
    "holes",
    [{"volume": slice(0, 400)}, {"volume": slice(300, 310)}, {"high": slice(500, 501)}, {"benchmark": slice(400, 480)}],
)
def test_what_is_not_known_is_not_known_in_both(holes: dict[str, slice]) -> None:
    held = prices("AAPL").take(slice(0, 900))
    for name, rows in holes.items():
        array = getattr(held, name).copy()
        array[rows] = math.nan
        held = replace(held, **{name: array})
    got, whole = bar_by_bar(held, 3), indicators(held) | state(held)
    for name, values in whole.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-9, atol=0, err_msg=name)


def below_zero(held: Prices) -> Prices:
    """The same course so much lower that it crosses zero, with zeros among its closes."""
    level = float(np.median(held.close))
    assert held.open is not None
    assert held.high is not None
    assert held.low is not None
    close = held.close - level
    close[::50] = 0.0
    return replace(held, close=close, open=held.open - level, high=held.high - level, low=held.low - level)


def test_a_series_that_crosses_zero_is_carried_on_as_the_whole() -> None:
    held = below_zero(prices("^GSPC").take(slice(0, 900)))
    with np.errstate(all="raise", under="ignore", invalid="ignore"):
        got, whole = bar_by_bar(held, 50, signed=True), indicators(held, signed=True) | state(held)
    for name, values in whole.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-9, atol=1e-9, err_msg=name)
    assert np.isfinite(whole["sma_20"][19:]).all()
    assert np.isfinite(whole["rsi_14"][14:]).all()
    assert not np.isinf(np.concatenate(list(whole.values()))).any()
    before = held.close[:-1]
    assert (np.isnan(whole["change_pct"][1:]) == (before <= 0)).all()
    assert (np.isnan(whole["log_change"][1:]) == ((before <= 0) | (held.close[1:] <= 0))).all()


def test_where_prices_are_above_zero_it_says_nothing_that_they_might_not_be() -> None:
    held = prices("AAPL").take(slice(0, 400))
    one, other = indicators(held), indicators(held, signed=True)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def test_a_price_that_never_moved_goes_on_as_ta_lib_has_it() -> None:
    flat = np.full(600, 7.0)
    held = Prices(flat, flat, flat, flat, np.ones(600), flat)
    got, whole = bar_by_bar(held), indicators(held) | state(held)
    for name, values in whole.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-9, atol=1e-12, err_msg=name)


# --- Batches ------------------------------------------------------------------------------------------------------


def bars(held: Prices, first: int, last: int, interval: Interval = Interval.D1, symbol: str = "^GSPC") -> Batch:
    columns = {
        name: [repr(value) for value in getattr(held, name)[first:last].tolist()]
        for name in ("open", "high", "low", "close", "volume")
    }
    stamps = [1_000_000 * HOUR + place * HOUR for place in range(first, last)]
    return Batch(Kind.INDEX, symbol, "x", {"timestamp": stamps, **columns}, "USD", interval)


def numbers(batch: Batch, name: str) -> list[float]:
    return [math.nan if cell is None else float(cell) for cell in batch.columns[name]]


def history_of(batch: Batch, **more: Any) -> dict[str, Any]:
    return {name: list(batch.columns[name]) for name in ("timestamp", "open", "high", "low", "close", "volume")} | more


def test_a_batch_gets_decimal_text_that_is_the_indicator_and_null_in_the_warm_up() -> None:
    held = prices("^GSPC").take(slice(0, 300))
    batch = with_indicators(bars(held, 0, 300))
    for name, values in (indicators(held) | state(held)).items():
        assert batch.columns[name] == [None if math.isnan(value) else repr(value) for value in values.tolist()]


def test_a_batch_with_look_back_and_state_equals_the_whole() -> None:
    held = prices("^GSPC").take(slice(0, 900))
    whole = with_indicators(bars(held, 0, 900))
    carried = {name: whole.columns[name][699] for name in CARRIED}
    # The later part of this history lies inside the batch and must not be counted twice.
    history = history_of(bars(held, 700 - INDICATOR_LOOKBACK, 750), state=carried)
    part = with_indicators(bars(held, 700, 900), history)
    for name in (*INDICATORS, *STATE):
        np.testing.assert_allclose(numbers(part, name), numbers(whole, name)[700:], rtol=1e-9, err_msg=name)


def test_without_a_state_the_history_is_the_whole_series() -> None:
    held = prices("^GSPC").take(slice(0, 900))
    part = with_indicators(bars(held, 700, 900), history_of(bars(held, 0, 700)))
    whole = with_indicators(bars(held, 0, 900))
    for name in (*INDICATORS, *STATE):
        assert part.columns[name] == whole.columns[name][700:], name


def test_history_without_times_lies_before_the_batch() -> None:
    batch = Batch(Kind.INDEX, "^DJI", "x", {"timestamp": [0], "close": ["20"]}, "USD", Interval.D1)
    part = with_indicators(batch, {"close": list(range(1, 20))})
    assert (part.columns["sma_20"], part.columns["bars_seen"]) == (["10.5"], ["20.0"])


def test_a_short_or_empty_batch_has_nulls() -> None:
    batch = with_indicators(Batch(Kind.INDEX, "^DJI", "x", {"timestamp": [1, 2], "close": ["1", "2"]}))
    assert {tuple(batch.columns[name]) for name in ("sma_20", "rsi_14", "atr_14", "obv", "beta_60")} == {(None, None)}
    assert batch.columns["change"] == [None, "1.0"]
    empty = with_indicators(Batch(Kind.INDEX, "^DJI", "x", {"timestamp": [], "close": []}))
    assert (len(empty), empty.columns["sma_20"]) == (0, [])


def test_another_index_is_compared_with_the_benchmarks_closes_of_the_same_times() -> None:
    index, held = prices("^GSPC").take(slice(0, 300)), prices("^IXIC").take(slice(0, 300))
    batch = bars(held, 0, 300, symbol="^IXIC")
    closes = dict(zip(batch.columns["timestamp"], index.close.tolist(), strict=True))
    got = with_indicators(batch, {"benchmark": closes})
    np.testing.assert_allclose(numbers(got, "beta_60"), indicators(held)["beta_60"], rtol=1e-12)
    assert set(with_indicators(batch).columns["beta_60"]) == {None}


def test_hourly_bars_are_annualised_by_hours_and_have_a_vwap_from_the_sessions_open() -> None:
    """New York, 2024-05-06 and 07: seven bars a session from 13:30 UTC, the last one of half an hour."""
    opens = [1_715_002_200_000_000 + day * 24 * HOUR + n * HOUR for day in (0, 1) for n in range(7)]
    columns = {name: [str(100 + n) for n in range(14)] for name in ("open", "high", "low", "close")}
    batch = Batch(Kind.INDEX, "^GSPC", "x", {"timestamp": opens, **columns, "volume": ["10"] * 14}, "USD", Interval.H1)
    got = numbers(with_indicators(batch), "vwap")
    assert got[:7] == [100 + n / 2 for n in range(7)]
    assert got[7:] == [107 + n / 2 for n in range(7)]
    part = bars(prices("^GSPC"), 0, 60)
    daily = numbers(with_indicators(part), "volatility_20")[-1]
    hourly = numbers(with_indicators(replace(part, interval=Interval.H1)), "volatility_20")[-1]
    assert hourly == pytest.approx(daily * math.sqrt(7), rel=1e-12)
