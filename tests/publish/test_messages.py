"""What stands in Kafka is what was loaded, digit for digit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import Batch, Instrument, Interval, Item, Kind, TimeRange
from fintrack_tasks.publish import messages

NOW = datetime(2024, 3, 1, 21, 0, 5, tzinfo=UTC)
EVENT_ID = UUID("018df000-0000-7000-8000-000000000001")
RUN_ID = UUID("018df000-0000-7000-8000-000000000002")
ITEM_ID = UUID("018df000-0000-7000-8000-000000000003")

decimals = st.decimals(allow_nan=False, allow_infinity=False, places=8).map(str) | st.from_regex(
    r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,12})?", fullmatch=True
)
micros = st.integers(-60_000_000_000_000_000, 240_000_000_000_000_000)
uuids = st.uuids(version=4)
times = st.datetimes(
    min_value=datetime(1900, 1, 2),  # noqa: DTZ001  hypothesis adds the zone
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001  hypothesis adds the zone
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=5, minutes=30))]),
)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    rows = draw(st.integers(0, 12))
    column = st.lists(st.none() | decimals, min_size=rows, max_size=rows)
    columns = {"timestamp": draw(st.lists(micros, min_size=rows, max_size=rows))}
    for name in draw(st.sets(st.sampled_from(["open", "high", "low", "close", "adj_close", "volume", "rsi_14"]))):
        columns[name] = draw(column)
    if draw(st.booleans()):
        columns["is_final"] = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    return Batch(
        draw(st.sampled_from(Kind)), "AAPL", "yahoo_finance", columns, draw(st.none() | st.just("USD")), Interval.D1
    )


def item(kind: Kind = Kind.BARS, symbol: str = "AAPL", window: TimeRange | None = None) -> Item:
    interval = None if kind is Kind.QUOTE else Interval.D1
    return Item(ITEM_ID, RUN_ID, kind, Instrument.of(symbol), 7, interval, window)


@given(batch=batches(), event_id=uuids, now=times)
def test_a_batch_comes_back_from_its_event_digit_for_digit(batch: Batch, event_id: UUID, now: datetime) -> None:
    event = messages.item_loaded(item(batch.kind), batch, "market-data", now, event_id)
    told = messages.decode(event.value.encode())

    assert told["rows"] == len(batch)
    assert set(told["data"]) == set(batch.columns)
    for name, values in batch.columns.items():
        if name == "timestamp":
            stamps = [datetime.fromisoformat(text) for text in told["data"][name]]
            epoch = datetime(1970, 1, 1, tzinfo=UTC)
            assert [(stamp - epoch) // timedelta(microseconds=1) for stamp in stamps] == list(values)
            assert all(stamp.utcoffset() == timedelta(0) for stamp in stamps)
        else:
            assert told["data"][name] == list(values)
    assert told["event_id"] == str(event_id) == str(event.id)
    assert datetime.fromisoformat(told["occurred_at"]) == now


LOADED = Batch(Kind.QUOTE, "AAPL", "finnhub", {"timestamp": [1_706_745_600_000_000], "price": ["1.5"]}, "USD")
EVENTS = {
    "quote.loaded": partial(messages.item_loaded, item(Kind.QUOTE), LOADED, "t", NOW, EVENT_ID),
    "item.failed": partial(messages.item_failed, item(), "malformed", "no JSON", "t", NOW, EVENT_ID),
    "alert.raised": partial(messages.alert_raised, "rule", "AAPL", "look", "t", NOW, EVENT_ID),
    "run.finished": partial(
        messages.run_finished, run_id=RUN_ID, job="j", state="finished", counts={}, topic="t", now=NOW,
        event_id=EVENT_ID,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_of_simulated_prices_says_so_and_one_of_real_ones_says_nothing(kind: str) -> None:
    told = [messages.decode(EVENTS[kind](simulated=simulated).value.encode()) for simulated in (True, False)]
    assert told[0].pop("simulated") is True
    assert told[0] == told[1]
    assert told[1]["type"] == kind


def test_an_event_of_bars_has_every_field_of_its_layout() -> None:
    window = TimeRange(datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC))
    batch = Batch(
        Kind.BARS,
        "AAPL",
        "yahoo_finance",
        {"timestamp": [1_706_745_600_000_000], "close": ["186.86000061"], "is_final": [True]},
        "USD",
        Interval.D1,
    )
    event = messages.item_loaded(item(window=window), batch, "market-data", NOW, EVENT_ID)

    assert (event.topic, event.key, event.id, event.run_id) == ("market-data", "AAPL", EVENT_ID, RUN_ID)
    assert orjson.loads(event.value) == {
        "event_id": "018df000-0000-7000-8000-000000000001",
        "type": "bars.loaded",
        "schema": 1,
        "occurred_at": "2024-03-01T21:00:05+00:00",
        "symbol": "AAPL",
        "asset_class": "stock",
        "interval": "1d",
        "run_id": "018df000-0000-7000-8000-000000000002",
        "item_id": "018df000-0000-7000-8000-000000000003",
        "window": ["2024-02-01T00:00:00+00:00", "2024-03-01T00:00:00+00:00"],
        "source": "yahoo_finance",
        "currency": "USD",
        "rows": 1,
        "data": {"timestamp": ["2024-02-01T00:00:00+00:00"], "close": ["186.86000061"], "is_final": [True]},
    }


@pytest.mark.parametrize(
    ("kind", "symbol", "type_", "asset_class"),
    [
        (Kind.QUOTE, "BTC-USD", "quote.loaded", "crypto"),
        (Kind.BARS, "EURUSD=X", "bars.loaded", "forex"),
        (Kind.INDEX, "^GSPC", "index.loaded", "index"),
    ],
)
def test_the_type_follows_the_items_kind(kind: Kind, symbol: str, type_: str, asset_class: str) -> None:
    batch = Batch(kind, symbol, "coinbase", {"timestamp": [0], "price": ["1.10"]})
    told = messages.decode(messages.item_loaded(item(kind, symbol), batch, "t", NOW, EVENT_ID).value.encode())

    assert (told["type"], told["asset_class"], told["symbol"]) == (type_, asset_class, symbol)
    assert told["window"] is None
    assert told["currency"] is None
    assert Decimal(told["data"]["price"][0]) == Decimal("1.10")


def test_a_failed_item_tells_its_reason() -> None:
    event = messages.item_failed(item(), "unknown_symbol", "nobody knows it", "notifications", NOW, EVENT_ID)
    told = messages.decode(event.value.encode())

    assert (event.topic, event.key) == ("notifications", "AAPL")
    assert (told["type"], told["reason"], told["detail"]) == ("item.failed", "unknown_symbol", "nobody knows it")
    assert told["item_id"] == str(ITEM_ID)


@given(st.text(st.characters(), max_size=3000))
def test_whatever_text_a_provider_sent_a_failure_can_be_told(detail: str) -> None:
    """Among it halves of surrogate pairs, which JSON text may carry as an escape and UTF-8 may not."""
    event = messages.item_failed(item(), "malformed", detail, "notifications", NOW, EVENT_ID)

    assert len(messages.decode(event.value.encode())["detail"]) <= 2000


def test_a_lone_surrogate_does_not_stop_the_event() -> None:
    event = messages.item_failed(item(), "malformed", "name: \ud83d!", "notifications", NOW, EVENT_ID)

    assert messages.decode(event.value.encode())["detail"] == "name: ?!"


def test_a_finished_run_tells_its_counts() -> None:
    event = messages.run_finished(
        run_id=RUN_ID,
        job="fetch_market_data",
        state="complete",
        counts={"items": 3, "loaded": 2, "failed": 1},
        topic="notifications",
        now=NOW,
        event_id=EVENT_ID,
    )
    told = messages.decode(event.value.encode())

    assert event.key == "fetch_market_data"
    assert (told["type"], told["state"], told["counts"]) == (
        "run.finished",
        "complete",
        {"items": 3, "loaded": 2, "failed": 1},
    )


@given(st.binary(max_size=60))
def test_bytes_of_somebody_else_are_a_value_error(value: bytes) -> None:
    with pytest.raises(ValueError, match="an event"):
        messages.decode(value)


@pytest.mark.parametrize(
    "value",
    [b"[]", b"null", b'{"type": "x"}', b'{"event_id":"a","type":"b","occurred_at":"c","schema":2}', b"", b"<html>"],
)
def test_json_that_is_no_event_of_ours_is_a_value_error(value: bytes) -> None:
    with pytest.raises(ValueError, match="an event"):
        messages.decode(value)
