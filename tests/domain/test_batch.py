"""Batches: bounds, rows, and their JSON message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import (
    BATCH_LIMIT,
    Batch,
    Interval,
    Kind,
)


def through_json(message: dict[str, Any]) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(json.dumps(message))
    return decoded


@st.composite
def batches(draw: Any) -> Batch:
    size = draw(st.integers(0, 5))
    cells = st.one_of(st.none(), st.decimals(allow_nan=False, allow_infinity=False).map(str))
    columns = {
        name: draw(st.lists(cells, min_size=size, max_size=size))
        for name in draw(st.lists(st.sampled_from(["price", "volume", "close"]), unique=True))
    }
    columns["timestamp"] = draw(st.lists(st.integers(-(2**53), 2**53), min_size=size, max_size=size))
    return Batch(
        kind=draw(st.sampled_from(list(Kind))),
        symbol=draw(st.text(min_size=1, max_size=9)),
        source="yahoo_finance",
        columns=columns,
        currency=draw(st.sampled_from([None, "USD"])),
        interval=draw(st.sampled_from([None, *Interval])),
        meta=draw(st.dictionaries(st.text(max_size=3), st.one_of(st.integers(), st.text(max_size=3)), max_size=2)),
    )


@given(batches())
def test_a_batch_comes_through_json_as_it_was(batch: Batch) -> None:
    assert Batch.from_message(through_json(batch.to_message())) == batch


@given(batches(), st.data())
def test_taking_rows_gives_those_rows_in_that_order(batch: Batch, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(batch) - 1), max_size=5) if len(batch) else st.just([]))
    taken = batch.take(chosen)
    assert [taken.row(place) for place in range(len(taken))] == [batch.row(row) for row in chosen]


def test_a_batch_has_times_columns_of_one_length_and_a_bound() -> None:
    for columns in ({}, {"price": ["1"]}, {"timestamp": [1], "price": []}):
        with pytest.raises(ValueError, match="one length"):
            Batch(Kind.QUOTE, "A", "x", columns)
    Batch(Kind.QUOTE, "A", "x", {"timestamp": [0] * BATCH_LIMIT})
    with pytest.raises(ValueError, match="at most"):
        Batch(Kind.QUOTE, "A", "x", {"timestamp": [0] * (BATCH_LIMIT + 1)})


@pytest.mark.parametrize("message", [{}, {"kind": "quote"}, {"kind": "?", "symbol": "A", "source": "x", "columns": {}}])
def test_what_is_no_batchs_message_is_a_value_error(message: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whichever part is wrong, the type is what callers rely on
        Batch.from_message(message)
