"""Cleaning a frame by the findings on it: what does not stand goes, nothing is invented unasked or unmarked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fintrack_tasks.domain import Finding
from fintrack_tasks.errors import UsageError
from fintrack_tasks.pipeline.save_quote import save_quote
from fintrack_tasks.settings import Settings
from fintrack_tasks.transform import clean_market_data
from fintrack_tasks.validate import DataValidator, find_outliers

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def frame(prices: list[Any], symbol: str = "AAPL", **columns: list[Any]) -> pd.DataFrame:
    made = {
        "symbol": [symbol] * len(prices),
        "timestamp": [FIRST + place * DAY for place in range(len(prices))],
        "price": prices,
        "volume": [1000.0 + place for place in range(len(prices))],
    }
    return pd.DataFrame({**made, **columns})


def wave(count: int) -> list[float]:
    return [100.0 + place % 2 for place in range(count)]


def test_invalid_rows_and_duplicates_go_and_the_rest_is_as_it_was() -> None:
    data = frame([10.0, -1.0, 11.0, None, 12.0, 13.0])
    data.loc[5, "timestamp"] = data.loc[4, "timestamp"]
    data.index = pd.Index(list("abcdef"))
    before = data.copy()
    cleaned = clean_market_data(data, DataValidator().validate_market_data(data).findings)
    pd.testing.assert_frame_equal(data, before)
    pd.testing.assert_frame_equal(cleaned, data.loc[["a", "c", "e"]])


def test_a_frame_that_is_rejected_as_a_whole_keeps_no_row() -> None:
    data = frame([10.0, 11.0]).drop(columns="volume")
    cleaned = clean_market_data(data, DataValidator().validate_market_data(data).findings)
    assert (len(cleaned), list(cleaned.columns)) == (0, list(data.columns))


def test_outliers_stay_or_are_marked_or_go_as_asked() -> None:
    data = frame([*wave(40), 150.0, *wave(5)])
    found = find_outliers(data)
    assert {one.row for one in found} == {40, 41}  # up, and down again
    assert len(clean_market_data(data, found)) == 46
    assert np.flatnonzero(clean_market_data(data, found, outliers="mark")["is_outlier"]).tolist() == [40, 41]
    assert clean_market_data(data, found, outliers="drop").index.tolist() == [*range(40), *range(42, 46)]


def test_a_wrong_unit_is_no_outlier_but_an_error_and_goes() -> None:
    data = frame([*wave(40), 10_000.0, *wave(5)])
    assert [(one.rule, one.row) for one in find_outliers(data)] == [("unit_error", 40)]
    assert 40 not in clean_market_data(data, find_outliers(data)).index


def test_nothing_is_filled_unasked() -> None:
    data = frame([10.0, 11.0, 12.0], volume=[1.0, None, 3.0])
    cleaned = clean_market_data(data, [])
    assert cleaned["volume"].isna().tolist() == [False, True, False]
    assert "is_filled" not in cleaned


def test_what_is_filled_is_marked_and_takes_the_last_known_value_of_its_symbol() -> None:
    data = pd.concat(
        [
            frame([10.0, 11.0, 12.0, 13.0], volume=[1.0, None, None, 4.0]),
            frame([20.0, 21.0], "MSFT", volume=[None, 6.0]),
        ],
        ignore_index=True,
    ).iloc[::-1]
    cleaned = clean_market_data(data, [], forward_fill=["volume"], max_gap=DAY)
    assert cleaned.sort_index()["volume"].tolist()[:4] == [1.0, 1.0, 1.0, 4.0]
    assert cleaned.sort_index()["volume"].isna().tolist()[4:] == [True, False]
    assert cleaned.sort_index()["is_filled"].tolist() == [False, True, True, False, False, False]
    assert cleaned.index.tolist() == [5, 4, 3, 2, 1, 0]


def test_no_fill_crosses_a_gap_nor_one_that_a_rejected_row_left() -> None:
    data = frame([10.0, 11.0, 12.0, 13.0], volume=[1.0, 2.0, None, None])
    gap = data.drop(index=2)
    assert clean_market_data(gap, [], forward_fill=["volume"], max_gap=DAY)["volume"].isna().tolist()[-1]
    assert not clean_market_data(gap, [], forward_fill=["volume"], max_gap=2 * DAY)["volume"].isna().any()
    rejected = [Finding("ohlc", "reject", 2, "low above high")]
    cleaned = clean_market_data(data, rejected, forward_fill=["volume"], max_gap=DAY)
    assert cleaned["volume"].isna().tolist() == [False, False, True]
    assert not cleaned["is_filled"].any()


def test_decimal_text_is_filled_as_text() -> None:
    data = frame(["1.10", "1.20"], volume=["5.00", None])
    cleaned = clean_market_data(data, [], forward_fill=["volume"], max_gap=DAY)
    assert cleaned["volume"].tolist() == ["5.00", "5.00"]


def test_an_empty_frame_stays_one() -> None:
    cleaned = clean_market_data(frame([]), [], forward_fill=["volume"], max_gap=DAY, outliers="mark")
    assert len(cleaned) == 0
    assert {"is_filled", "is_outlier"} <= set(cleaned.columns)


def test_filling_needs_to_know_what_a_gap_is_and_the_columns() -> None:
    with pytest.raises(UsageError, match="max_gap"):
        clean_market_data(frame([1.0]), [], forward_fill=["volume"])
    with pytest.raises(UsageError, match="bid"):
        clean_market_data(frame([1.0]), [], forward_fill=["bid"], max_gap=DAY)


def test_rows_without_a_symbol_or_a_time_are_nobodys_neighbours() -> None:
    data = frame([1.0, 2.0, 3.0], symbol="A", volume=[1.0, None, None]).assign(symbol=[None, None, "A"])
    data["timestamp"] = [FIRST.isoformat(), FIRST.isoformat(), "never"]
    cleaned = clean_market_data(data, [], forward_fill=["volume"], max_gap=DAY)
    assert cleaned["volume"].isna().tolist() == [False, True, True]


def test_what_was_filled_in_is_not_saved_as_observed() -> None:
    filled = {"symbol": "AAPL", "price": "1", "timestamp": FIRST, "source": "mine", "is_filled": True}
    with pytest.raises(UsageError, match="no observation"):
        save_quote(filled, settings=Settings.from_mapping({}), now=FIRST)


def test_a_row_without_a_known_time_neither_gives_nor_takes() -> None:
    data = pd.DataFrame(
        {"symbol": "A", "timestamp": [pd.NaT, pd.NaT, pd.Timestamp("2024-01-02", tz="UTC")], "price": [1.0, None, None]}
    )
    filled = clean_market_data(data, [], forward_fill=["price"], max_gap=timedelta(days=1))
    assert filled["is_filled"].tolist() == [False] * 3
