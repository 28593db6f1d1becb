"""Each known trap of Twelve Data's answers, in the smallest answer that has it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fintrack_tasks.domain import (
    BATCH_LIMIT,
    AssetClass,
    Batch,
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
from fintrack_tasks.fetch.providers.base import Ask, Batching, HttpRequest, Quota
from fintrack_tasks.fetch.providers.twelve_data import PROVIDER
from tests.fetch.providers.asking import ALL_TIME, answer, question

NOW = datetime(2024, 7, 10, 15, 30, 12, tzinfo=UTC)
SECRET = "0123456789abcdef0123456789abcdef"
MINUTE = (
    "You have run out of API credits for the current minute. 12 API credits were used, with the current limit being 8."
)
DAY = "You have run out of API credits for the day. 801 API credits were used, with the current limit being 800."
UPGRADE = "Consider upgrading your API Key now at https://twelvedata.com/pricing"
NAMES = {Interval.D1: "1day", Interval.H1: "1h", Interval.M15: "15min"}


def wanted(symbol: str = "AAPL", interval: Interval | None = None, window: TimeRange = ALL_TIME) -> Ask:
    return question(symbol, interval, NOW, window)


def quote_of(symbol: str = "AAPL", **fields: Any) -> dict[str, Any]:
    body = {
        "symbol": symbol,
        "exchange": "NASDAQ",
        "currency": "USD",
        "datetime": "2024-07-10",
        "timestamp": 1720618200,
    }
    prices = {"open": "228.84000", "high": "230.50000", "low": "227.25000", "close": "229.87000"}
    return {**body, **prices, "volume": "35462000", "previous_close": "228.52000", **fields}


def quote(symbol: str = "AAPL", **fields: Any) -> Batch:
    name = {"^GSPC": "SPX", "BTC-USD": "BTC/USD", "EURUSD=X": "EUR/USD"}.get(symbol, symbol)
    return PROVIDER.parse(wanted(symbol), answer(quote_of(name, **fields)))


def bar(opens: Any, close: str = "2.50", **fields: Any) -> dict[str, Any]:
    return {"datetime": opens, "open": "2.00", "high": "3.00", "low": "1.00", "close": close, "volume": "7", **fields}


def series(*values: Any, interval: Interval = Interval.D1, symbol: str = "AAPL", **meta: Any) -> dict[str, Any]:
    about = {"symbol": symbol, "interval": NAMES[interval], "currency": "USD", "exchange_timezone": "America/New_York"}
    return {"meta": {**about, **meta}, "values": list(values), "status": "ok"}


def bars(
    *values: Any, interval: Interval = Interval.D1, window: TimeRange = ALL_TIME, ask: str = "AAPL", **meta: Any
) -> Batch:
    body = series(*values, interval=interval, **meta)
    return PROVIDER.parse(wanted(ask, interval, window), answer(body))


def opened(batch: Batch) -> list[str]:
    return [f"{from_micros(stamp):%Y-%m-%d %H:%M}" for stamp in batch.columns["timestamp"]]


# --- what is asked


@pytest.mark.parametrize(
    ("symbol", "path", "there"),
    [
        ("AAPL", "/quote", "AAPL"),
        ("BRK-B", "/quote", "BRK.B"),
        ("^GSPC", "/quote", "SPX"),
        ("BTC-USD", "/quote", "BTC/USD"),
        ("EURUSD=X", "/exchange_rate", "EUR/USD"),
        ("INR=X", "/exchange_rate", "USD/INR"),
    ],
)
def test_a_symbol_keeps_its_meaning(symbol: str, path: str, there: str) -> None:
    request = PROVIDER.request(wanted(symbol))
    assert (request.path, dict(request.params), request.weight) == (path, {"symbol": there}, 1)


@pytest.mark.parametrize("symbol", ["VOD.L", "^FTSE", "GC=F", "BF-AB"])
def test_what_has_no_sure_name_there_is_not_asked_for(symbol: str) -> None:
    with pytest.raises(UnknownSymbolError):
        PROVIDER.request(wanted(symbol))


@pytest.mark.parametrize(("interval", "text"), NAMES.items())
def test_bars_are_asked_for_with_a_day_to_either_side_and_in_no_zone(interval: Interval, text: str) -> None:
    """The ends are wall-clock times of an exchange; with timezone=UTC nothing would say whose clock answers."""
    window = TimeRange(datetime(2024, 7, 2, tzinfo=UTC), datetime(2024, 7, 5, tzinfo=UTC))
    request = PROVIDER.request(wanted("AAPL", interval, window))
    assert request.path == "/time_series"
    assert request.params == {
        "symbol": "AAPL",
        "interval": text,
        "start_date": "2024-07-01T00:00:00",
        "end_date": "2024-07-06T00:00:00",
    }


@pytest.mark.parametrize(
    ("symbol", "interval", "endpoint"),
    [
        ("AAPL", None, "quote/stock"),
        ("^GSPC", None, "quote/index"),
        ("EURUSD=X", None, "exchange_rate/forex"),
        ("^GSPC", Interval.D1, "time_series/index"),
    ],
)
def test_an_endpoint_is_what_a_plan_may_refuse_by_itself(symbol: str, interval: Interval | None, endpoint: str) -> None:
    assert PROVIDER.request(wanted(symbol, interval)).endpoint == endpoint


def test_the_published_limits_are_declared_and_the_key_is_no_part_of_an_address() -> None:
    facts = PROVIDER.facts
    assert facts.quotas == (Quota(8, 60.0), Quota(800, 86_400.0))
    assert facts.key is not None
    assert (facts.key.variable, facts.key.query) == ("API_KEY_TWELVE_DATA", None)
    assert (facts.key.header, facts.key.prefix) == ("Authorization", "apikey ")


@pytest.mark.parametrize("pair", [AssetClass.FOREX, AssetClass.CRYPTO])
def test_bars_of_pairs_are_not_to_be_asked_for(pair: AssetClass) -> None:
    """Their times come without a zone."""
    assert not PROVIDER.facts.serves(pair, Kind.BARS)
    assert PROVIDER.facts.serves(pair, Kind.QUOTE)


# --- quotes


def test_a_quotes_prices_are_text_and_its_time_a_number() -> None:
    batch = quote()
    assert batch.row(0) == {
        "timestamp": 1_720_618_200_000_000,
        "price": "229.87000",
        "volume": "35462000",
        "previous_close": "228.52000",
        "open": "228.84000",
        "high": "230.50000",
        "low": "227.25000",
    }
    assert batch.currency == "USD"


def test_a_quote_is_stamped_with_its_last_minute_not_with_the_opening_of_its_day() -> None:
    assert quote(last_quote_at=1720625340).columns["timestamp"] == [1_720_625_340_000_000]
    assert quote(last_quote_at=None).columns["timestamp"] == [1_720_618_200_000_000]


def test_a_rate_is_a_number() -> None:
    body = b'{"symbol":"EUR/USD","rate":1.16844,"timestamp":1720625340}'
    batch = PROVIDER.parse(wanted("EURUSD=X"), answer(body))
    assert batch.row(0) == {"timestamp": 1_720_625_340_000_000, "price": "1.16844", "volume": None}
    assert batch.currency == "USD"


def test_a_pairs_quote_has_neither_volume_nor_currency_but_its_name_has() -> None:
    body = quote_of("BTC/USD", exchange="Coinbase Pro")
    del body["currency"], body["volume"]
    batch = PROVIDER.parse(wanted("BTC-USD"), answer(body))
    assert (batch.currency, batch.columns["volume"]) == ("USD", [None])


def test_the_volume_of_an_index_is_unknown_not_nought() -> None:
    assert quote("^GSPC", volume="0").columns["volume"] == [None]
    assert quote("^GSPC", volume="2500").columns["volume"] == ["2500"]
    assert quote(volume="0").columns["volume"] == ["0"]


def test_a_stock_of_an_indexs_name_is_no_index() -> None:
    with pytest.raises(MalformedError, match="Common Stock"):
        quote("^GSPC", type="Common Stock")
    with pytest.raises(MalformedError, match="Index"):
        quote(type="Index")
    assert len(quote("^GSPC", type="Index")) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"close": None},
        {"close": ""},
        {"close": "0.00000"},
        {"close": "NaN"},
        {"close": "1_0"},
        {"close": True},
        {"timestamp": None},
        {"timestamp": "soon"},
        {"timestamp": 1720625340000},
        {"last_quote_at": []},
        {"volume": "many"},
        {"high": "Infinity"},
        {"currency": ["USD"]},
    ],
)
def test_a_quote_that_lacks_what_it_promises_is_malformed(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        quote(**fields)


# --- bars


def test_bars_come_newest_first_and_leave_oldest_first_with_their_own_text() -> None:
    batch = bars(bar("2024-07-10", "2.50000"), bar("2024-07-09", "2.40"), exchange="NASDAQ")
    assert opened(batch) == ["2024-07-09 00:00", "2024-07-10 00:00"]
    assert batch.columns["close"] == ["2.40", "2.50000"]
    assert (batch.columns["volume"], batch.columns["adj_close"]) == (["7", "7"], [None, None])
    assert batch.currency == "USD"
    # Restated for splits up to the day of the answer, which the provider does where nothing else is asked for.
    assert batch.meta == {"zone": "America/New_York", "exchange": "NASDAQ", "adjusted_to": "2024-07-10"}


@pytest.mark.parametrize(
    ("zone", "local", "utc"),
    [
        ("America/New_York", "2024-07-10 09:30:00", "2024-07-10 13:30"),
        ("America/New_York", "2024-01-10 09:30:00", "2024-01-10 14:30"),
        ("America/New_York", "2024-03-08 15:30:00", "2024-03-08 20:30"),
        ("America/New_York", "2024-03-11 09:30:00", "2024-03-11 13:30"),
        ("Australia/Sydney", "2024-01-10 10:00:00", "2024-01-09 23:00"),
        ("Asia/Kolkata", "2024-01-10 09:15:00", "2024-01-10 03:45"),
    ],
)
def test_intraday_times_are_local_to_the_exchange_of_that_season(zone: str, local: str, utc: str) -> None:
    for interval in (Interval.H1, Interval.M15):
        assert opened(bars(bar(local), interval=interval, exchange_timezone=zone)) == [utc]


@pytest.mark.parametrize("local", ["2024-03-10 02:30:00", "2024-11-03 01:30:00"])
def test_an_hour_that_the_clocks_leave_out_or_repeat_is_no_moment(local: str) -> None:
    with pytest.raises(MalformedError, match="not one moment"):
        bars(bar(local), interval=Interval.H1)


@pytest.mark.parametrize("zone", [None, "", "Mars/Olympus", "../../etc/passwd", 5, "x" * 500])
def test_an_intraday_time_without_a_zone_is_malformed(zone: object) -> None:
    """As a pair's are: its clock cannot be told."""
    with pytest.raises(MalformedError, match="exchange_timezone"):
        bars(bar("2024-07-10 09:30:00"), interval=Interval.H1, exchange_timezone=zone)


@pytest.mark.parametrize("zone", ["Australia/Sydney", "America/New_York", None])
def test_a_day_stands_at_midnight_utc_of_its_local_date_whatever_the_zone(zone: str | None) -> None:
    assert opened(bars(bar("2024-07-10"), exchange_timezone=zone)) == ["2024-07-10 00:00"]


def test_days_of_a_pair_need_no_zone_and_have_no_volume() -> None:
    body = series({k: v for k, v in bar("2024-07-10").items() if k != "volume"}, symbol="EUR/USD")
    body["meta"] = {"symbol": "EUR/USD", "interval": "1day", "currency_quote": "US Dollar", "type": "Physical Currency"}
    batch = PROVIDER.parse(wanted("EURUSD=X", Interval.D1), answer(body))
    assert (opened(batch), batch.columns["volume"], batch.currency) == (["2024-07-10 00:00"], [None], "USD")


def test_the_volume_of_an_indexs_bars_is_unknown_not_nought() -> None:
    batch = bars(bar("2024-07-10", volume="0"), ask="^GSPC", symbol="SPX")
    assert batch.columns["volume"] == [None]


def test_bars_outside_the_window_are_left_out() -> None:
    window = TimeRange(datetime(2024, 7, 9, tzinfo=UTC), datetime(2024, 7, 10, tzinfo=UTC))
    values = [bar(f"2024-07-{day:02}") for day in (11, 10, 9, 8)]
    assert opened(bars(*values, window=window)) == ["2024-07-09 00:00"]
    for outside in ([values[0]], []):
        with pytest.raises(EmptyError):
            bars(*outside, window=window)


@pytest.mark.parametrize(
    "value",
    [
        bar("2024-07-10 00:00:00"),
        bar("2024-02-30"),
        bar("10.07.2024"),
        bar("٢٠٢٤-07-10"),
        bar(1720569600),
        bar(None),
        bar("2024-07-10", high="high"),
        bar("2024-07-10", volume={}),
        {"datetime": "2024-07-10"},
        "2024-07-10",
        None,
    ],
)
def test_a_value_that_is_no_bar_is_malformed(value: object) -> None:
    with pytest.raises(MalformedError):
        bars(bar("2024-07-09"), value)


@pytest.mark.parametrize("text", ["2024-07-10", "2024-07-10 09:31:00", "2024-07-10 25:00:00", "2024-07-10T09:30:00"])
def test_an_intraday_time_at_which_no_bar_opens_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError, match="datetime"):
        bars(bar(text), interval=Interval.M15)


@pytest.mark.parametrize(
    "meta", [{"interval": "1min"}, {"interval": None}, {"symbol": "MSFT"}, {"symbol": None}, {"type": "Index"}]
)
def test_bars_of_something_else_are_malformed(meta: dict[str, Any]) -> None:
    body = series(bar("2024-07-10"))
    body["meta"] |= meta
    with pytest.raises(MalformedError):
        PROVIDER.parse(wanted("AAPL", Interval.D1), answer(body))


@pytest.mark.parametrize("symbol", ["MSFT", "aapl", None, 5])
def test_a_quote_of_something_else_is_malformed(symbol: object) -> None:
    with pytest.raises(MalformedError, match="AAPL"):
        PROVIDER.parse(wanted(), answer({**quote_of(), "symbol": symbol}))


def test_a_cross_rate_whose_ranges_do_not_hold_its_prices_is_refused() -> None:
    """Its meta names two instruments and no symbol."""
    body = series({"datetime": "2024-07-10", "open": "3", "high": "1", "low": "2", "close": "2"})
    body["meta"] = {"base_instrument": "JPY/USD", "interval": "1day", "quote_instrument": "BTC/USD"}
    with pytest.raises(MalformedError, match="None"):
        PROVIDER.parse(wanted("BTC-USD", Interval.D1), answer(body))


def test_more_bars_than_a_batch_holds_are_malformed() -> None:
    values = [bar(f"{datetime(2000, 1, 1) + timedelta(days=day):%Y-%m-%d}") for day in range(BATCH_LIMIT + 1)]  # noqa: DTZ001  a local date
    with pytest.raises(MalformedError, match="1001"):
        bars(*values)


# --- errors


@pytest.mark.parametrize(
    ("code", "message", "meaning"),
    [
        (401, f"**apikey** parameter is incorrect or not specified: {SECRET}", KeyRejectedError),
        (403, f"/quote is available exclusively with grow or pro plans. {UPGRADE}", EntitlementError),
        (404, f"/quote is available starting with Grow plan. {UPGRADE}", EntitlementError),
        (403, f"This symbol is available starting with Grow plan. {UPGRADE}", UnknownSymbolError),
        (404, "**symbol** or **figi** parameter is missing or invalid.", UnknownSymbolError),
        (400, "**symbol** not found: NOPE. Please specify it correctly.", UnknownSymbolError),
        (400, "No data is available on the specified dates. Try setting different start/end dates.", EmptyError),
        (400, "Invalid **interval** provided: 7min.", MalformedError),
        (429, MINUTE, QuotaError),
        (429, DAY, QuotaError),
        (500, "Internal server error", TransientError),
        (None, "?", MalformedError),
        ("429", MINUTE, QuotaError),
    ],
)
def test_what_an_error_means_within_a_success_too(code: object, message: str, meaning: type[ProviderError]) -> None:
    """Its text is never repeated: it may name the key."""
    for status in (200, code if isinstance(code, int) else 400):
        for interval in (None, Interval.D1):
            response = answer({"code": code, "message": message, "status": "error"}, status)
            with pytest.raises(meaning) as caught:
                PROVIDER.parse(wanted("AAPL", interval), response)
            assert type(caught.value) is meaning
            assert SECRET not in repr(caught.value)


def test_no_data_of_a_range_that_is_surely_kept_in_part_says_nothing_of_the_rest() -> None:
    """NOW is 2024-07-10; sixty days are surely kept."""
    said = {"code": 400, "message": "No data is available on the specified dates.", "status": "error"}
    window = TimeRange(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))
    for body, status in ((said, 400), (series(bar("2024-06-01 09:30:00"), interval=Interval.H1), 200)):
        with pytest.raises(UnavailableRangeError) as caught:
            PROVIDER.parse(wanted("AAPL", Interval.H1, window), answer(body, status))
        assert caught.value.earliest == datetime(2024, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("interval", "begin", "first", "told"),
    [
        (Interval.H1, (2024, 4, 1), "2024-04-15 09:30:00", datetime(2024, 4, 15, 13, 30, tzinfo=UTC)),
        (Interval.M15, (2024, 4, 15), "2024-05-20 09:30:00", datetime(2024, 5, 12, tzinfo=UTC)),
        (Interval.H1, (2024, 5, 13), "2024-05-20 09:30:00", None),  # what is kept was left out: nothing was traded
        (Interval.D1, (2020, 4, 1), "2020-04-15", None),
    ],
)
def test_bars_of_a_part_of_a_range_say_from_when_on_they_are_kept(
    interval: Interval, begin: tuple[int, int, int], first: str, told: datetime | None
) -> None:
    """An answer of the newer part has status 200 as well."""
    window = TimeRange(datetime(*begin, tzinfo=UTC), datetime(*begin, tzinfo=UTC) + timedelta(days=50))
    batch = bars(bar(first), interval=interval, window=window)
    assert batch.meta.get("kept_from") == (to_micros(told) if told else None)


def test_no_data_of_an_intraday_range_that_may_not_be_kept_says_nothing_of_the_range() -> None:
    """How far back they reach differs by symbol and is not said."""
    said = {"code": 400, "message": "No data is available on the specified dates.", "status": "error"}
    old = TimeRange(datetime(2019, 7, 1, tzinfo=UTC), datetime(2019, 7, 8, tzinfo=UTC))
    new = TimeRange(datetime(2024, 6, 1, tzinfo=UTC), datetime(2024, 6, 8, tzinfo=UTC))
    for interval, window, meant in (
        (Interval.H1, old, UnavailableRangeError),
        (Interval.M15, old, UnavailableRangeError),
        (Interval.H1, new, EmptyError),
        (Interval.D1, old, EmptyError),
    ):
        ask = wanted("AAPL", interval, window)
        with pytest.raises(meant) as caught:
            PROVIDER.parse(ask, answer(said, 400))
        assert type(caught.value) is meant
        assert [type(each) for each in PROVIDER.parse_many([ask], answer(said, 400))] == [meant]


@pytest.mark.parametrize("status", [200, 429])
def test_credits_come_back_with_the_next_minute_or_the_next_day(status: int) -> None:
    """15:30:12 in UTC. The error of a day's limit has no ``status``."""
    for message, wait in ((MINUTE, 48.0), (DAY, 8 * 3600 + 29 * 60 + 48.0)):
        with pytest.raises(QuotaError) as caught:
            PROVIDER.parse(wanted(), answer({"code": 429, "message": message}, status))
        assert caught.value.retry_after == wait


def test_the_headers_word_on_waiting_goes_first() -> None:
    with pytest.raises(QuotaError) as caught:
        PROVIDER.parse(wanted(), answer({"code": 429, "message": DAY}, 429, retry_after="30"))
    assert caught.value.retry_after == 30.0


def test_rows_under_another_status_are_not_taken() -> None:
    with pytest.raises(MalformedError, match="206"):
        PROVIDER.parse(wanted(), answer(quote_of(), 206))


# --- batches


def many(symbols: list[str], body: Any, interval: Interval | None = None, status: int = 200) -> list[Any]:
    return PROVIDER.parse_many([wanted(symbol, interval) for symbol in symbols], answer(body, status))


def asked(*symbols: str, interval: Interval | None = None) -> HttpRequest:
    return PROVIDER.request_many([wanted(symbol, interval) for symbol in symbols])


def test_a_batch_costs_a_credit_a_symbol() -> None:
    request = asked("AAPL", "BRK-B", "BTC-USD", "EURUSD=X")
    assert (request.path, request.weight) == ("/quote", 4)
    assert request.params == {"symbol": "AAPL,BRK.B,BTC/USD,EUR/USD"}
    assert request.endpoint == "quote/crypto/forex/stock"
    assert asked("AAPL", "MSFT", interval=Interval.H1).params["interval"] == "1h"
    assert isinstance(PROVIDER, Batching)


def test_what_has_no_sure_name_and_what_is_asked_twice_cost_nothing() -> None:
    request = asked("AAPL", "VOD.L", "AAPL")
    assert (request.params["symbol"], request.weight) == ("AAPL", 1)
    found = many(["AAPL", "VOD.L", "AAPL"], quote_of())
    assert [type(each) for each in found] == [Batch, UnknownSymbolError, Batch]
    with pytest.raises(UnknownSymbolError):
        asked("VOD.L")


def test_a_batch_is_of_one_kind_interval_and_window_and_no_larger_than_declared() -> None:
    with pytest.raises(ValueError, match="differ"):
        PROVIDER.request_many([wanted(), wanted(interval=Interval.D1)])
    with pytest.raises(ValueError, match="9"):
        asked(*"ABCDEFGHI")
    with pytest.raises(ValueError, match="differ"):
        asked()


def test_a_batch_mixes_good_and_bad_entries_in_the_order_of_the_questions() -> None:
    body = {
        "NOPE": {"code": 400, "message": "**symbol** not found: NOPE.", "status": "error"},
        "MSFT": quote_of("MSFT", close="414.17000"),
        "AAPL": quote_of(),
        "GOOG": {"code": 429, "message": MINUTE, "status": "error"},
        "IBM": quote_of("AAPL"),
        "T": [],
    }
    found = many(["AAPL", "NOPE", "MSFT", "GOOG", "IBM", "T", "KO"], body)
    assert (found[0].symbol, found[0].columns["price"]) == ("AAPL", ["229.87000"])
    assert (found[2].symbol, found[2].columns["price"]) == ("MSFT", ["414.17000"])
    kinds = [type(each) for each in found]
    assert kinds == [
        Batch, UnknownSymbolError, Batch, QuotaError, MalformedError, MalformedError, MalformedError,
    ]  # fmt: skip


def test_a_batch_of_bars() -> None:
    body = {name: series(bar("2024-07-10"), symbol=name) for name in ("AAPL", "MSFT")}
    assert [each.symbol for each in many(["MSFT", "AAPL"], body, Interval.D1)] == ["MSFT", "AAPL"]


def test_a_batch_of_one_is_answered_without_its_name() -> None:
    [found] = many(["AAPL"], quote_of())
    assert found.columns["price"] == ["229.87000"]
    [found] = many(["AAPL"], {"AAPL": quote_of()})
    assert found.columns["price"] == ["229.87000"]
    [found] = many(["NOPE"], {"code": 404, "message": "**symbol** parameter is missing or invalid.", "status": "error"})
    assert isinstance(found, UnknownSymbolError)


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        ({"code": 429, "message": MINUTE, "status": "error"}, QuotaError),
        ({"code": 429, "message": DAY}, QuotaError),
        ({"code": 401, "message": "**apikey** parameter is incorrect", "status": "error"}, KeyRejectedError),
        ({"code": 403, "message": UPGRADE, "status": "error"}, EntitlementError),
        ({"code": 404, "message": "**symbol** not found", "status": "error"}, MalformedError),
        ({"code": 400, "message": "No data is available on the specified dates.", "status": "error"}, MalformedError),
        ({"MSFT": {}}, MalformedError),
        ({}, MalformedError),
        ([], MalformedError),
        (b"<html>", MalformedError),
    ],
)
def test_an_answer_that_is_none_as_a_whole_is_raised(body: Any, meaning: type[ProviderError]) -> None:
    """Of a whole batch nobody can say which of its symbols is unknown."""
    with pytest.raises(meaning):
        many(["AAPL", "IBM"], body)


def test_a_quota_refuses_a_batch_of_one_as_a_whole_too() -> None:
    with pytest.raises(QuotaError):
        many(["AAPL"], {"code": 429, "message": MINUTE, "status": "error"})


def test_a_batch_under_another_status_has_no_rows() -> None:
    for found in many(["AAPL", "IBM"], {"AAPL": quote_of(), "IBM": quote_of("IBM")}, status=207):
        assert isinstance(found, MalformedError)
