"""Each known trap of Finnhub's answers, in the smallest answer that has it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from fintrack_tasks.domain import (
    BATCH_LIMIT,
    AssetClass,
    Batch,
    Instrument,
    Interval,
    Kind,
    TimeRange,
    from_micros,
    to_micros,
)
from fintrack_tasks.errors import (
    EmptyError,
    EntitlementError,
    KeyRejectedError,
    MalformedError,
    ProviderError,
    QuotaError,
    TransientError,
    UnavailableRangeError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers.base import HttpRequest, HttpResponse, Profiling, Quota
from fintrack_tasks.fetch.providers.finnhub import PROVIDER
from tests.fetch.providers.asking import ALL_TIME, answer, question

NOW = datetime(2024, 7, 10, 15, 30, tzinfo=UTC)
ZEROS = {"c": 0, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}


def seconds(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp())  # type: ignore[misc]  # the zone is given once only


def parse(
    body: Any,
    symbol: str = "AAPL",
    interval: Interval | None = Interval.D1,
    window: TimeRange = ALL_TIME,
    status: int = 200,
) -> Batch:
    return PROVIDER.parse(question(symbol, interval, NOW, window), answer(body, status))


def quote(symbol: str = "AAPL", **fields: Any) -> Batch:
    body = {"c": 187.25, "d": 1.75, "dp": 0.94, "h": 188.5, "l": 183.75, "o": 185, "pc": 185.5, "t": 1720625399}
    return parse({**body, **fields}, symbol, None)


def candles(*stamps: Any, **columns: Any) -> dict[str, Any]:
    """Candles with one value in all four prices."""
    values = {name: [10.5] * len(stamps) for name in "ohlc"}
    return {**values, "v": [100] * len(stamps), "t": list(stamps), "s": "ok", **columns}


def asked(symbol: str, interval: Interval | None = None, asset_class: AssetClass | None = None) -> HttpRequest:
    window = TimeRange(datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 7, 4, tzinfo=UTC))
    return PROVIDER.request(question(symbol, interval, NOW, window, asset_class))


# --- what is asked


@pytest.mark.parametrize(
    ("symbol", "there"),
    [
        ("AAPL", "AAPL"),
        ("BRK-B", "BRK.B"),
        ("SHOP.TO", "SHOP.TO"),
        ("EURUSD=X", "OANDA:EUR_USD"),
        ("EUR/USD", "OANDA:EUR_USD"),
        ("INR=X", "OANDA:USD_INR"),
        ("BTC-USD", "COINBASE:BTC-USD"),
        ("BTC-USDT", "COINBASE:BTC-USDT"),
    ],
)
def test_a_symbol_keeps_its_meaning(symbol: str, there: str) -> None:
    """Dollars are no tethers: BTC-USD is not asked for as BINANCE:BTCUSDT."""
    request = asked(symbol)
    assert (request.path, dict(request.params)) == ("/api/v1/quote", {"symbol": there})


@pytest.mark.parametrize("symbol", ["DX-Y.NYB", "EURUSD", "EURUSDX=X"])
def test_what_is_no_pair_is_not_asked_for(symbol: str) -> None:
    with pytest.raises(UnknownSymbolError):
        asked(symbol, asset_class=AssetClass.FOREX)


@pytest.mark.parametrize(("interval", "text"), [(Interval.H1, "60"), (Interval.M15, "15")])
def test_intraday_candles_are_asked_for_with_both_ends_inside_the_window(interval: Interval, text: str) -> None:
    request = asked("BTC-USD", interval)
    assert request.path == "/api/v1/crypto/candle"
    assert request.params == {
        "symbol": "COINBASE:BTC-USD",
        "resolution": text,
        "from": str(seconds(2024, 7, 1)),
        "to": str(seconds(2024, 7, 4) - 1),
    }


def test_days_are_asked_for_with_a_day_to_either_side() -> None:
    """Currencies' days are stamped with the evening before."""
    request = asked("EURUSD=X", Interval.D1)
    assert (request.path, request.params["resolution"]) == ("/api/v1/forex/candle", "D")
    assert (int(request.params["from"]), int(request.params["to"])) == (seconds(2024, 6, 30), seconds(2024, 7, 5) - 1)


@pytest.mark.parametrize(
    ("symbol", "interval", "endpoint"),
    [
        ("AAPL", None, "quote/AAPL"),
        ("BRK-B", None, "quote/BRK-B"),
        ("VOD.L", None, "quote/L"),
        ("EURUSD=X", None, "quote/forex"),
        ("BTC-USD", None, "quote/crypto"),
        ("AAPL", Interval.D1, "stock/candle"),
        ("SHOP.TO", Interval.D1, "stock/candle/TO"),
        ("EURUSD=X", Interval.H1, "forex/candle"),
        ("BTC-USD", Interval.H1, "crypto/candle"),
    ],
)
def test_an_endpoint_is_what_a_plan_may_refuse_by_itself(symbol: str, interval: Interval | None, endpoint: str) -> None:
    """A fund is refused by itself, an exchange outside the US as a whole: neither is to be learnt of all quotes."""
    assert asked(symbol, interval).endpoint == endpoint


def test_the_published_limits_are_declared_and_the_key_is_no_part_of_an_address() -> None:
    facts = PROVIDER.facts
    assert facts.quotas == (Quota(60, 60.0), Quota(30, 1.0))
    assert facts.key is not None
    assert (facts.key.variable, facts.key.header, facts.key.query) == ("API_KEY_FINNHUB", "X-Finnhub-Token", None)


def test_no_route_may_rely_on_the_candles_of_stocks() -> None:
    assert not PROVIDER.facts.serves(AssetClass.STOCK, Kind.BARS)
    assert PROVIDER.facts.serves(AssetClass.STOCK, Kind.QUOTE)
    assert asked("AAPL", Interval.D1).path == "/api/v1/stock/candle"


# --- quotes


def test_a_quote_is_stamped_by_the_provider_in_seconds() -> None:
    """Friday's last trade on a Sunday: whether that is old is for the calendar to say."""
    batch = quote(t=seconds(2024, 7, 5, 20))
    assert batch.row(0) == {
        "timestamp": seconds(2024, 7, 5, 20) * 1_000_000,
        "price": "187.25",
        "volume": None,
        "previous_close": "185.5",
        "open": "185",
        "high": "188.5",
        "low": "183.75",
    }


@pytest.mark.parametrize(
    ("symbol", "currency"),
    [("AAPL", "USD"), ("BRK-B", "USD"), ("VOD.L", None), ("EURJPY=X", "JPY"), ("ETH-EUR", "EUR"), ("BTC-USDT", "USDT")],
)
def test_the_currency_is_said_only_where_the_symbol_settles_it(symbol: str, currency: str | None) -> None:
    assert quote(symbol).currency == currency


@pytest.mark.parametrize("beside", [{"d": None, "dp": None}, {"d": 0, "dp": 0}, {}])
def test_a_quote_of_zeros_is_an_unknown_symbol(beside: dict[str, Any]) -> None:
    """As empty it would end its item, though another provider may have the price."""
    with pytest.raises(UnknownSymbolError):
        parse({**ZEROS, **beside}, interval=None)


@pytest.mark.parametrize(
    "fields",
    [
        {"c": 0},
        {"c": None},
        {"c": -1},
        {"c": "NaN"},
        {"c": True},
        {"c": []},
        {"t": 0},
        {"t": None},
        {"t": 1720625399000},
        {"t": 1720625399.5},
        {"pc": "Infinity"},
    ],
)
def test_a_quote_that_lacks_what_it_promises_is_malformed(fields: dict[str, Any]) -> None:
    """A time in milliseconds is the websocket's: as seconds it would lie in the far future."""
    with pytest.raises(MalformedError):
        quote(**fields)


def test_a_zero_beside_a_price_means_none() -> None:
    assert quote(pc=0, o=0).row(0)["previous_close"] is None


def test_a_decimal_keeps_its_digits() -> None:
    body = b'{"c":0.00001234,"d":null,"dp":null,"h":311.4001,"l":1,"o":1,"pc":1,"t":1720625399}'
    row = parse(body, interval=None).row(0)
    assert (Decimal(row["price"]), row["high"]) == (Decimal("0.00001234"), "311.4001")


# --- candles


def test_columns_run_beside_the_times_and_come_oldest_first() -> None:
    days = [seconds(2024, 7, 10), seconds(2024, 7, 9)]
    batch = parse(candles(*days, o=[1, 2], h=[5, 6], l=[0.5, 1.5], c=[3, 4.25], v=[10, 20]), "BTC-USD")
    assert batch.columns == {
        "timestamp": [days[1] * 1_000_000, days[0] * 1_000_000],
        "open": ["2", "1"],
        "high": ["6", "5"],
        "low": ["1.5", "0.5"],
        "close": ["4.25", "3"],
        "volume": ["20", "10"],
        "adj_close": [None, None],
    }


@pytest.mark.parametrize(
    ("symbol", "stamp", "day"),
    [
        ("AAPL", seconds(2024, 7, 10, 4), date(2024, 7, 10)),
        ("AAPL", seconds(2024, 1, 10, 5), date(2024, 1, 10)),
        ("AAPL", seconds(2024, 7, 10), date(2024, 7, 10)),
        ("EURUSD=X", seconds(2024, 7, 9, 21), date(2024, 7, 10)),
        ("EURUSD=X", seconds(2024, 1, 9, 22), date(2024, 1, 10)),
        ("EURUSD=X", seconds(2024, 3, 10, 21), date(2024, 3, 11)),
        ("EURUSD=X", seconds(2024, 7, 10), date(2024, 7, 10)),
        ("BTC-USD", seconds(2024, 7, 10), date(2024, 7, 10)),
    ],
)
def test_a_day_stands_at_midnight_utc_of_its_own_date(symbol: str, stamp: int, day: date) -> None:
    """Stocks' days are stamped with New York's midnight, currencies' with 17:00 there, an hour apart by season."""
    [opens] = parse(candles(stamp), symbol).columns["timestamp"]
    assert from_micros(opens) == datetime(day.year, day.month, day.day, tzinfo=UTC)


@pytest.mark.parametrize(
    ("symbol", "stamp"),
    [
        ("AAPL", seconds(2024, 7, 10, 13, 30)),
        ("AAPL", seconds(2024, 7, 10, 5)),
        ("AAPL", seconds(2024, 7, 9, 21)),
        ("EURUSD=X", seconds(2024, 7, 10, 4)),
        ("BTC-USD", seconds(2024, 7, 10, 4)),
    ],
)
def test_a_day_stamped_where_none_begins_is_malformed(symbol: str, stamp: int) -> None:
    with pytest.raises(MalformedError, match="none begins"):
        parse(candles(stamp), symbol)


def test_hours_of_stocks_open_at_half_past() -> None:
    stamps = [seconds(2024, 7, 10, 13, 30), seconds(2024, 7, 10, 14, 30)]
    assert parse(candles(*stamps), interval=Interval.H1).columns["timestamp"] == [s * 1_000_000 for s in stamps]
    with pytest.raises(MalformedError, match="13:31"):
        parse(candles(seconds(2024, 7, 10, 13, 31)), interval=Interval.H1)


def test_no_data_has_no_arrays_and_is_empty() -> None:
    with pytest.raises(EmptyError):
        parse({"s": "no_data"})


def test_no_data_of_a_range_that_the_plan_does_not_keep_says_nothing_of_the_range() -> None:
    """Finnhub-API#512: of intraday candles the free plan has a year. NOW is 2024-07-10."""
    old = TimeRange(datetime(2022, 7, 1, tzinfo=UTC), datetime(2022, 7, 8, tzinfo=UTC))
    new = TimeRange(datetime(2024, 6, 1, tzinfo=UTC), datetime(2024, 6, 8, tzinfo=UTC))
    for interval in (Interval.H1, Interval.M15):
        with pytest.raises(UnavailableRangeError) as caught:
            parse({"s": "no_data"}, "BTC-USD", interval, old)
        assert caught.value.earliest == datetime(2023, 7, 12, tzinfo=UTC)
        with pytest.raises(EmptyError):
            parse({"s": "no_data"}, "BTC-USD", interval, new)
    with pytest.raises(EmptyError):
        parse({"s": "no_data"}, "BTC-USD", Interval.D1, old)


@pytest.mark.parametrize(
    ("interval", "begin", "first", "told"),
    [
        (Interval.H1, (2023, 6, 1), (2023, 6, 20), datetime(2023, 6, 20, tzinfo=UTC)),
        (Interval.M15, (2023, 6, 1), (2023, 7, 20), datetime(2023, 7, 12, tzinfo=UTC)),  # from there on every plan has
        (Interval.H1, (2023, 6, 1), (2023, 6, 1), None),  # all of it came
        (Interval.H1, (2023, 8, 1), (2023, 8, 20), None),  # what is kept was left out: nothing was traded
        (Interval.D1, (2021, 6, 1), (2021, 6, 20), None),
    ],
)
def test_candles_of_a_part_of_a_range_say_from_when_on_they_are_kept(
    interval: Interval, begin: tuple[int, int, int], first: tuple[int, int, int], told: datetime | None
) -> None:
    """Of an older range the free plan answers the newer part, with status 200. NOW is 2024-07-10."""
    window = TimeRange(datetime(*begin, tzinfo=UTC), datetime(*begin, tzinfo=UTC) + timedelta(days=60))
    meta = parse(candles(seconds(*first), seconds(*first) + 86_400), "BTC-USD", interval, window).meta
    assert meta == ({"kept_from": to_micros(told)} if told else {})


def test_nothing_inside_the_window_is_empty() -> None:
    window = TimeRange(datetime(2024, 7, 8, tzinfo=UTC), datetime(2024, 7, 10, tzinfo=UTC))
    stamps = [seconds(2024, 7, day) for day in (7, 8, 9, 10)]
    assert len(parse(candles(*stamps), window=window)) == 2
    for outside in (stamps[:1], stamps[3:], []):
        with pytest.raises(EmptyError):
            parse(candles(*outside), window=window)


@pytest.mark.parametrize(
    "changes",
    [
        {"s": "maybe"},
        {"s": None},
        {"t": None},
        {"t": 5},
        {"c": [1]},
        {"c": None},
        {"h": [1, "high"]},
        {"l": {"0": 1}},
        {"v": [1, 2, 3]},
        {"v": [1, True]},
    ],
)
def test_arrays_that_do_not_fit_are_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        parse(candles(seconds(2024, 7, 9), seconds(2024, 7, 10), **changes))


def test_candles_may_lack_their_volume() -> None:
    body = candles(seconds(2024, 7, 10))
    del body["v"]
    assert parse(body).columns["volume"] == [None]


def test_more_bars_than_a_batch_holds_are_malformed() -> None:
    stamps = [seconds(2000, 1, 1) + 86_400 * day for day in range(BATCH_LIMIT + 1)]
    with pytest.raises(MalformedError, match="1001"):
        parse(candles(*stamps), "BTC-USD")


# --- errors


@pytest.mark.parametrize(
    ("status", "message", "meaning"),
    [
        (401, "Invalid API key.", KeyRejectedError),
        (401, "Please use an API key.", KeyRejectedError),
        (200, "Invalid API key.", KeyRejectedError),
        (403, "You don't have access to this resource.", EntitlementError),
        (401, "You don't have access to this resource.", EntitlementError),
        (200, "You don't have access to this resource.", EntitlementError),
        (429, "API limit reached. Please try again later. Remaining Limit: 0", QuotaError),
        (200, "API limit reached. Please try again later. Remaining Limit: 0", QuotaError),
        (403, "API limit reached. Please try again later.", QuotaError),
        (422, "Symbol not supported", UnknownSymbolError),
        (422, "Wrong timeframe.\nTry another", MalformedError),
        (500, "Internal error", TransientError),
    ],
)
def test_what_an_error_means(status: int, message: str, meaning: type[ProviderError]) -> None:
    """A plan's limits once came with 401 too: the text tells them from a key that is refused."""
    for interval in (None, Interval.D1):
        with pytest.raises(meaning) as caught:
            parse({"error": message}, interval=interval, status=status)
        assert type(caught.value) is meaning
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        (b"API limit reached. Please try again later.", QuotaError),
        (b"Symbol not supported", UnknownSymbolError),
        (b"Invalid API key", KeyRejectedError),
        (b"Invalid API key.\n", KeyRejectedError),
        (b'"Invalid API key"', KeyRejectedError),
        (b"Please use an API key.", KeyRejectedError),
        (b"You don't have access to this resource.", EntitlementError),
        ("You don\u2019t have access to this resource.".encode(), EntitlementError),
        (b'"You don\'t have access to this resource."', EntitlementError),
        (b'"API limit reached."', QuotaError),
        (b"Please log in", MalformedError),
        (b"[]", MalformedError),
    ],
)
def test_plain_text_is_understood_whatever_its_status(body: bytes, meaning: type[ProviderError]) -> None:
    for status in (200, 401, 403):
        with pytest.raises(meaning) as caught:
            parse(body, status=status)
        assert type(caught.value) is meaning


def test_a_status_that_is_not_200_is_never_rows() -> None:
    with pytest.raises(MalformedError, match="302"):
        parse(candles(seconds(2024, 7, 10)), status=302)


# --- profiles


def profile(body: Any, symbol: str = "AAPL", currency: str | None = None, status: int = 200) -> Instrument:
    instrument = Instrument(symbol, AssetClass.STOCK, currency, calendar="XNYS")
    return PROVIDER.parse_profile(instrument, HttpResponse(status, json.dumps(body).encode()), NOW)


def test_a_profile_is_asked_for_by_the_providers_symbol() -> None:
    request = PROVIDER.request_profile(Instrument.of("BRK-B"))
    assert (request.path, dict(request.params)) == ("/api/v1/stock/profile2", {"symbol": "BRK.B"})
    assert request.endpoint == "stock/profile2/BRK-B"
    assert isinstance(PROVIDER, Profiling)


@pytest.mark.parametrize("symbol", ["BTC-USD", "EURUSD=X"])
def test_no_company_stands_behind_a_pair(symbol: str) -> None:
    with pytest.raises(UnknownSymbolError):
        PROVIDER.request_profile(Instrument.of(symbol))


def test_a_profile_gives_the_name_and_what_was_known_stays() -> None:
    found = profile({"name": "Apple\n Inc", "currency": "USD", "exchange": "NASDAQ NMS - GLOBAL MARKET"})
    assert found == Instrument("AAPL", AssetClass.STOCK, "USD", "XNYS", "Apple Inc")


@pytest.mark.parametrize(
    ("exchange", "filings", "known", "currency"),
    [
        ("NEW YORK STOCK EXCHANGE, INC.", "CNY", None, "USD"),
        ("NASDAQ/NMS (GLOBAL MARKET)", "USD", None, "USD"),
        ("LONDON STOCK EXCHANGE", "USD", "GBp", "GBp"),
        ("TORONTO STOCK EXCHANGE", "USD", None, None),
        (None, "USD", None, None),
    ],
)
def test_the_currency_of_the_filings_is_not_that_of_the_prices(
    exchange: str | None, filings: str, known: str | None, currency: str | None
) -> None:
    """An ADR of a company that reports in yuan has its price in dollars."""
    assert profile({"name": "X", "currency": filings, "exchange": exchange}, currency=known).currency == currency


@pytest.mark.parametrize(
    ("body", "status", "meaning"),
    [
        ({}, 200, UnknownSymbolError),
        ({"ticker": "AAPL"}, 200, MalformedError),
        ({"name": 5}, 200, MalformedError),
        ({"name": "x" * 500}, 200, MalformedError),
        ([], 200, MalformedError),
        ({"error": "You don't have access to this resource."}, 403, EntitlementError),
        ({"error": "Invalid API key."}, 401, KeyRejectedError),
    ],
)
def test_what_is_no_profile(body: Any, status: int, meaning: type[ProviderError]) -> None:
    with pytest.raises(meaning):
        profile(body, status=status)
