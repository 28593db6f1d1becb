"""Items come through their JSON message as they were."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import (
    AssetClass,
    Instrument,
    Interval,
    Item,
    Kind,
    TimeRange,
)


def through_json(message: dict[str, Any]) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(json.dumps(message))
    return decoded


@st.composite
def items(draw: Any) -> Item:
    start = draw(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
    window = TimeRange(start, start + draw(st.timedeltas(timedelta(microseconds=1), timedelta(days=9999))))
    return Item(
        id=draw(st.uuids()),
        run_id=draw(st.uuids()),
        kind=draw(st.sampled_from(list(Kind))),
        instrument=Instrument(
            draw(st.sampled_from(["AAPL", "^GSPC", "EURUSD=X"])),
            draw(st.sampled_from(list(AssetClass))),
            draw(st.sampled_from([None, "USD", "GBp"])),
            draw(st.sampled_from([None, "XLON"])),
        ),
        instrument_id=draw(st.integers(1, 2**31)),
        interval=draw(st.sampled_from([None, *Interval])),
        window=draw(st.sampled_from([None, window])),
        generation=draw(st.integers(0, 9)),
        resume=draw(st.booleans()),
    )


@given(items())
def test_an_item_comes_through_json_as_it_was(item: Item) -> None:
    assert Item.from_message(through_json(item.to_message())) == item


@given(
    st.dictionaries(
        st.sampled_from(["id", "run_id", "kind", "symbol", "asset_class", "instrument_id", "window"]), st.text()
    )
)
def test_what_is_no_items_message_is_a_value_error(message: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whichever part is wrong, the type is what callers rely on
        Item.from_message(message)
