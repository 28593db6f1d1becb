"""Checks of a DataFrame: the specification's own examples, every dtype, and agreement with the pipeline's verdicts."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import Batch, Kind, to_micros
from fintrack_tasks.validate import CheckResult, DataValidator, ValidationResult, check_batch

NOW = datetime(2024, 6, 3, 15, 0, tzinfo=UTC)
CHECKS = ["required_columns", "data_types", "value_ranges", "timestamps", "duplicates"]


def frame(**columns: Any) -> pd.DataFrame:
    data = {
        "symbol": ["AAPL", "GOOGL", "MSFT"],
        "timestamp": ["2024-01-01", "2024-01-01", "2024-01-01"],
        "price": [150.00, 2800.00, 350.00],
        "volume": [1000000, 500000, 800000],
    }
    return pd.DataFrame({**data, **columns})


def failed(data: pd.DataFrame, now: datetime | None = NOW) -> list[str]:
    return [check.name for check in DataValidator(now).validate_market_data(data).checks if not check.passed]


class TestDataQuality:
    """The specification's example tests."""

    def setup_method(self) -> None:
        self.validator = DataValidator()

    def test_validate_market_data_completeness(self) -> None:
        result = self.validator.validate_market_data(frame())
        assert result.is_valid
        assert result.completeness_score == 1.0

    def test_validate_market_data_quality(self) -> None:
        result = self.validator.validate_market_data(frame(price=[150.00, -2800.00, 350.00]))
        assert not result.is_valid
        assert result.quality_score < 1.0


def test_the_five_checks_come_in_the_specifications_order() -> None:
    assert [check.name for check in DataValidator().validate_market_data(frame()).checks] == CHECKS


def test_missing_columns_are_named() -> None:
    result = DataValidator().validate_market_data(frame().drop(columns=["volume", "symbol"]))
    assert result.checks[0] == CheckResult("required_columns", False, {"missing_columns": ["symbol", "volume"]})
    assert (result.is_valid, result.completeness_score, result.quality_score) == (False, 0.5, 0.0)


def test_quality_is_the_share_of_rows_without_a_rejecting_finding() -> None:
    result = DataValidator().validate_market_data(frame(price=[150.00, -2800.00, 350.00]))
    assert result.quality_score == pytest.approx(2 / 3)
    assert result.checks[2].details == {
        "rejected_rows": 1,
        "examples": ["row 1: price is not above zero: -2800.0"],
    }


def test_completeness_is_the_share_of_known_required_cells() -> None:
    result = DataValidator().validate_market_data(frame(volume=[1.0, None, None], note=[None, None, None]))
    assert (result.is_valid, result.completeness_score) == (True, pytest.approx(10 / 12))


def test_a_frame_without_rows_is_valid_when_it_has_the_columns() -> None:
    result = DataValidator().validate_market_data(frame().iloc[:0])
    assert (result.is_valid, result.completeness_score, result.quality_score) == (True, 0.0, 1.0)
    assert failed(pd.DataFrame()) == ["required_columns"]


@pytest.mark.parametrize(
    "stamps",
    [
        ["2024-01-01", "2024-01-01T10:00:00Z", "2024-01-01 10:00:00.123456+05:30"],
        pd.to_datetime(["2024-01-01"] * 3),
        pd.to_datetime(["2024-01-01"] * 3).tz_localize("Australia/Sydney"),
        pd.to_datetime(["2024-01-01"] * 3).as_unit("s"),
        pd.Series([date(2024, 1, 1)] * 3, dtype="object"),
        pd.Series([datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1)))] * 3, dtype="object"),
        pd.Series([np.datetime64("2024-01-01")] * 3, dtype="object"),
        pd.Series(["2024-01-01"] * 3, dtype="category"),
    ],
)
def test_times_dates_and_iso_text_are_timestamps(stamps: Any) -> None:
    assert failed(frame(timestamp=stamps)) == []


@pytest.mark.parametrize("stamp", [1704067200, 1704067200.0, "soon", "01/02/2024", [1], True, pd.Period("2024-01")])
def test_numbers_and_other_text_are_no_timestamps(stamp: Any) -> None:
    assert failed(frame(timestamp=pd.Series([stamp] * 3, dtype="object"))) == ["data_types"]


def test_unknown_early_and_future_times_are_findings_of_the_timestamps() -> None:
    for stamps in (["2024-01-01", None, "2024-01-01"], ["1899-12-31"] * 3, ["2024-06-03T15:05:00.000001Z"] * 3):
        assert failed(frame(timestamp=stamps)) == ["timestamps"]


def test_without_a_clock_nothing_is_in_the_future() -> None:
    assert failed(frame(timestamp=["2999-01-01"] * 3), now=None) == []


@pytest.mark.parametrize(
    "prices",
    [
        pd.Series([1, 2, 3], dtype="uint8"),
        pd.Series([1, 2, 3], dtype="Int64"),
        pd.Series([1.5, 2, 3], dtype="float32"),
        pd.Series(["1.5", "2", "3e2"]),
        pd.Series([Decimal("1.5"), 2, "3.25"], dtype="object"),
        pd.Series(["1.5", "2", "3"], dtype="category"),
    ],
)
def test_numbers_of_any_dtype_and_decimal_text_are_prices(prices: pd.Series) -> None:
    assert failed(frame(price=prices)) == []


@pytest.mark.parametrize(
    "price", ["abc", "", True, 1j, [1.0], {"raw": 1.0}, b"1", pd.Timestamp("2024-01-01"), object()]
)
def test_what_is_no_number_is_a_finding_of_the_types(price: Any) -> None:
    assert failed(frame(price=pd.Series([1.0, price, 2.0], dtype="object"))) == ["data_types"]


@pytest.mark.parametrize("price", [0, -1, np.nan, np.inf, None, pd.NA, Decimal("NaN"), Decimal("sNaN"), 10**400, "inf"])
def test_prices_out_of_range_are_findings_of_the_ranges(price: Any) -> None:
    assert failed(frame(price=pd.Series([1.0, price, 2.0], dtype="object"))) == ["value_ranges"]


def test_whole_columns_of_a_wrong_dtype_are_findings_of_the_types() -> None:
    assert failed(frame(price=[True, False, True])) == ["data_types"]
    assert failed(frame(volume=pd.to_datetime(["2024-01-01"] * 3))) == ["data_types"]
    assert failed(frame(symbol=[1, 2, 3])) == ["data_types"]
    assert failed(frame(timestamp=pd.to_timedelta([1, 2, 3]))) == ["data_types"]


def test_a_symbol_has_to_be_known() -> None:
    assert failed(frame(symbol=["AAPL", None, " "])) == ["value_ranges"]


def test_a_repeat_of_symbol_and_time_is_a_duplicate_whatever_its_text() -> None:
    data = frame(symbol=["AAPL"] * 3, timestamp=["2024-01-01", "2024-01-01T00:00:00Z", "2024-01-01T01:00+01:00"])
    result = DataValidator().validate_market_data(data)
    assert [(one.rule, one.row) for one in result.findings] == [("duplicates", 1), ("duplicates", 2)]


def test_two_columns_of_one_name_are_a_finding_of_the_types() -> None:
    data = pd.concat([frame(), frame()[["price"]]], axis=1)
    result = DataValidator().validate_market_data(data)
    assert failed(data) == ["data_types"]
    assert result.quality_score == 0.0


def test_the_input_is_left_as_it_is() -> None:
    data = frame(price=["150", "x", "350"])
    before = data.copy(deep=True)
    DataValidator().validate_market_data(data)
    pd.testing.assert_frame_equal(data, before)


def test_a_result_can_be_made_from_checks_alone() -> None:
    result = ValidationResult([CheckResult("a", True, {}), CheckResult("b", False, {})])
    assert (result.is_valid, result.quality_score, result.completeness_score) == (False, 0.5, 0.5)
    assert ValidationResult([]).is_valid


ANYTHING = st.one_of(
    st.none(),
    st.floats(),
    st.integers(),
    st.booleans(),
    st.text(max_size=4),
    st.binary(max_size=2),
    st.decimals(),
    st.fractions(),
    st.complex_numbers(),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=1), st.integers(), max_size=1),
    st.sampled_from(
        [pd.NA, pd.NaT, np.float32("nan"), np.datetime64("NaT"), np.datetime64("99999-01-01"), pd.Timestamp.max]
    ),
)
LABELS = st.one_of(
    st.sampled_from(["symbol", "timestamp", "price", "volume"]), st.integers(), st.none(), st.tuples(st.text())
)


@st.composite
def wild_frames(draw: Any) -> pd.DataFrame:
    size = draw(st.integers(0, 4))
    labels = draw(st.lists(LABELS, max_size=6))
    columns = [pd.Series(draw(st.lists(ANYTHING, min_size=size, max_size=size)), dtype="object") for _ in labels]
    if not columns:
        return pd.DataFrame(index=range(size))
    data = pd.concat(columns, axis=1)
    data.columns = pd.Index(labels, dtype="object")
    return data.infer_objects() if draw(st.booleans()) else data


@given(wild_frames())
def test_no_frame_raises_and_every_score_is_a_share(data: pd.DataFrame) -> None:
    result = DataValidator(NOW).validate_market_data(data)
    assert [check.name for check in result.checks] == CHECKS
    assert 0.0 <= result.completeness_score <= 1.0
    assert 0.0 <= result.quality_score <= 1.0
    assert result.is_valid == all(check.passed for check in result.checks)
    assert not result.is_valid or result.quality_score == 1.0
    json.dumps([dict(check.details) for check in result.checks])


@pytest.mark.parametrize(
    "dtype",
    ["float64", "Int64", "string", "category", "datetime64[s]", "timedelta64[ns]", "bool", "period[D]", "complex128"],
)
@pytest.mark.parametrize("name", ["symbol", "timestamp", "price", "volume"])
def test_no_dtype_raises(name: str, dtype: str) -> None:
    cells = ["2024-01-01"] * 3 if dtype in ("datetime64[s]", "period[D]", "string", "category") else [1, 0, 1]
    data = frame(**{name: pd.Series(cells).astype(dtype)})
    assert len(DataValidator(NOW).validate_market_data(data).checks) == 5


PRICES = st.one_of(st.none(), st.sampled_from(["1", "-1", "0", "2.50", "inf", "nan", "1e999"]))
VOLUMES = st.one_of(st.none(), st.sampled_from(["1", "-1", "0", "inf", "-inf"]))
STAMPS = st.one_of(st.none(), st.integers(-3, 3).map(lambda n: NOW + timedelta(minutes=n * 5, microseconds=n)))


@given(st.lists(st.tuples(STAMPS, PRICES, VOLUMES), max_size=5))
def test_a_frame_and_a_batch_of_the_same_quotes_get_the_same_verdicts(rows: list[tuple[Any, Any, Any]]) -> None:
    columns = {
        "timestamp": [None if stamp is None else to_micros(stamp) for stamp, _, _ in rows],
        "price": [price for _, price, _ in rows],
        "volume": [volume for _, _, volume in rows],
    }
    batch = Batch(Kind.QUOTE, "AAPL", "x", columns)
    data = pd.DataFrame(
        {
            "symbol": pd.Series(["AAPL"] * len(rows), dtype="object"),
            "timestamp": pd.Series([stamp for stamp, _, _ in rows], dtype="object"),
            "price": pd.Series([price for _, price, _ in rows], dtype="object"),
            "volume": pd.Series([volume for _, _, volume in rows], dtype="object"),
        }
    )
    of_frame = {(one.rule, one.row) for one in DataValidator(NOW).validate_market_data(data).findings}
    of_batch = {(one.rule, one.row) for one in check_batch(batch, NOW) if one.severity == "reject"}
    assert of_frame == of_batch


def test_a_frame_of_quotes_may_hold_a_negative_price_of_oil_alone() -> None:
    frame = pd.DataFrame(
        {
            "symbol": ["CL=F", "^IRX", "AAPL"],
            "timestamp": pd.to_datetime(["2020-04-20"] * 3, utc=True),
            "price": [-37.63, 0.0, -1.0],
            "volume": [1, None, 1],
        }
    )
    result = DataValidator().validate_market_data(frame)
    assert [(one.rule, one.row) for one in result.findings] == [("value_ranges", 2)]
