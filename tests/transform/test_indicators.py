"""Indicators: against TA-Lib, against plain pandas, and against their definitions in plain Python."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import talib

from benchmarks.transform import plain_pandas
from fintrack_tasks.domain import AssetClass, Interval
from fintrack_tasks.transform.indicators import INDICATORS, STATE, Prices, bars_per_year, indicators, state
from tests.bundled_histories import SYMBOLS, frame, market, prices

RANDOM = np.random.default_rng(7)
CLOSE = 100 * np.exp(np.cumsum(RANDOM.normal(0, 0.01, 700)))
GSPC = prices("^GSPC")

FIRST = {
    "change": 1, "change_pct": 1, "log_change": 1, "sma_20": 19, "sma_50": 49, "sma_200": 199, "ema_12": 11,
    "ema_26": 25, "rsi_14": 14, "macd": 33, "macd_signal": 33, "macd_histogram": 33, "bollinger_upper": 19,
    "bollinger_lower": 19, "atr_14": 14, "obv": 0, "volatility_20": 20, "parkinson_20": 19, "garman_klass_20": 19,
    "drawdown": 0, "beta_60": 60, "correlation_60": 60, "sharpe_252": 252, "var_95_252": 252,
}  # fmt: skip
"""The row of the first value, counted by hand: n prices for a window of n prices, one more for n changes."""


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_whole_real_history_is_that_of_ta_lib(symbol: str) -> None:
    held = prices(symbol)
    got = indicators(held)
    upper, middle, lower = talib.BBANDS(held.close, 20, 2.0, 2.0)
    macd, signal, histogram = talib.MACD(held.close, 12, 26, 9)
    expected = {
        "change": talib.MOM(held.close, 1),
        "change_pct": talib.ROCP(held.close, 1),
        "sma_20": middle,
        **{f"sma_{length}": talib.SMA(held.close, length) for length in (50, 200)},
        **{f"ema_{length}": talib.EMA(held.close, length) for length in (12, 26)},
        "rsi_14": talib.RSI(held.close, 14),
        "macd": macd,
        "macd_signal": signal,
        "macd_histogram": histogram,
        "bollinger_upper": upper,
        "bollinger_lower": lower,
        "atr_14": talib.ATR(held.high, held.low, held.close, 14),
        "obv": talib.OBV(held.close, held.volume),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-9, atol=0, err_msg=name)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_whole_real_history_is_that_of_plain_pandas(symbol: str) -> None:
    got = indicators(prices(symbol))
    expected = plain_pandas(frame(symbol), market())
    assert {"vwap"} == set(INDICATORS) - set(expected.columns)
    for name in expected.columns:
        np.testing.assert_allclose(got[name], expected[name].to_numpy(), rtol=1e-9, atol=0, err_msg=name)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_carried_state_gives_ta_libs_values(symbol: str) -> None:
    held = prices(symbol)
    carried, got = state(held), indicators(held)
    assert tuple(carried) == STATE
    both = carried["rsi_gain"] + carried["rsi_loss"]
    np.testing.assert_allclose(100 * carried["rsi_gain"] / both, got["rsi_14"], rtol=1e-12)
    line = carried["macd_fast"] - got["ema_26"]
    np.testing.assert_array_equal(line[33:], got["macd"][33:])
    np.testing.assert_array_equal(held.close / carried["peak"] - 1, got["drawdown"])


# --- Definitions, in plain Python -------------------------------------------------------------------------------


def logs(above: np.ndarray, below: np.ndarray) -> list[float]:
    return [math.log(a / b) for a, b in zip(above.tolist(), below.tolist(), strict=True)]


def test_volatility_is_the_annualised_deviation_of_twenty_log_changes() -> None:
    moves = [math.log(after / before) for before, after in pairwise(CLOSE)]
    expected = [statistics.stdev(moves[end - 20 : end]) * math.sqrt(252) for end in range(20, len(moves) + 1)]
    assert indicators(Prices(CLOSE))["volatility_20"][20:] == pytest.approx(expected, rel=1e-9)


def test_parkinson_and_garman_klass_follow_their_papers() -> None:
    high_low, close_open = logs(GSPC.high, GSPC.low), logs(GSPC.close, GSPC.open)
    got = indicators(GSPC)
    for end in (20, 21, 700, 5031):
        ranges = [value**2 for value in high_low[end - 20 : end]]
        inside = [value**2 for value in close_open[end - 20 : end]]
        parkinson = math.sqrt(sum(ranges) / (20 * 4 * math.log(2)) * 252)
        terms = [r / 2 - (2 * math.log(2) - 1) * i for r, i in zip(ranges, inside, strict=True)]
        assert got["parkinson_20"][end - 1] == pytest.approx(parkinson, rel=1e-9)
        assert got["garman_klass_20"][end - 1] == pytest.approx(math.sqrt(statistics.fmean(terms) * 252), rel=1e-9)


def test_beta_and_correlation_are_those_of_the_statistics_module() -> None:
    ibm = prices("IBM")
    own = [after / before - 1 for before, after in pairwise(ibm.close.tolist())]
    index = [after / before - 1 for before, after in pairwise(ibm.benchmark.tolist())]
    got = indicators(ibm)
    for end in (60, 61, 1000, len(own)):
        x, y = index[end - 60 : end], own[end - 60 : end]
        assert got["beta_60"][end] == pytest.approx(statistics.linear_regression(x, y).slope, rel=1e-9)
        assert got["correlation_60"][end] == pytest.approx(statistics.correlation(x, y), rel=1e-9)


def test_an_index_against_itself_has_beta_and_correlation_one() -> None:
    got = indicators(GSPC)
    for name in ("beta_60", "correlation_60"):
        assert got[name][60:] == pytest.approx(np.ones(len(GSPC) - 60), rel=1e-12)


def test_sharpe_and_value_at_risk_are_those_of_a_year_of_changes() -> None:
    moves = [after / before - 1 for before, after in pairwise(GSPC.close.tolist())]
    got = indicators(GSPC)
    for end in (252, 253, 2500, 5030):
        year = sorted(moves[end - 252 : end])
        sharpe = statistics.fmean(year) / statistics.stdev(year) * math.sqrt(252)
        between = year[12] + (year[13] - year[12]) * (0.05 * 251 - 12)
        assert got["sharpe_252"][end] == pytest.approx(sharpe, rel=1e-9)
        assert got["var_95_252"][end] == pytest.approx(-between, rel=1e-12)


def test_drawdown_is_what_is_lost_since_the_highest_close() -> None:
    got = indicators(Prices(np.array([100.0, 80.0, 120.0, 90.0])))["drawdown"]
    assert got.tolist() == pytest.approx([0.0, -0.2, 0.0, -0.25])


def test_vwap_begins_with_each_session_and_daily_bars_have_none() -> None:
    held = Prices(
        np.array([11.0, 20.0, 30.0, 30.0]),
        high=np.array([12.0, 20.0, 30.0, 31.0]),
        low=np.array([10.0, 20.0, 30.0, 29.0]),
        volume=np.array([100.0, 300.0, 0.0, 7.0]),
        session=np.array([1, 1, 2, 2]),
    )
    got = indicators(held, names=["vwap"])["vwap"].tolist()
    assert got[:2] == [11.0, (11 * 100 + 20 * 300) / 400]
    assert math.isnan(got[2])  # nothing was traded yet
    assert got[3] == 30.0
    assert np.isnan(indicators(replace(held, session=None))["vwap"]).all()


# --- Warm-ups and what is not known -------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 2, 13, 14, 15, 19, 20, 21, 33, 34, 49, 50, 60, 61, 199, 200, 252, 253])
def test_any_length_is_accepted_and_a_warm_up_is_never_guessed(length: int) -> None:
    got = indicators(GSPC.take(slice(0, length)))
    assert tuple(got) == INDICATORS
    for name, first in FIRST.items():
        assert np.isfinite(got[name]).tolist() == [row >= first for row in range(length)], name


def test_indicators_by_name_are_the_same_in_the_order_of_the_tables() -> None:
    whole = indicators(GSPC)
    some = indicators(GSPC, names=["rsi_14", "sma_50"])
    assert list(some) == ["sma_50", "rsi_14"]
    for name, values in some.items():
        np.testing.assert_array_equal(values, whole[name])


@pytest.mark.parametrize("wrong", [math.nan, 0.0, -1.0, math.inf])
def test_a_bar_without_a_positive_close_is_no_part_of_the_series(wrong: float) -> None:
    close = CLOSE.copy()
    close[300] = wrong
    got, without = indicators(Prices(close)), indicators(Prices(np.delete(CLOSE, 300)))
    for name in INDICATORS:
        assert math.isnan(got[name][300])
        np.testing.assert_array_equal(np.delete(got[name], 300), without[name])


def test_an_unknown_range_ends_the_true_range_and_leaves_the_windows_that_hold_it_unknown() -> None:
    high = GSPC.high.copy()
    high[100] = math.nan
    got, whole = indicators(replace(GSPC, high=high)), indicators(GSPC)
    np.testing.assert_array_equal(got["atr_14"][:100], whole["atr_14"][:100])
    assert np.isnan(got["atr_14"][100:]).all()
    assert np.isnan(got["parkinson_20"][100:120]).all()
    np.testing.assert_array_equal(got["parkinson_20"][120:], whole["parkinson_20"][120:])


def test_on_balance_volume_is_the_sum_over_bars_whose_volume_is_known() -> None:
    close = np.array([10.0, 11.0, 12.0, 11.0, 13.0])
    volume = np.array([math.nan, 5.0, math.nan, 2.0, 1.0])
    got = indicators(Prices(close, volume=volume))["obv"].tolist()
    assert math.isnan(got[0])
    assert got[1:] == [5.0, 5.0, 3.0, 4.0]
    assert np.isnan(indicators(Prices(close))["obv"]).all()


def test_days_that_the_benchmark_lacks_have_no_beta_and_the_others_go_on() -> None:
    gap = GSPC.benchmark.copy()
    gap[100:103] = math.nan
    got = indicators(replace(prices("^IXIC"), benchmark=gap))["beta_60"]
    assert np.isnan(got[100:103]).all()
    assert np.isfinite(got[103])
    gap[100:400] = math.nan  # the last 60 common changes lie too far back
    got = indicators(replace(prices("^IXIC"), benchmark=gap))["beta_60"]
    assert np.isnan(got[100:459]).all()
    assert np.isfinite(got[460])


def test_what_does_not_move_has_no_ratio() -> None:
    flat = np.full(300, 7.0)
    got = indicators(Prices(flat, flat, flat, flat, np.zeros(300), GSPC.close[:300]))
    for name in ("sharpe_252", "correlation_60"):
        assert np.isnan(got[name]).all(), name
    for name in ("volatility_20", "parkinson_20", "garman_klass_20", "var_95_252", "beta_60"):
        assert got[name][-1] == 0.0, name
    assert np.isnan(indicators(Prices(CLOSE[:300], benchmark=flat))["beta_60"]).all()


@pytest.mark.parametrize(
    ("asset_class", "interval", "expected"),
    [("index", "1d", 252), ("index", "1h", 1764), ("stock", "15m", 6552), ("crypto", "1h", 8760), ("forex", "1d", 260)],
)
def test_a_year_has_the_bars_of_its_sessions(asset_class: str, interval: str, expected: int) -> None:
    assert bars_per_year(AssetClass(asset_class), Interval(interval)) == expected
