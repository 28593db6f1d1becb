"""Traps that several providers share: nesting, endless numbers, times before 2000, conflicts, missing prices."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import strategies as st

from fintrack_tasks.domain import Batch, Interval, TimeRange
from fintrack_tasks.errors import MalformedError, NoPriceError
from fintrack_tasks.fetch import providers
from fintrack_tasks.validate import check_batch, split
from tests.fetch.providers.asking import answer, question

NOW = datetime(2026, 11, 27, 21, 0, tzinfo=UTC)
WINDOW = TimeRange(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 10, tzinfo=UTC))
DAY = 1_704_153_600  # 2024-01-02, midnight UTC
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


def parse(name: str, body: Any, symbol: str = "AAPL", interval: Interval | None = None) -> Batch:
    ask = question(symbol, interval, NOW, WINDOW)
    return providers.provider(name).parse(ask, answer(body.encode() if isinstance(body, str) else body))


@pytest.mark.parametrize("depth", [40, 991, 992, 1010, 1023, 1024])
@pytest.mark.parametrize("name", [name for name in providers.names() if name != "ecb"])
def test_no_providers_parser_is_ended_by_nesting(name: str, depth: int) -> None:
    """Wherever it stands: as the body, as a value of each field, or as a number."""
    nested = "[" * depth + "]" * depth
    bodies = [nested, f'{{"chart":{nested}}}', f'{{"c":{nested},"t":{nested}}}', f'{{"message":{nested}}}']
    bodies += [f'{{"Note":{nested}}}', f'{{"error":{nested}}}', f'{{"values":{nested},"meta":{{}}}}', f"[[{nested}]]"]
    for body in bodies:
        for interval in (None, Interval.D1):
            with pytest.raises(MalformedError):
                parse(name, body, "BTC-USD", interval)


@pytest.mark.parametrize("written", ["1e-1000000000", "1e1000000", "1." + "0" * 500, "7" * 500])
@pytest.mark.parametrize("quoted", [True, False])
def test_no_provider_stores_a_number_without_bound(written: str, quoted: bool) -> None:
    value = f'"{written}"' if quoted else written
    bodies = {
        "coinbase": f"[[{DAY},1,2,1,2,{value}]]",
        "finnhub": f'{{"s":"ok","t":[{DAY}],"o":[1],"h":[2],"l":[1],"c":[2],"v":[{value}]}}',
        "alpha_vantage": (
            '{"Meta Data":{"2. Digital Currency Code":"BTC","4. Market Code":"USD"},'
            '"Time Series (Digital Currency Daily)":{"2024-01-02":'
            f'{{"1. open":"1","2. high":"2","3. low":"1","4. close":"2","5. volume":{value}}}}}}}'
        ),
        "yahoo_finance": (
            '{"chart":{"error":null,"result":[{"meta":{"symbol":"BTC-USD","exchangeTimezoneName":"UTC"},'
            f'"timestamp":[{DAY}],"indicators":{{"quote":[{{"open":[1],"high":[2],"low":[1],"close":[2],'
            f'"volume":[{value}]}}]}}}}]}}}}'
        ),
    }
    for name, body in bodies.items():
        right = body.replace(value, "5")
        assert parse(name, right, "BTC-USD", Interval.D1).columns["volume"] == ["5"]
        with pytest.raises(MalformedError):
            parse(name, body, "BTC-USD", Interval.D1)


# --- times


QUOTES = {
    "yahoo_finance": lambda at: {
        "chart": {
            "error": None,
            "result": [{"meta": {"symbol": "AAPL", "regularMarketPrice": 1, "regularMarketTime": at}}],
        }
    },
    "finnhub": lambda at: {"c": 1, "pc": 1, "o": 1, "h": 1, "l": 1, "t": at},
    "twelve_data": lambda at: {"symbol": "AAPL", "close": "1", "timestamp": at, "currency": "USD"},
}


@pytest.mark.parametrize("name", QUOTES)
@pytest.mark.parametrize("at", [0, -1, 1, "0", "-1", 946_684_799, -2_208_988_800])
def test_a_quote_from_before_2000_has_no_time(name: str, at: Any) -> None:
    assert len(parse(name, QUOTES[name](946_684_800))) == 1
    with pytest.raises(MalformedError):
        parse(name, QUOTES[name](at))


@pytest.mark.parametrize("day", ["1970-01-01", "1999-12-31", "1900-01-01", "0001-01-01"])
def test_a_day_and_a_clock_from_before_2000_are_no_time_of_a_quote(day: str) -> None:
    stock = {"01. symbol": "AAPL", "05. price": "1", "06. volume": "1", "07. latest trading day": day}
    pair = {
        "1. From_Currency Code": "EUR",
        "3. To_Currency Code": "USD",
        "5. Exchange Rate": "1.1",
        "6. Last Refreshed": f"{day} 00:00:00",
        "7. Time Zone": "UTC",
    }
    xml = (
        '<g:Envelope xmlns:g="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/'
        f'eurofxref"><Cube><Cube time="{day}"><Cube currency="USD" rate="1.1"/></Cube></Cube></g:Envelope>'
    )
    for name, symbol, body in (
        ("alpha_vantage", "AAPL", {"Global Quote": stock}),
        ("alpha_vantage", "EURUSD=X", {"Realtime Currency Exchange Rate": pair}),
        ("coinbase", "BTC-USD", {"price": "1", "time": f"{day}T00:00:00Z"}),
        ("ecb", "EURUSD=X", xml),
    ):
        with pytest.raises(MalformedError):
            parse(name, body, symbol)


# --- conflicts


def two_bars(name: str, first: tuple[float, int], second: tuple[float, int]) -> str:
    """Two bars of one time, each by its close and volume."""
    (c1, v1), (c2, v2) = first, second
    if name == "finnhub":
        row = {"o": [c1, c2], "h": [c1, c2], "l": [c1, c2], "c": [c1, c2], "v": [v1, v2]}
        return json.dumps({"s": "ok", "t": [DAY, DAY], **row})
    if name == "coinbase":
        return json.dumps([[DAY, c1, c1, c1, c1, v1], [DAY, c2, c2, c2, c2, v2]])
    if name == "yahoo_finance":
        prices = {key: [c1, c2] for key in ("open", "high", "low", "close")}
        indicators = {"quote": [{**prices, "volume": [v1, v2]}]}
        meta = {"symbol": "BTC-USD", "exchangeTimezoneName": "UTC"}
        return json.dumps(
            {"chart": {"error": None, "result": [{"meta": meta, "timestamp": [DAY, DAY], "indicators": indicators}]}}
        )
    rows = [dict.fromkeys(("open", "high", "low", "close"), str(c)) | {"volume": str(v)} for c, v in (first, second)]
    if name == "twelve_data":
        meta = {"symbol": "BTC/USD", "interval": "1day"}
        return json.dumps({"meta": meta, "values": [{"datetime": "2024-01-02", **row} for row in rows], "status": "ok"})
    told = [json.dumps({f"{i}. {n}": x for i, (n, x) in enumerate(row.items(), 1)}) for row in rows]
    return (
        '{"Meta Data":{"2. Digital Currency Code":"BTC","4. Market Code":"USD"},'
        f'"Time Series (Digital Currency Daily)":{{"2024-01-02":{told[0]},"2024-01-02":{told[1]}}}}}'
    )


@pytest.mark.parametrize("name", ["finnhub", "coinbase", "yahoo_finance", "twelve_data", "alpha_vantage"])
def test_two_bars_of_one_time_that_differ_are_no_answer(name: str) -> None:
    """Neither is the right one by its place; the same bar twice is one."""
    assert len(parse(name, two_bars(name, (1, 5), (1, 5)), "BTC-USD", Interval.D1)) == 1
    for other in ((2, 5), (1, 6)):
        for rows in (((1, 5), other), (other, (1, 5))):
            with pytest.raises(MalformedError):
                parse(name, two_bars(name, *rows), "BTC-USD", Interval.D1)


def test_two_names_of_one_field_that_differ_are_no_answer() -> None:
    quote = {"01. symbol": "AAPL", "05. price": "1", "5. Price": "2", "07. latest trading day": "2026-11-25"}
    with pytest.raises(MalformedError, match="two things"):
        parse("alpha_vantage", {"Global Quote": quote})
    assert parse("alpha_vantage", {"Global Quote": quote | {"5. Price": "1"}}).columns["price"] == ["1"]


# --- no price


@pytest.mark.parametrize("price", [None, 0, "0"])
def test_a_quote_without_a_price_leaves_the_answer_to_the_next_provider(price: Any) -> None:
    meta = {"symbol": "AAPL", "regularMarketPrice": price, "regularMarketTime": 1_795_000_000}
    with pytest.raises(NoPriceError) as caught:
        parse("yahoo_finance", {"chart": {"error": None, "result": [{"meta": meta}]}})
    assert caught.value.reroute
    if price is not None:
        with pytest.raises(NoPriceError):
            parse("coinbase", {"price": price, "time": "2026-11-27T20:00:00Z"}, "BTC-USD")


def test_bars_of_nulls_leave_the_answer_to_the_next_provider() -> None:
    quote = {key: [None] for key in ("open", "high", "low", "close", "volume")}
    result = {
        "meta": {"symbol": "AAPL", "exchangeTimezoneName": "UTC"},
        "timestamp": [DAY],
        "indicators": {"quote": [quote]},
    }
    with pytest.raises(NoPriceError):
        parse("yahoo_finance", {"chart": {"error": None, "result": [result]}}, interval=Interval.D1)


NAMES = ("open", "high", "low", "close")
PROVIDERS = ["finnhub", "coinbase", "yahoo_finance", "twelve_data", "alpha_vantage"]


def two_days(name: str, second: dict[str, float | None]) -> Any:
    """A right day, then another of these prices, as a provider tells them."""
    days = [{"open": 2, "high": 3, "low": 1, "close": 2}, second]
    if name == "finnhub":
        columns = {each[0]: [day[each] for day in days] for each in NAMES}
        return {"s": "ok", "t": [DAY - 86_400, DAY], **columns, "v": [5, 6]}
    if name == "coinbase":
        return [[DAY - 86_400 * (1 - n), *(day[each] for each in ("low", "high", "open", "close")), 5 + n]
                for n, day in enumerate(days)]  # fmt: skip
    if name == "yahoo_finance":
        quote = {each: [day[each] for day in days] for each in NAMES} | {"volume": [5, 6]}
        result = {"meta": {"symbol": "BTC-USD", "exchangeTimezoneName": "UTC"}, "timestamp": [DAY - 86_400, DAY],
                  "indicators": {"quote": [quote]}}  # fmt: skip
        return {"chart": {"error": None, "result": [result]}}
    texts = [{each: None if day[each] is None else str(day[each]) for each in NAMES} | {"volume": "5"} for day in days]
    dates = ("2024-01-01", "2024-01-02")
    if name == "twelve_data":
        values = [{"datetime": date, **day} for date, day in zip(dates, texts, strict=True)]
        return {"meta": {"symbol": "BTC/USD", "interval": "1day"}, "values": values, "status": "ok"}
    numbered = [{f"{n}. {each}": day[each] for n, each in enumerate(day, 1)} for day in texts]
    return {
        "Meta Data": {"2. Digital Currency Code": "BTC", "4. Market Code": "USD"},
        "Time Series (Digital Currency Daily)": dict(zip(dates, numbered, strict=True)),
    }


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("unknown", [("open",), ("high",), ("low",), ("open", "high", "low")])
def test_a_bar_whose_close_stands_is_kept_without_the_prices_that_are_null(name: str, unknown: tuple[str, ...]) -> None:
    """yfinance#1281, and the same of a null in place of the zero."""
    prices = {"open": 2, "high": 3, "low": 1, "close": 2} | dict.fromkeys(unknown)
    batch = parse(name, two_days(name, prices), "BTC-USD", Interval.D1)
    found = check_batch(batch, NOW)
    assert [(one.rule, one.severity, one.row) for one in found] == [("unknown_price", "flag", 1)] * len(unknown)
    stands, rejected = split(batch, found)
    assert [stands.columns[each][1] for each in NAMES] == [
        None if prices[each] is None else str(prices[each]) for each in NAMES
    ]
    assert (rejected, "left_out" in batch.meta) == ([], False)


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("unknown", [("close",), NAMES])
def test_a_bar_without_a_close_is_left_out_and_the_others_stand(name: str, unknown: tuple[str, ...]) -> None:
    prices = {"open": 2, "high": 3, "low": 1, "close": 2} | dict.fromkeys(unknown)
    batch = parse(name, two_days(name, prices), "BTC-USD", Interval.D1)
    assert (batch.columns["close"], batch.meta["left_out"]) == (["2"], 1)
