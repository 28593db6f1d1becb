"""Bars against the bars before them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintrack_tasks.domain import AssetClass, Batch, Finding, Interval, Kind, to_micros
from fintrack_tasks.validate import OtherProviderBars, PriorBars, ValidationContext, check_batch, split
from fintrack_tasks.validate.sequence import FEWEST, WINDOW, _above_median
from tests.validate.published_prices import dated_bars

NOW = datetime(2024, 6, 3, 15, 0, tzinfo=UTC)
DAY = 86_400_000_000
FIRST = to_micros(datetime(2023, 1, 2, tzinfo=UTC))
STOCK = AssetClass.STOCK


def wave(count: int, start: float = 100.0) -> list[float]:
    """Closes whose returns are +1% and -1% in turn: the usual return is 1.4826 times 0.01."""
    return [start * math.exp(0.01 * (place % 2)) for place in range(count)]


def bars(closes: list[float], first: int = FIRST, step: int = DAY, **columns: list[Any]) -> Batch:
    made: dict[str, list[Any]] = {
        "timestamp": [first + place * step for place in range(len(closes))],
        "open": [repr(close) for close in closes],
        "high": [repr(close * 1.001) for close in closes],
        "low": [repr(close * 0.999) for close in closes],
        "close": [repr(close) for close in closes],
        "volume": [str(1000 + place) for place in range(len(closes))],
    }
    return Batch(Kind.BARS, "AAPL", "x", {**made, **columns}, "USD", Interval.D1)


def earlier(closes: list[float], before: int = FIRST, step: int = DAY) -> PriorBars:
    values = np.array(closes)
    stamps = before - step * np.arange(len(closes), 0, -1)
    return PriorBars(stamps, values, values * 1.001, values * 0.999, values, np.arange(len(closes)) + 900.0)


def found(batch: Batch, context: ValidationContext | None = None) -> list[tuple[str, int | None]]:
    return [(one.rule, one.row) for one in check_batch(batch, NOW, context=context or ValidationContext(STOCK))]


def test_a_quiet_series_has_no_finding() -> None:
    assert found(bars(wave(200))) == []
    assert found(bars([])) == []
    assert found(bars(wave(3)), ValidationContext(STOCK, prior_bars=earlier(wave(60)))) == []


def test_without_a_context_nothing_is_judged_that_needs_one() -> None:
    assert check_batch(bars([100.0, 10_000.0, 100.0]), NOW) == []


@pytest.mark.parametrize(("size", "fires"), [(0.066, False), (0.068, True)])
def test_a_return_is_a_jump_beyond_four_and_a_half_times_the_usual_one(size: float, fires: bool) -> None:
    """4.5 x 1.4826 x 0.01 = 0.0667. The last close stays where it jumped to."""
    closes = [*wave(61), 100.0 * math.exp(size)]
    assert found(bars(closes)) == ([("price_jump", 61)] if fires else [])


def test_a_jump_on_the_first_row_is_measured_by_the_bars_before_the_batch() -> None:
    before = earlier(wave(61))
    assert found(bars([110.0, 110.0]), ValidationContext(STOCK, prior_bars=before)) == [("price_jump", 0)]


def test_a_move_that_the_next_bar_takes_back_is_seen_better() -> None:
    """+5.5% and -5.5%: their difference over the root of two is 0.0778, beyond 0.0667; one alone is not."""
    closes = [*wave(61), 100.0 * math.exp(0.055), 100.0]
    assert found(bars(closes)) == [("price_jump", 61)]
    assert found(bars(closes[:-1])) == []


def test_with_fewer_than_twenty_returns_nothing_is_usual() -> None:
    assert found(bars([*wave(20), 120.0])) == []  # 19 returns before it
    assert found(bars([*wave(21), 120.0])) == [("price_jump", 21)]


def test_a_longer_gap_widens_the_limit_by_its_square_root() -> None:
    """16 days are four times the four that need none: the limit doubles to 0.133."""
    stamps = [FIRST + place * DAY for place in range(61)]
    for size, fires in ((0.12, False), (0.14, True)):
        closes = [*wave(61), 100.0 * math.exp(size)]
        batch = bars(closes, timestamp=[*stamps, stamps[-1] + 16 * DAY])
        assert found(batch) == ([("price_jump", 61)] if fires else [])


def test_a_series_that_stood_still_is_not_upset_by_a_basis_point() -> None:
    assert found(bars([*([100.0] * 61), 100.01])) == []
    assert found(bars([*([100.0] * 61), 101.0])) == [("price_jump", 61)]


@pytest.mark.parametrize("ratio", [1.5, 2, 3, 4, 5, 7, 10, 20])
@pytest.mark.parametrize("up", [False, True])
def test_a_jump_by_a_splits_ratio_is_a_missed_split_and_the_row_stays(ratio: float, up: bool) -> None:
    factor = ratio if up else 1 / ratio
    batch = bars([*wave(61), *wave(20, 102.0 * factor)])
    findings = check_batch(batch, NOW, context=ValidationContext(STOCK))
    assert ("missed_split", 61) in [(one.rule, one.row) for one in findings]
    assert {one.severity for one in findings} == {"flag"}
    assert split(batch, findings) == (batch, [])


def test_a_known_split_is_no_error_whether_or_not_prices_are_adjusted_for_it() -> None:
    context = ValidationContext(STOCK, splits=((FIRST + 61 * DAY, 4.0),))
    assert found(bars([*wave(61), *wave(20, 25.0)]), context) == []
    assert found(bars(wave(81)), context) == []


def test_a_split_of_two_for_one_is_missed_where_one_of_four_is_known() -> None:
    context = ValidationContext(STOCK, splits=((FIRST + 61 * DAY, 4.0),))
    assert ("missed_split", 61) in found(bars([*wave(61), *wave(20, 200.0)]), context)


@pytest.mark.parametrize("factor", [100.0, 0.01])
@pytest.mark.parametrize("length", [1, 5])
def test_pence_among_pounds_are_rejected_and_only_they(factor: float, length: int) -> None:
    closes = wave(100)
    for place in range(70, 70 + length):
        closes[place] *= factor
    batch = bars(closes)
    findings = check_batch(batch, NOW, context=ValidationContext(STOCK))
    assert [(one.rule, one.row) for one in findings] == [("unit_error", row) for row in range(70, 70 + length)]
    assert split(batch, findings)[1] == list(range(70, 70 + length))


def test_the_unit_of_the_bars_before_is_right_even_if_the_whole_batch_differs() -> None:
    context = ValidationContext(STOCK, prior_bars=earlier(wave(61)))
    assert found(bars(wave(3, 10_000.0)), context) == [("unit_error", row) for row in range(3)]


def test_a_known_split_of_one_hundred_is_no_error_of_units() -> None:
    context = ValidationContext(STOCK, splits=((FIRST + 61 * DAY, 0.01),))
    volume = [*map(str, range(1000, 1061)), *["10"] * 20]
    assert found(bars([*wave(61), *wave(20, 10_000.0)], volume=volume), context) == []


def test_volumes_before_a_known_split_are_counted_in_shares_of_after_it() -> None:
    prices = [*wave(61), *wave(20, 50.0)]
    for volume in (1000, 2000, 4000):
        batch = bars(prices, volume=[*["1000"] * 61, *[str(volume)] * 20])
        assert found(batch, ValidationContext(STOCK, splits=((FIRST + 61 * DAY, 2.0),))) == []
    busy = bars(prices, volume=[*["1000"] * 61, *["2000"] * 19, "21000"])
    assert found(busy, ValidationContext(STOCK, splits=((FIRST + 61 * DAY, 2.0),))) == [("volume_anomaly", 80)]


def test_a_bar_that_repeats_the_one_before_it_is_stale() -> None:
    closes = [100.0, 101.0, 101.0, 102.0]
    assert found(bars(closes, volume=["5", "6", "6", "7"])) == [("stale_repeat", 2)]
    assert found(bars(closes, volume=["5", "6", "8", "7"])) == []
    assert found(bars(closes, volume=[None] * 4)) == [("stale_repeat", 2)]


def test_a_flat_bar_may_repeat_one_without_trades() -> None:
    flat = ["100"] * 4
    batch = bars([100.0] * 4, open=flat, high=flat, low=flat, close=flat, volume=["0"] * 4)
    assert found(batch) == []


def test_the_first_bar_may_be_stale_against_the_stored_one() -> None:
    before = earlier([100.0, 101.0])
    batch = bars([101.0], volume=["901"])
    assert found(batch, ValidationContext(STOCK, prior_bars=before)) == [("stale_repeat", 0)]


def test_a_volume_of_more_than_ten_times_the_usual_or_of_none_is_an_anomaly() -> None:
    volumes = ["1000"] * 62
    for volume, fires in (("10000", False), ("10001", True), ("0", True), (None, False), ("1", False)):
        batch = bars(wave(62), volume=[*volumes[:61], volume])
        assert found(batch) == ([("volume_anomaly", 61)] if fires else []), volume


def test_volumes_of_currencies_mean_nothing() -> None:
    batch = bars(wave(62), volume=[*["1000"] * 61, "1000000"])
    assert found(batch, ValidationContext(AssetClass.FOREX)) == []


def test_another_providers_close_of_the_same_bar_is_compared() -> None:
    stamps = np.array([FIRST, FIRST + 2 * DAY, FIRST + 3 * DAY])
    stored = OtherProviderBars(stamps, np.array([100.4, 102.0, 101.0]), ("other", "other", "x"))
    batch = bars([100.0, 100.1, 100.0, 90.0])
    assert found(batch, ValidationContext(STOCK, other_provider_bars=stored)) == [("provider_disagreement", 2)]


def test_rows_that_do_not_stand_are_not_compared_with() -> None:
    """The row after a null close is measured against the one before it."""
    closes = wave(80)
    batch = bars(closes)
    close = list(batch.columns["close"])
    close[70] = None
    close[72] = "-1"
    assert found(batch.with_columns(close=close)) == [("value_ranges", 70), ("value_ranges", 72)]


def test_rows_are_judged_in_the_order_of_time_and_named_by_their_position() -> None:
    closes = [*wave(61), 110.0, 110.0]
    backwards = bars(closes).take(range(len(closes) - 1, -1, -1))
    assert ("price_jump", 1) in found(backwards)


def test_a_bar_gets_the_same_verdict_whichever_batch_it_comes_in() -> None:
    rng = np.random.default_rng(5)
    closes = (100 * np.exp(np.cumsum(rng.standard_t(3, 400) * 0.01))).tolist()
    whole = {(rule, row) for rule, row in found(bars(closes)) if rule == "price_jump"}
    parts = set()
    for start, end in pairwise((0, 150, 151, 290, 400)):
        before = ValidationContext(STOCK, prior_bars=earlier(closes[max(start - 61, 0) : start], FIRST + start * DAY))
        batch = bars(closes[start:end], FIRST + start * DAY)
        parts |= {(rule, row + start) for rule, row in found(batch, before) if rule == "price_jump"}
    last_of_parts = {149, 150, 289}  # what the next bar takes back is not seen there
    assert {each for each in whole ^ parts if each[1] not in last_of_parts} == set()
    assert len(whole) > 3


@settings(max_examples=60)
@given(st.lists(st.one_of(st.floats(0, 5), st.just(math.nan)), min_size=1, max_size=90), st.integers(0, 40))
def test_counting_never_misses_a_median_below_its_mark(values: list[float], first: int) -> None:
    array = np.array(values)
    marks = np.flip(array) if len(values) > 1 else array + 1
    first = min(first, len(values) - 1)
    with np.errstate(invalid="ignore"):
        named = _above_median(array, first, marks)
    for place in range(first, len(values)):
        known = [v for v in values[max(place - WINDOW, 0) : place] if not math.isnan(v)]
        if len(known) >= FEWEST and float(np.median(known)) < marks[place]:
            assert place in named


CLOSES = st.lists(st.floats(0.01, 1e6), min_size=0, max_size=40)


@given(CLOSES, CLOSES, st.lists(st.tuples(st.integers(FIRST, FIRST + 40 * DAY), st.floats(0.01, 100)), max_size=2))
def test_any_prices_are_judged_without_an_error(
    closes: list[float], before: list[float], splits: list[tuple[int, float]]
) -> None:
    context = ValidationContext(STOCK, prior_bars=earlier(before), splits=tuple(splits))
    for one in check_batch(bars(closes), NOW, context=context):
        assert one.row is not None
        assert 0 <= one.row < len(closes)


def test_an_hour_of_many_times_the_usual_volume_is_the_open_and_no_anomaly() -> None:
    batch = bars(wave(62), step=3_600_000_000, volume=[*["1000"] * 61, "30000"])
    hourly = Batch(batch.kind, batch.symbol, batch.source, batch.columns, batch.currency, Interval.H1)
    assert found(hourly) == []


def test_nights_and_weekends_widen_the_limit_of_intraday_bars() -> None:
    hour = timedelta(hours=1) // timedelta(microseconds=1)
    stamps = [FIRST + place * hour for place in range(61)]
    for gap, fires in ((hour, True), (18 * hour, False)):  # the root of 18 / 4 is 2.1
        batch = bars([*wave(61), 110.0], timestamp=[*stamps, stamps[-1] + gap])
        hourly = Batch(batch.kind, batch.symbol, batch.source, batch.columns, batch.currency, Interval.H1)
        assert found(hourly) == ([("price_jump", 61)] if fires else [])


LATER = datetime(2026, 11, 28, tzinfo=UTC)


def rejected(findings: list[Finding]) -> set[str]:
    return {one.rule for one in findings if one.severity == "reject"}


def test_a_yield_that_moves_a_hundredfold_is_no_unit_error() -> None:
    rows = [(f"2015-09-{day:02}", *["0.01"] * 4) for day in range(1, 30)] + [("2015-09-30", *["1.0"] * 4)]
    context = ValidationContext(AssetClass.INDEX)
    assert rejected(check_batch(dated_bars("^IRX", rows), LATER, context=context)) == set()
    assert rejected(check_batch(dated_bars("^GSPC", rows), LATER, context=context)) == {"unit_error"}
