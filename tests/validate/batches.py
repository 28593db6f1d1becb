"""Batches for the tests of checks: right quotes and bars, and batches of any cells for hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from fintrack_tasks.domain import BAR_COLUMNS, QUOTE_COLUMNS, Batch, Interval, Kind, to_micros
from fintrack_tasks.validate import Limits, check_batch

NOW = datetime(2024, 6, 3, 15, 0, tzinfo=UTC)


def quote(**cells: Any) -> Batch:
    row = {"timestamp": to_micros(NOW), "price": "189.50", "volume": "1000", **cells}
    return Batch(Kind.QUOTE, "AAPL", "yahoo_finance", {name: [cell] for name, cell in row.items()})


def bars(rows: int = 4, **columns: list[Any]) -> Batch:
    first = to_micros(NOW - timedelta(days=rows))
    day = 86_400_000_000
    made: dict[str, list[Any]] = {
        "timestamp": [first + place * day for place in range(rows)],
        "open": ["10"] * rows,
        "high": ["12.5"] * rows,
        "low": ["9"] * rows,
        "close": ["11"] * rows,
        "adj_close": ["10.9"] * rows,
        "volume": ["100"] * rows,
    }
    return Batch(Kind.BARS, "AAPL", "yahoo_finance", {**made, **columns}, interval=Interval.D1)


def rules(batch: Batch, limits: Limits | None = None) -> list[tuple[str, int | None]]:
    return [(one.rule, one.row) for one in check_batch(batch, NOW, limits or Limits())]


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
