"""Indicators, against their textbook definitions written out in plain Python."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from fintrack_tasks.domain import Batch, Interval, Kind
from fintrack_tasks.transform.indicators import INDICATORS, LOOK_BACK, indicators, with_indicators

RANDOM = np.random.default_rng(7)
CLOSE = 100 * np.exp(np.cumsum(RANDOM.normal(0, 0.01, 700)))


def index_bars(close: list[Any], first: int = 0) -> Batch:
    columns = {"timestamp": list(range(first, first + len(close))), "close": close}
    return Batch(Kind.INDEX, "^GSPC", "x", columns, "USD", Interval.D1)


def numbers(batch: Batch, name: str) -> list[float]:
    return [math.nan if cell is None else float(cell) for cell in batch.columns[name]]


def ema(values: list[float], periods: int) -> list[float]:
    """Exponential average with the weight 2 / (periods + 1), begun with the mean of the first values."""
    result = [math.nan] * (periods - 1) + [statistics.fmean(values[:periods])]
    for value in values[periods:]:
        result.append(result[-1] + (value - result[-1]) * 2 / (periods + 1))
    return result


def test_moving_averages_are_means_of_the_last_closes() -> None:
    got = indicators(CLOSE)
    for periods in (20, 50):
        average = got[f"sma_{periods}"]
        assert np.isnan(average[: periods - 1]).all()
        expected = [statistics.fmean(CLOSE[end - periods : end]) for end in range(periods, len(CLOSE) + 1)]
        assert average[periods - 1 :] == pytest.approx(expected, rel=1e-9)


def test_rsi_follows_wilder() -> None:
    moves = np.diff(CLOSE)
    gain = statistics.fmean(np.maximum(moves[:14], 0))
    loss = statistics.fmean(np.maximum(-moves[:14], 0))
    expected = [100 * gain / (gain + loss)]
    for move in moves[14:]:
        gain, loss = (gain * 13 + max(move, 0)) / 14, (loss * 13 + max(-move, 0)) / 14
        expected.append(100 * gain / (gain + loss))
    got = indicators(CLOSE)["rsi_14"]
    assert np.isnan(got[:14]).all()
    assert got[14:] == pytest.approx(expected, rel=1e-9)


def test_macd_is_the_difference_of_two_averages_its_signal_their_average() -> None:
    """TA-Lib begins both averages at the same row, so that the fast one is begun with the closes 14 to 25."""
    got = indicators(CLOSE)
    closes = CLOSE.tolist()
    slow = ema(closes, 26)[25:]
    fast = ema(closes[14:], 12)[11:]
    line = [quick - lazy for quick, lazy in zip(fast, slow, strict=True)]
    signal = ema(line, 9)[8:]
    assert np.isnan(got["macd"][:33]).all()
    assert got["macd"][33:] == pytest.approx(line[8:], rel=1e-9, abs=1e-12)
    assert got["macd_signal"][33:] == pytest.approx(signal, rel=1e-9, abs=1e-12)
    assert got["macd_histogram"][33:] == pytest.approx(got["macd"][33:] - got["macd_signal"][33:], abs=1e-12)


def test_volatility_is_the_annualised_deviation_of_twenty_returns() -> None:
    returns = [math.log(after / before) for before, after in pairwise(CLOSE)]
    expected = [statistics.stdev(returns[end - 20 : end]) * math.sqrt(252) for end in range(20, len(returns) + 1)]
    got = indicators(CLOSE)["volatility_20"]
    assert np.isnan(got[:20]).all()
    assert got[20:] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("length", [0, 1, 2, 13, 19, 20, 21, 33, 34, 49, 50])
def test_any_length_is_accepted_and_a_warm_up_is_never_guessed(length: int) -> None:
    got = indicators(CLOSE[:length])
    assert tuple(got) == INDICATORS
    first = {"sma_20": 19, "sma_50": 49, "rsi_14": 14, "volatility_20": 20}
    for name, values in got.items():
        known = max(0, length - first.get(name, 33))
        assert int(np.isfinite(values).sum()) == known, name


def test_a_close_without_a_logarithm_has_no_volatility() -> None:
    close = CLOSE[:60].copy()
    close[30] = 0.0
    volatility = indicators(close)["volatility_20"]
    assert np.isfinite(volatility[29])
    assert np.isnan(volatility[30:51]).all()
    assert np.isfinite(volatility[51])


def test_a_batch_gets_decimal_text_that_is_the_indicator_and_null_in_the_warm_up() -> None:
    batch = with_indicators(index_bars([repr(value) for value in CLOSE[:60].tolist()]))
    for name, values in indicators(CLOSE[:60]).items():
        assert batch.columns[name] == [None if math.isnan(value) else repr(value) for value in values.tolist()]


def test_a_short_or_empty_batch_has_nulls() -> None:
    batch = with_indicators(index_bars(["1", "2"]))
    assert {tuple(batch.columns[name]) for name in INDICATORS} == {(None, None)}
    empty = with_indicators(Batch(Kind.INDEX, "^GSPC", "x", {"timestamp": [], "close": []}))
    assert len(empty) == 0


@pytest.mark.parametrize("text", [True, False])
def test_with_the_look_back_a_part_equals_the_whole(text: bool) -> None:
    closes = [repr(value) if text else value for value in CLOSE.tolist()]
    whole = with_indicators(index_bars([repr(value) for value in CLOSE.tolist()]))
    start = 600
    # The later half of this history lies inside the batch and must not be counted twice.
    history = {"timestamp": list(range(start - LOOK_BACK, start + 50)), "close": closes[start - LOOK_BACK : start + 50]}
    part = with_indicators(index_bars([repr(value) for value in CLOSE[start:].tolist()], start), history)
    for name in INDICATORS:
        assert numbers(part, name) == pytest.approx(numbers(whole, name)[start:], rel=1e-6, abs=1e-6), name


def test_history_without_times_lies_before_the_batch() -> None:
    part = with_indicators(index_bars(["20"]), {"close": list(range(1, 20))})
    assert part.columns["sma_20"] == ["10.5"]
