"""The transformation of a DataFrame, against values counted by hand and against each symbol on its own."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.errors import UsageError
from fintrack_tasks.transform import INDICATORS, DataTransformer
from fintrack_tasks.transform.indicators import indicators
from tests import bundled_histories

DERIVED = ["price_change", "price_change_pct", "sma_20", "sma_50"]


def transform(data: pd.DataFrame) -> pd.DataFrame:
    return DataTransformer().transform_market_data(data)


def frame(symbols: list[Any], prices: Any, start: str = "2024-01-01") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Symbol": symbols,
            "Timestamp": pd.date_range(start, periods=len(symbols)),
            "PRICE": prices,
            "volume": [1] * len(symbols),
        }
    )


def test_columns_are_lower_case_and_times_are_utc() -> None:
    result = transform(frame(["A", "A"], [1.0, 2.0]))
    assert list(result.columns) == ["symbol", "timestamp", "price", "volume", *DERIVED]
    assert str(result["timestamp"].dt.tz) == "UTC"
    assert result["timestamp"].iloc[0] == pd.Timestamp("2024-01-01T00:00Z")


def test_aware_times_are_converted_and_naive_ones_read_as_utc() -> None:
    stamps = ["2024-01-01T10:00:00+10:00", "2024-01-01 10:00", "2024-01-01"]
    result = transform(pd.DataFrame({"symbol": "A", "timestamp": stamps, "price": 1.0}))
    assert [stamp.isoformat() for stamp in result["timestamp"]] == [
        "2024-01-01T00:00:00+00:00",
        "2024-01-01T10:00:00+00:00",
        "2024-01-01T00:00:00+00:00",
    ]


def test_changes_are_taken_within_a_symbol() -> None:
    result = transform(frame(["A", "B", "A", "B"], [10.0, 100.0, 11.0, 50.0]))
    assert result["price_change"].tolist() == pytest.approx([np.nan, np.nan, 1.0, -50.0], nan_ok=True)
    assert result["price_change_pct"].tolist() == pytest.approx([np.nan, np.nan, 0.1, -0.5], nan_ok=True)


def test_changes_follow_time_and_rows_keep_their_place() -> None:
    data = frame(["A", "A", "A"], [1.0, 3.0, 6.0]).iloc[[2, 0, 1]]
    data.index = pd.Index(["x", "y", "x"])
    result = transform(data)
    assert result.index.tolist() == ["x", "y", "x"]
    assert result["price"].tolist() == [6.0, 1.0, 3.0]
    assert result["price_change"].tolist() == pytest.approx([3.0, np.nan, 2.0], nan_ok=True)


def test_averages_begin_when_there_are_enough_prices_of_the_symbol() -> None:
    data = pd.concat([frame(["A"] * 60, np.arange(1.0, 61.0)), frame(["B"] * 10, [1e9] * 10)], ignore_index=True)
    result = transform(data)
    assert result["sma_20"].iloc[:19].isna().all()
    assert result["sma_20"].iloc[[19, 59]].tolist() == [10.5, 50.5]  # means of 1..20 and 41..60
    assert result["sma_50"].iloc[:49].isna().all()
    assert result["sma_50"].iloc[[49, 59]].tolist() == [25.5, 35.5]
    assert result["sma_20"].iloc[60:].isna().all()


def test_a_change_from_zero_has_no_share() -> None:
    result = transform(frame(["A", "A"], [0.0, 1.0]))
    assert result["price_change"].iloc[1] == 1.0
    assert np.isnan(result["price_change_pct"].iloc[1])


def test_text_and_decimal_prices_are_computed_with_and_kept() -> None:
    result = transform(frame(["A", "A"], pd.Series(["1.5", Decimal("2.25")], dtype="object")))
    assert result["price"].tolist() == ["1.5", Decimal("2.25")]
    assert result["price_change"].iloc[1] == 0.75


def test_rows_without_symbol_or_time_belong_to_no_series() -> None:
    data = pd.DataFrame(
        {"symbol": ["A", None, "A", "A"], "timestamp": ["2024-01-01", "2024-01-02", None, "2024-01-03"]}
    )
    result = transform(data.assign(price=[1.0, 2.0, 3.0, 5.0]))
    assert result["price_change"].tolist() == pytest.approx([np.nan, np.nan, np.nan, 4.0], nan_ok=True)


@pytest.mark.parametrize(
    "data", [pd.DataFrame(), pd.DataFrame({"Symbol": [], "note": []}), frame([], []), frame(["A"], [1.0]).iloc[:0]]
)
def test_an_empty_frame_gives_an_empty_frame_with_all_columns(data: pd.DataFrame) -> None:
    result = transform(data)
    assert len(result) == 0
    assert {"symbol", "timestamp", "price", *DERIVED} <= set(result.columns)
    assert str(result["timestamp"].dt.tz) == "UTC"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"symbol": ["A"], "price": [1.0]}, "timestamp"),
        ({"price": [1.0]}, "symbol, timestamp"),
        ({"symbol": ["A"], "timestamp": ["soon"], "price": [1.0]}, "timestamp"),
        ({"symbol": ["A"], "timestamp": [1704067200], "price": [1.0]}, "unit"),
        ({"symbol": ["A"], "timestamp": [[1]], "price": [1.0]}, "timestamp"),
        ({"symbol": ["A"], "timestamp": ["2024-01-01"], "price": ["cheap"]}, "price"),
        ({"symbol": ["A"], "timestamp": ["2024-01-01"], "price": [1.0], "Price": [2.0]}, "price"),
        ({"symbol": ["A"], "timestamp": ["2024-01-01"], "price": [1.0], "SMA_20": [2.0], "sma_20": [1.0]}, "sma_20"),
    ],
)
def test_what_cannot_be_transformed_is_named(data: dict[str, list[Any]], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        transform(pd.DataFrame(data))


def test_columns_that_are_no_text_are_left_alone() -> None:
    data = frame(["A"], [1.0]).assign(x=1).rename(columns={"x": 7})
    assert 7 in transform(data).columns


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A", "B", None]),
            st.integers(0, 40),
            st.floats(0.5, 500.0, allow_nan=False),
        ),
        max_size=80,
    )
)
def test_a_symbol_among_others_gets_what_it_gets_alone(rows: list[tuple[Any, int, float]]) -> None:
    data = pd.DataFrame(
        {
            "symbol": pd.Series([symbol for symbol, _, _ in rows], dtype="object"),
            "timestamp": pd.Timestamp("2024-01-01") + pd.to_timedelta([day for _, day, _ in rows], unit="D"),
            "price": pd.Series([price for _, _, price in rows], dtype="float64"),
        }
    )
    before = data.copy(deep=True)
    result = transform(data)
    pd.testing.assert_frame_equal(data, before)
    assert result.index.equals(data.index)
    for symbol in ("A", "B"):
        mine = data[data["symbol"] == symbol]
        alone = mine.sort_values("timestamp", kind="stable")
        # The specification's own formulas, on one symbol in the order of time.
        expected = pd.DataFrame(
            {
                "price_change": alone["price"].diff(),
                "price_change_pct": alone["price"].pct_change(),
                "sma_20": alone["price"].rolling(20).mean(),
                "sma_50": alone["price"].rolling(50).mean(),
            }
        ).reindex(mine.index)
        pd.testing.assert_frame_equal(result.loc[mine.index, DERIVED], expected, rtol=1e-9)


# --- Enriched bars ------------------------------------------------------------------------------------------------


def test_bars_are_enriched_symbol_by_symbol_in_the_order_of_time() -> None:
    data = pd.concat([bundled_histories.frame("IBM"), bundled_histories.frame("GOOG")]).sample(frac=1.0, random_state=3)
    before = data.copy(deep=True)
    result = DataTransformer().enrich(data.rename(columns=str.upper), benchmark=bundled_histories.market())
    pd.testing.assert_frame_equal(data, before)
    assert list(result.columns) == [*data.columns, *INDICATORS]
    assert result.index.equals(data.index)
    for symbol in ("IBM", "GOOG"):
        mine = result[result["symbol"] == symbol].sort_values("timestamp")
        for name, values in indicators(bundled_histories.prices(symbol)).items():
            np.testing.assert_array_equal(mine[name].to_numpy(), values, err_msg=name)


def test_only_the_indicators_that_were_asked_for_are_added_and_old_ones_are_replaced() -> None:
    data = bundled_histories.frame("FB").assign(sma_20=7.0)
    result = DataTransformer().enrich(data, ["rsi_14", "sma_20"])
    assert list(result.columns) == [*(name for name in data.columns if name != "sma_20"), "sma_20", "rsi_14"]
    assert result["sma_20"].isna().sum() == 19


def test_what_an_indicator_needs_and_is_not_there_leaves_it_unknown() -> None:
    data = bundled_histories.frame("FB")[["symbol", "timestamp", "close"]].rename(columns={"close": "price"})
    result = DataTransformer().enrich(data)
    for name in ("atr_14", "vwap", "obv", "parkinson_20", "garman_klass_20", "beta_60", "correlation_60"):
        assert result[name].isna().all(), name
    assert result["macd"].notna().sum() == len(data) - 33


def test_sessions_give_a_vwap() -> None:
    data = bundled_histories.frame("FB").iloc[:4].assign(session=["a", "a", "b", "b"])
    typical = data[["high", "low", "close"]].mean(axis=1)
    got = DataTransformer().enrich(data, ["vwap"])["vwap"].to_numpy()
    for rows in (slice(0, 2), slice(2, 4)):
        expected = np.average(typical.iloc[rows], weights=data["volume"].iloc[rows])
        assert got[rows].tolist() == pytest.approx([typical.iloc[rows].iloc[0], expected], rel=1e-12)


def test_rows_without_symbol_or_time_and_frames_without_rows_have_no_indicators() -> None:
    data = bundled_histories.frame("FB").iloc[:60].copy()
    data.loc[5, "symbol"] = None
    data.loc[6, "timestamp"] = pd.NaT
    result = DataTransformer().enrich(data, ["change", "sma_50"])
    assert result.loc[[5, 6]][["change", "sma_50"]].isna().all(axis=None)
    assert result.loc[7, "change"] == data.loc[7, "close"] - data.loc[4, "close"]
    assert result["sma_50"].notna().sum() == 9
    assert list(DataTransformer().enrich(data.iloc[:0], ["change"]).columns) == [*data.columns, "change"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"names": ["sma_7"]}, "no indicator sma_7"),
        ({"drop": "close"}, "symbol, timestamp, price"),
        ({"high": "dear"}, "high cannot be read"),
    ],
)
def test_what_cannot_be_enriched_is_named(change: dict[str, Any], named: str) -> None:
    data = bundled_histories.frame("FB")
    names = change.pop("names", INDICATORS)
    data = data.drop(columns=change.pop("drop")) if "drop" in change else data.assign(**change)
    with pytest.raises(UsageError, match=named):
        DataTransformer().enrich(data, names)
