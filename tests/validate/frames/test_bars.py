"""Checks of a DataFrame of bars: each rule by its name, real histories left in peace, no crash whatever it holds."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.sandbox.prices import real_daily, real_splits
from fintrack_tasks.validate import DataValidator, ValidationResult
from fintrack_tasks.validate.frames.bars import BAR_COLUMNS, BAR_RULES

NOW = datetime(2024, 6, 3, 15, 0, tzinfo=UTC)


def real(symbol: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "symbol": symbol,
            "timestamp": pd.to_datetime([each.day for each in real_daily()[symbol]], utc=True),
            **{n: [getattr(d, n) for d in real_daily()[symbol]] for n in ("open", "high", "low", "close", "volume")},
        }
    )


def week(**columns: Any) -> pd.DataFrame:
    """Five quiet sessions of New York."""
    days = pd.date_range("2024-05-06", periods=5, tz="UTC")
    data: dict[str, Any] = {"symbol": "AAPL", "timestamp": days}
    data |= {"open": [10.0, 11, 12, 11, 10], "high": [12.0, 13, 14, 13, 12], "low": [9.0, 10, 11, 10, 9]}
    data |= {"close": [11.0, 12, 13, 12, 11], "volume": [100, 110, 120, 115, 105]}
    return pd.DataFrame({**data, **columns})


def failed(result: ValidationResult) -> list[str]:
    return [check.name for check in result.checks if not check.passed]


def test_quiet_bars_are_valid_and_every_rule_for_bars_is_a_check() -> None:
    result = DataValidator(NOW).validate_bars(week())
    assert (result.is_valid, result.completeness_score, result.quality_score) == (True, 1.0, 1.0)
    assert [check.name for check in result.checks] == list(BAR_RULES)


@pytest.mark.parametrize(
    ("column", "cells", "rule", "rows"),
    [
        ("close", [11.0, None, 13.0, 12.0, 11.0], "value_ranges", {1}),
        ("open", [10.0, -11, 12, 11, 10], "value_ranges", {1}),
        ("open", [10.0, "eleven", 12, 11, 10], "data_types", {1}),
        ("high", [12.0, 13, 14, 10.5, 12], "ohlc", {3}),
        ("timestamp", pd.to_datetime(["2024-05-06", "2024-05-07", "2024-05-08", "2024-05-09", "2024-05-11"], utc=True),
         "outside_session", {4}),
        ("timestamp", pd.to_datetime(["2024-05-06", "2024-05-07", "2024-05-08", "2024-05-08", "2024-05-10"], utc=True),
         "duplicates", {3}),
        ("timestamp", pd.to_datetime(["2024-05-06", "2024-05-07", "2024-05-08", "2024-05-09", "2024-06-10"], utc=True),
         "timestamps", {4}),
        ("symbol", ["AAPL", "AAPL", None, "AAPL", "AAPL"], "value_ranges", {2}),
        ("symbol", ["AAPL", "AAPL", 7, "AAPL", "AAPL"], "data_types", {2}),
    ],
)  # fmt: skip
def test_a_wrong_bar_breaks_its_rule_at_its_row(column: str, cells: Any, rule: str, rows: set[int]) -> None:
    result = DataValidator(NOW).validate_bars(week(**{column: cells}))
    assert failed(result) == [rule]
    assert {one.row for one in result.findings if one.severity == "reject"} == rows
    assert result.quality_score == pytest.approx(1 - len(rows) / 5)


def test_a_missing_column_is_named_and_leaves_nothing_standing() -> None:
    result = DataValidator().validate_bars(week().drop(columns=["low", "volume"]))
    assert failed(result) == ["required_columns"]
    assert result.checks[0].details == {"missing_columns": ["low", "volume"]}
    assert result.quality_score == 0.0
    assert DataValidator().validate_bars(pd.DataFrame()).checks[0].details == {"missing_columns": list(BAR_COLUMNS)}


def test_rows_of_several_symbols_are_judged_apart_and_found_at_their_own_rows() -> None:
    """Interleaved, so that a price of one beside a price of the other is no jump."""
    cheap, dear = week(), week(symbol="MSFT", **{n: [400.0] * 5 for n in ("open", "high", "low", "close")})
    both = pd.concat([cheap, dear]).sort_values("timestamp", kind="stable", ignore_index=True)
    assert DataValidator(NOW).validate_bars(both).is_valid
    [row] = np.flatnonzero((both["symbol"] == "MSFT") & (both["timestamp"] == pd.Timestamp("2024-05-08", tz="UTC")))
    both.loc[row, "close"] = 401.0
    result = DataValidator(NOW).validate_bars(both)
    assert {(one.rule, one.row) for one in result.findings} == {("ohlc", int(row))}


@pytest.mark.parametrize("symbol", ["AAPL", "FB", "GOOG", "IBM", "MSFT", "^GSPC", "^IXIC"])
def test_real_histories_are_valid_and_their_splits_are_jumps_only_where_nobody_knows_them(symbol: str) -> None:
    data, splits = real(symbol), real_splits(symbol)
    for known in ({}, {symbol: splits}):
        result = DataValidator().validate_bars(data, splits=known)
        assert result.is_valid, failed(result)
        marked = {data["timestamp"][one.row].date() for one in result.findings if one.rule == "missed_split"}
        for day, _ in splits:
            assert (day in marked) is not known


def test_a_split_is_taken_out_of_the_volumes_as_well() -> None:
    """GOOG's bars with a split of 20 for 1 on the 100th day: as many shares more, at a twentieth."""
    data = real("GOOG")[:200].reset_index(drop=True)
    day = data["timestamp"][100].date()
    data[["open", "high", "low", "close", "volume"]] = data[["open", "high", "low", "close", "volume"]].astype(float)
    quiet = [one.row for one in DataValidator().validate_bars(data).findings]
    data.loc[100:, ["open", "high", "low", "close"]] /= 20
    data.loc[100:, "volume"] *= 20
    told = DataValidator().validate_bars(data, splits={"goog": [(day.isoformat(), 20.0)]})
    assert [one.row for one in told.findings] == quiet
    untold = DataValidator().validate_bars(data)
    assert sum(one.rule == "volume_anomaly" for one in untold.findings) > 20


def test_a_repeat_names_the_row_of_the_frame_that_it_repeats() -> None:
    both = pd.concat([week(), week(symbol="MSFT")], ignore_index=True).sample(frac=1.0, random_state=1)
    twice = pd.concat([both, both.iloc[[3]]], ignore_index=True)
    [found] = [one for one in DataValidator(NOW).validate_bars(twice).findings if one.rule == "duplicates"]
    assert (found.row, found.detail.partition(",")[0]) == (10, "repeats row 3")


def test_every_bar_of_a_shifted_frame_is_found_however_long_it_is() -> None:
    data = real("IBM")[:1006].assign(timestamp=lambda frame: frame["timestamp"] + pd.Timedelta(days=1))
    result = DataValidator().validate_bars(data)
    assert len({one.row for one in result.findings if one.severity == "reject"}) == 1006


def test_rows_in_disorder_are_flagged_and_judged_in_the_order_of_time() -> None:
    data = real("IBM")
    result = DataValidator().validate_bars(data.sample(frac=1.0, random_state=5, ignore_index=True))
    plain = DataValidator().validate_bars(data)
    assert result.is_valid
    rules = [sorted(one.rule for one in each.findings if one.rule != "timestamp_order") for each in (result, plain)]
    assert rules[0] == rules[1]
    assert next(c for c in result.checks if c.name == "timestamp_order").details["flagged_rows"] > len(data) // 2


def test_a_bar_that_comes_twice_is_found_however_long_the_frame_is() -> None:
    data = real("^GSPC")
    twice = pd.concat([data, data.iloc[[999, 1000, 3000]]], ignore_index=True)
    result = DataValidator().validate_bars(twice)
    assert {(one.rule, one.row) for one in result.findings if one.severity == "reject"} == {
        ("duplicates", len(data) + n) for n in range(3)
    }


def test_flags_leave_a_frame_valid_and_are_counted() -> None:
    data = real("IBM")[-200:].reset_index(drop=True)
    data.loc[150:, ["open", "high", "low", "close"]] *= 1.4
    result = DataValidator().validate_bars(data)
    check = next(check for check in result.checks if check.name == "price_jump")
    assert (result.is_valid, result.quality_score, check.passed) == (True, 1.0, True)
    assert check.details["flagged_rows"] >= 1
    assert any(text.startswith("row 150: ") for text in check.details["examples"])


def test_hours_are_judged_by_the_sessions_of_the_symbols_own_exchange() -> None:
    """10:00 in Sydney is 23:00 or 00:00 UTC; New York is closed then, and a calendar may be named."""
    hours = pd.DataFrame(
        {
            "symbol": "BHP.AX",
            "timestamp": pd.to_datetime(["2024-04-04T23:00Z", "2024-04-08T00:00Z", "2024-04-08T01:00Z"]),
            "open": [10.0, 11, 10], "high": [12.0, 13, 12], "low": [9.0, 10, 9], "close": [11.0, 12, 10],
            "volume": [1, 2, 3],
        }
    )  # fmt: skip
    assert DataValidator().validate_bars(hours, "1h").is_valid
    assert set(failed(DataValidator().validate_bars(hours, "1h", calendar="XNYS"))) <= {
        "outside_session",
        "shifted_zone",
    }
    assert not DataValidator().validate_bars(hours, "1h", calendar="XNYS").is_valid


@pytest.mark.parametrize("symbol", ["RELIANCE.NS", "^NSEI"])
@pytest.mark.parametrize("days", [["02-29", "03-01", "03-02"], ["03-01", "03-02", "03-04"], ["03-02", "03-04"]])
def test_a_traded_saturday_is_valid_wherever_a_frame_begins_and_ends(symbol: str, days: list[str]) -> None:
    """NSE traded on Saturday, 2 March 2024."""
    times = pd.to_datetime([f"2024-{day}" for day in days], utc=True)
    result = DataValidator(NOW).validate_bars(week().head(len(days)).assign(symbol=symbol, timestamp=times))
    [check] = [check for check in result.checks if check.name == "unlisted_session"]
    assert (result.is_valid, failed(result), check.details["flagged_rows"]) == (True, [], 1)


def test_a_split_applies_to_hours_from_the_sessions_opening() -> None:
    stamps = pd.date_range("2024-05-06T13:30Z", periods=7, freq="h").append(
        [pd.date_range(f"2024-05-{day:02}T13:30Z", periods=7, freq="h") for day in (7, 8, 9, 10)]
    )
    close = np.where(stamps < pd.Timestamp("2024-05-09", tz="UTC"), 400.0, 100.0) + np.tile([0, 1, 0, 1, 0, 1, 0], 5)
    data = pd.DataFrame({"symbol": "AAPL", "timestamp": stamps, "volume": 100})
    data = data.assign(open=close, high=close + 1, low=close - 1, close=close)
    splits = {"AAPL": [(date(2024, 5, 9), 4.0)]}
    marked = {one.rule for one in DataValidator().validate_bars(data, "1h").findings}
    assert "missed_split" in marked
    assert "missed_split" not in {one.rule for one in DataValidator().validate_bars(data, "1h", splits=splits).findings}


def test_what_cannot_be_judged_is_said() -> None:
    with pytest.raises(ConfigurationError, match="NOWHERE"):
        DataValidator().validate_bars(week(), calendar="NOWHERE")
    with pytest.raises(ValueError, match="never"):
        DataValidator().validate_bars(week(), splits={"AAPL": [("never", 2.0)]})
    with pytest.raises(ValueError, match="2h"):
        DataValidator().validate_bars(week(), "2h")


CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=3), st.datetimes(),
    st.dates(), st.timedeltas(), st.decimals(), st.lists(st.integers(), max_size=1), st.just(np.datetime64("NaT")),
)  # fmt: skip


@given(st.lists(st.tuples(*[CELLS] * len(BAR_COLUMNS)), min_size=1, max_size=6), st.sampled_from(["1d", "1h", "15m"]))
def test_nothing_that_a_frame_may_hold_raises_or_is_changed(rows: list[tuple[Any, ...]], interval: str) -> None:
    data = pd.DataFrame(rows, columns=list(BAR_COLUMNS), dtype=object)
    before = repr(data.to_numpy().tolist())
    result = DataValidator(NOW).validate_bars(data, interval)
    assert 0.0 <= result.completeness_score <= 1.0
    assert 0.0 <= result.quality_score <= 1.0
    assert all(one.row is None or 0 <= one.row < len(data) for one in result.findings)
    assert repr(data.to_numpy().tolist()) == before


def test_a_frame_of_stored_bars_with_unknown_opens_is_valid() -> None:
    frame = pd.DataFrame(
        {
            "symbol": ["JNJ", "CL=F"],
            "timestamp": pd.to_datetime(["1970-01-02", "2020-04-20"], utc=True),
            "open": [None, 17.73],
            "high": [3.2037, 17.85],
            "low": [3.1713, -40.32],
            "close": [3.1944, -37.63],
            "volume": [374400, 247947],
        }
    )
    result = DataValidator().validate_bars(frame)
    assert result.is_valid
    assert [(one.rule, one.row) for one in result.findings] == [("unknown_price", 0)]
