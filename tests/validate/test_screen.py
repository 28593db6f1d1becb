"""The screening of many rows with numpy finds what the check of one row finds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import BAR_COLUMNS, QUOTE_COLUMNS, Batch, Finding, Interval, Kind, to_micros
from fintrack_tasks.validate import check_batch

NOW = datetime(2024, 6, 3, 15, 0, tzinfo=UTC)


CELLS = st.one_of(
    st.none(),
    st.decimals(-5, 5, places=1).map(str),
    st.sampled_from(["nan", "inf", "-inf", "1e999", "-1e999", "1e-999", "0", "-0", "", " 1 ", "1_0", "٣", "abc", "+2"]),
    st.floats(),
    st.integers(-3, 3),
    st.booleans(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=1),
)


STAMPS = st.one_of(
    st.integers(to_micros(NOW) - 3, to_micros(NOW) + 3),
    st.integers(to_micros(NOW) + 299_999_998, to_micros(NOW) + 300_000_003),
    st.integers(),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**40]),
    st.none(),
    st.booleans(),
    st.floats(),
    st.text(max_size=2),
    st.lists(st.integers(), max_size=1),
)


GOOD = {name: st.sampled_from(["1", "2", "3"]) for name in {*QUOTE_COLUMNS, *BAR_COLUMNS}}


@st.composite
def batches(draw: Callable[..., Any]) -> Batch:
    kind = draw(st.sampled_from(list(Kind)))
    names = QUOTE_COLUMNS if kind is Kind.QUOTE else BAR_COLUMNS
    kept = [name for name in names if name == "timestamp" or draw(st.integers(0, 9)) > 0]
    size = draw(st.integers(0, 6))
    columns = {}
    for name in kept:
        nice = st.integers(to_micros(NOW) - 9, to_micros(NOW)) if name == "timestamp" else GOOD[name]
        odd = STAMPS if name == "timestamp" else CELLS
        cell = nice if draw(st.booleans()) else st.one_of(nice, odd)
        columns[name] = draw(st.lists(cell, min_size=size, max_size=size))
    interval = None if kind is Kind.QUOTE else draw(st.sampled_from(list(Interval)))
    return Batch(kind, draw(st.sampled_from(["AAPL", ""])), "x", columns, interval=interval)


@given(batches())
def test_one_row_and_many_rows_get_equal_verdicts(batch: Batch) -> None:
    """The path for many rows says of each row by itself exactly what the path for one row says; it never raises."""
    together = [one for one in check_batch(batch, NOW) if one.row is not None]
    by_itself = [one for one in together if one.rule not in ("duplicates", "timestamp_order")]
    alone = []
    for row in range(len(batch)):
        alone += [
            Finding(one.rule, one.severity, row, one.detail)
            for one in check_batch(batch.take([row]), NOW)
            if one.row is not None
        ]
    assert by_itself == alone
