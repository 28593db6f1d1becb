"""The values that everything passes about: exact, and unbent by their way through JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import (
    BATCH_LIMIT,
    AssetClass,
    Batch,
    Instrument,
    Interval,
    Item,
    ItemState,
    Kind,
    TimeRange,
    decimal_text,
    from_micros,
    to_micros,
    uuid7,
)
from fintrack_tasks.symbols import FORM

MOMENTS = st.datetimes(timezones=st.just(UTC))


def through_json(message: dict[str, Any]) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(json.dumps(message))
    return decoded


@given(st.integers(0, 2**48 - 1))
def test_a_uuid7_carries_its_milliseconds_version_and_variant(millis: int) -> None:
    made = uuid7((millis + 0.5) / 1000)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert abs((made.int >> 80) - millis) <= 1  # a float of seconds is exact to less than a millisecond


@given(st.lists(st.integers(0, 2**38 - 1), min_size=2, max_size=20, unique=True))
def test_uuid7s_sort_by_their_time(seconds: list[int]) -> None:
    made = [uuid7(second) for second in seconds]
    # 48 bits of milliseconds last until the year 10889.
    assert sorted(made) == [uuid for _, uuid in sorted(zip(seconds, made, strict=True))]


def test_uuid7s_of_one_moment_differ() -> None:
    assert len({uuid7(1.0) for _ in range(1000)}) == 1000


@given(MOMENTS)
def test_micros_keep_a_moment_exactly(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_a_moment_keeps_its_micros_exactly(micros: int) -> None:
    moment = from_micros(micros)
    assert to_micros(moment) == micros
    assert moment.utcoffset() == timedelta(0)


def test_micros_count_from_1970_utc_in_every_zone() -> None:
    assert to_micros(datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == 0
    assert to_micros(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
    with pytest.raises(ValueError, match="without a zone"):
        to_micros(datetime(2024, 1, 1))  # noqa: DTZ001  # the naive time is the case


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimals_text_is_the_decimal(number: Decimal) -> None:
    text = decimal_text(number)
    assert text is not None
    assert Decimal(text) == number
    assert decimal_text(str(number)) == str(number)


@given(st.integers(1, 10**15 - 1), st.integers(0, 12))
def test_fifteen_digits_come_through_a_json_number_as_they_were_written(digits: int, places: int) -> None:
    written = Decimal(digits).scaleb(-places)
    text = decimal_text(json.loads(f"{written:f}"))
    assert text is not None
    assert Decimal(text) == written


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_floats_text_is_the_float(number: float) -> None:
    text = decimal_text(number)
    assert text is not None
    assert float(text) == number


def test_nothing_is_no_number_yet_no_error() -> None:
    assert decimal_text(None) is None
    assert decimal_text("") is None
    assert decimal_text(" 246.28000000 ") == "246.28000000"


@pytest.mark.parametrize(
    "value", ["abc", "nan", float("nan"), float("inf"), True, [], {}, b"1", "1_000", "٣", "1,5", " "]
)
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not a"):
        decimal_text(value)


@pytest.mark.parametrize(
    ("typed", "symbol", "kind"),
    [
        ("aapl", "AAPL", "stock"),
        ("0700.hk", "0700.HK", "stock"),
        ("^GSPC", "^GSPC", "index"),
        ("btc-usd", "BTC-USD", "crypto"),
        ("EURUSD=X", "EURUSD=X", "forex"),
        ("eur/usd", "EURUSD=X", "forex"),
        ("XAU/USD", "XAUUSD=X", "forex"),
        ("INR=X", "INR=X", "forex"),
        ("BTC/USD", "BTC-USD", "crypto"),
        ("ETH/EUR", "ETH-EUR", "crypto"),
        ("SOL/USDT", "SOL-USDT", "crypto"),
        ("T-USD", "T-USD", "crypto"),
        ("BTC-CAD", "BTC-CAD", "crypto"),
        ("BTC-KRW", "BTC-KRW", "crypto"),
        ("ETH-CHF", "ETH-CHF", "crypto"),
        ("PEPE24478-USD", "PEPE24478-USD", "crypto"),
        ("GC=F", "GC=F", "commodity"),
        ("clk20.nym", "CLK20.NYM", "commodity"),
        ("ESH26.CME", "ESH26.CME", "commodity"),
        ("ES=F", "ES=F", "commodity"),
        ("M&M.NS", "M&M.NS", "stock"),
        ("L&TFH.NS", "L&TFH.NS", "stock"),
        ("BRK.B", "BRK-B", "stock"),
        ("BRK/B", "BRK-B", "stock"),
        ("BF-B", "BF-B", "stock"),
        ("VOD.L", "VOD.L", "stock"),
        ("SAP.F", "SAP.F", "stock"),
        ("BAC-PL", "BAC-PL", "stock"),
        ("^IRX", "^IRX", "index"),
    ],
)
def test_a_symbols_form_says_its_asset_class(typed: str, symbol: str, kind: str) -> None:
    assert Instrument.of(typed) == Instrument(symbol, AssetClass(kind))


def test_a_given_asset_class_overrules_the_form() -> None:
    assert Instrument.of("BTC-USD", "stock").asset_class is AssetClass.STOCK


@given(st.from_regex(FORM, fullmatch=True), st.none() | st.sampled_from(AssetClass))
def test_the_kept_spelling_of_a_symbol_is_its_own(symbol: str, kind: AssetClass | None) -> None:
    kept = Instrument.of(symbol, kind)
    assert Instrument.of(kept.symbol, kept.asset_class) == kept
    if kind is None:
        assert Instrument.of(kept.symbol) == kept


@pytest.mark.parametrize(
    ("symbol", "signed"),
    [("CL=F", True), ("^IRX", True), ("^TNX", True), ("^GSPC", False), ("AAPL", False), ("EURUSD=X", False)],
)
def test_futures_and_yields_may_be_at_or_below_zero(symbol: str, signed: bool) -> None:
    assert Instrument.of(symbol).is_signed is signed


@pytest.mark.parametrize("typed", ["", " ", "A B", "'; DROP", "../etc", "A" * 33, "é", "&A", "A\x1b", "A\x00"])
def test_what_cannot_be_a_symbol_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="not a symbol"):
        Instrument.of(typed)


def test_a_window_has_zones_and_a_length() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="aware"):
        TimeRange(start.replace(tzinfo=None), start)
    with pytest.raises(ValueError, match="ends"):
        TimeRange(start, start)


def test_the_last_three_states_are_ends() -> None:
    assert [state.value for state in ItemState if state.is_end] == ["loaded", "empty", "failed"]


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


def test_an_items_id_may_be_a_uuid7() -> None:
    assert UUID(str(uuid7(0.0))).version == 7
