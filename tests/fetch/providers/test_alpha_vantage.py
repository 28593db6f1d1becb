"""Each known trap of Alpha Vantage's answers, in the smallest answer that has it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from fintrack_tasks.domain import BATCH_LIMIT, AssetClass, Batch, Instrument, Interval, Kind, TimeRange, from_micros
from fintrack_tasks.errors import (
    EmptyError,
    EntitlementError,
    KeyRejectedError,
    MalformedError,
    ProviderError,
    QuotaError,
    UnavailableRangeError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers.alpha_vantage import PROVIDER
from fintrack_tasks.fetch.providers.base import Ask
from fintrack_tasks.transform.corporate_actions import actions_of
from fintrack_tasks.validate import check_batch
from tests.fetch.providers.asking import ALL_TIME, answer, question

NOW = datetime(2024, 7, 10, 15, 30, tzinfo=UTC)  # a Wednesday, 11:30 in New York
KEY = "S3CR3TKEY0000001"
BURST = (
    "Thank you for using Alpha Vantage! Please consider spreading out your free API requests more sparingly (1 request "
    "per second). You may subscribe to any of the premium plans at https://www.alphavantage.co/premium/ to lift the "
    "free key rate limit (25 requests per day), raise the per-second burst limit, and instantly unlock all premium "
    "endpoints"
)
DAILY_LIMIT = (
    f"We have detected your API key as {KEY} and our standard API rate limit is 25 requests per day. Please subscribe "
    "to any of the premium plans at https://www.alphavantage.co/premium/ to instantly remove all daily rate limits."
)
PREMIUM = (
    "Thank you for using Alpha Vantage! This is a premium endpoint. You may subscribe to any of the premium plans at "
    "https://www.alphavantage.co/premium/ to instantly unlock all premium endpoints"
)
UPSELL = (
    "Please subscribe to the 600 requests per minute or 1200 requests per minute premium plan if you would like to "
    "access realtime data."
)


def window(start: tuple[int, ...], end: tuple[int, ...]) -> TimeRange:
    return TimeRange(datetime(*start, tzinfo=UTC), datetime(*end, tzinfo=UTC))  # type: ignore[misc]


def asked(
    symbol: str = "IBM", interval: Interval | None = None, span: TimeRange = ALL_TIME, now: datetime = NOW
) -> Ask:
    return question(symbol, interval, now, span)


def parse(body: Any, ask: Ask, status: int = 200) -> Batch:
    return PROVIDER.parse(ask, answer(body, status))


def bar(close: str = "10.5", *more: tuple[str, str]) -> dict[str, str]:
    """The same value in all four prices, then further fields, numbered on."""
    named = [*((name, close) for name in ("open", "high", "low", "close")), *more]
    return {f"{number}. {name}": value for number, (name, value) in enumerate(named, start=1)}


def series(rows: dict[str, Any], length: str = "Daily", zone: str = "US/Eastern", size: str = "Full size") -> Any:
    meta = {"2. Symbol": "IBM", "4. Output Size": size, "5. Time Zone": zone}
    return {"Meta Data": meta, f"Time Series ({length})": rows}


def quote(**changed: str | None) -> dict[str, Any]:
    fields = {
        "01. symbol": "IBM",
        "02. open": "112.6300",
        "03. high": "113.1700",
        "04. low": "110.6400",
        "05. price": "112.1300",
        "06. volume": "29062853",
        "07. latest trading day": "2024-07-09",
        "08. previous close": "112.7900",
        "09. change": "-0.6600",
        "10. change percent": "-0.5852%",
    }
    words = {name.partition(". ")[2].replace(" ", "_"): name for name in fields}
    return {"Global Quote": fields | {words[word]: value for word, value in changed.items()}}


def rate(**changed: str | None) -> dict[str, Any]:
    fields = {
        "1. From_Currency Code": "EUR",
        "3. To_Currency Code": "USD",
        "5. Exchange Rate": "1.10302230",
        "6. Last Refreshed": "2024-07-10 15:29:42",
        "7. Time Zone": "UTC",
        "8. Bid Price": "1.10301000",
        "9. Ask Price": "1.10303000",
    }
    words = {name.partition(". ")[2].replace(" ", "_"): name for name in fields}
    return {"Realtime Currency Exchange Rate": fields | {words[word]: value for word, value in changed.items()}}


def stamps(batch: Batch) -> list[datetime]:
    return [from_micros(stamp) for stamp in batch.columns["timestamp"]]


# --- what is asked


@pytest.mark.parametrize(
    ("symbol", "params"),
    [
        ("IBM", {"function": "GLOBAL_QUOTE", "symbol": "IBM"}),
        ("EUR/USD", {"function": "CURRENCY_EXCHANGE_RATE", "from_currency": "EUR", "to_currency": "USD"}),
        ("INR=X", {"function": "CURRENCY_EXCHANGE_RATE", "from_currency": "USD", "to_currency": "INR"}),
        ("BTC-EUR", {"function": "CURRENCY_EXCHANGE_RATE", "from_currency": "BTC", "to_currency": "EUR"}),
    ],
)
def test_quotes_of_pairs_are_an_exchange_rate(symbol: str, params: dict[str, str]) -> None:
    request = PROVIDER.request(asked(symbol))
    assert request.path == "/query"
    assert request.params == {**params, "datatype": "json"}
    assert request.endpoint == params["function"]


@pytest.mark.parametrize(
    ("symbol", "interval", "params"),
    [
        ("IBM", Interval.D1, {"function": "TIME_SERIES_DAILY", "symbol": "IBM"}),
        ("EURUSD=X", Interval.D1, {"function": "FX_DAILY", "from_symbol": "EUR", "to_symbol": "USD"}),
        ("EURUSD=X", Interval.H1, {"function": "FX_INTRADAY", "from_symbol": "EUR", "interval": "60min"}),
        ("BTC-USD", Interval.D1, {"function": "DIGITAL_CURRENCY_DAILY", "symbol": "BTC", "market": "USD"}),
        ("BTC-USD", Interval.M15, {"function": "CRYPTO_INTRADAY", "market": "USD", "interval": "15min"}),
        (
            "IBM",
            Interval.M15,
            {"function": "TIME_SERIES_INTRADAY", "interval": "15min", "adjusted": "false", "extended_hours": "false"},
        ),
    ],
)
def test_each_kind_of_bars_has_its_function(symbol: str, interval: Interval, params: dict[str, str]) -> None:
    request = PROVIDER.request(asked(symbol, interval, window((2024, 7, 9), (2024, 7, 10))))
    assert request.params.items() >= {**params, "datatype": "json"}.items()


@pytest.mark.parametrize(
    ("symbol", "interval", "days", "size"),
    [
        ("IBM", Interval.D1, 2, "compact"),
        ("IBM", Interval.D1, 120, "compact"),
        ("IBM", Interval.D1, 150, "full"),
        ("EURUSD=X", Interval.D1, 100, "compact"),
        ("EURUSD=X", Interval.D1, 120, "full"),
        ("IBM", Interval.H1, 14, "compact"),
        ("IBM", Interval.H1, 21, "full"),
        ("IBM", Interval.M15, 1, "compact"),
        ("IBM", Interval.M15, 7, "full"),
        ("BTC-USD", Interval.H1, 3, "compact"),
        ("BTC-USD", Interval.M15, 2, "full"),
    ],
)
def test_as_few_rows_are_asked_for_as_hold_the_window(symbol: str, interval: Interval, days: int, size: str) -> None:
    """Compact is the newest hundred; they count from now, however short the window is."""
    start = NOW - timedelta(days=days)
    request = PROVIDER.request(asked(symbol, interval, TimeRange(start, start + timedelta(hours=1))))
    assert request.params["outputsize"] == size


def test_the_full_output_is_an_entitlement_of_its_own() -> None:
    """The free plan has the newest hundred days of a stock and not the older ones."""
    recent, old = window((2024, 7, 1), (2024, 7, 10)), window((2020, 7, 1), (2024, 7, 10))
    assert PROVIDER.request(asked(interval=Interval.D1, span=recent)).endpoint == "TIME_SERIES_DAILY"
    assert PROVIDER.request(asked(interval=Interval.D1, span=old)).endpoint == "TIME_SERIES_DAILY/full"


def test_the_free_plan_and_the_way_of_the_key_are_declared() -> None:
    facts = PROVIDER.facts
    assert [(quota.limit, quota.seconds) for quota in facts.quotas] == [(5, 60.0), (25, 86_400.0)]
    assert facts.key is not None
    assert (facts.key.variable, facts.key.query, facts.key.header) == ("API_KEY_ALPHA_VANTAGE", "apikey", None)
    assert not facts.serves(AssetClass.INDEX, Kind.QUOTE)


# --- quotes


def test_the_number_before_a_word_does_not_matter() -> None:
    told = {f"7. {name.partition('. ')[2]}": value for name, value in quote()["Global Quote"].items()}
    for body in (quote(), {"Global Quote": told}, {"Global Quote - DATA DELAYED BY 15 MINUTES": told}):
        row = parse(body, asked()).row(0)
        assert (row["price"], row["volume"], row["previous_close"]) == ("112.1300", "29062853", "112.7900")
        assert (row["open"], row["high"], row["low"]) == ("112.6300", "113.1700", "110.6400")


@pytest.mark.parametrize(
    ("day", "now", "stamp"),
    [
        ("2024-07-09", NOW, datetime(2024, 7, 9, 20, tzinfo=UTC)),
        ("2024-01-09", datetime(2024, 1, 10, 15, tzinfo=UTC), datetime(2024, 1, 9, 21, tzinfo=UTC)),
        ("2024-07-10", NOW, NOW),
        ("2024-07-10", datetime(2024, 7, 11, 2, tzinfo=UTC), datetime(2024, 7, 10, 20, tzinfo=UTC)),
    ],
    ids=["summer", "winter", "the open day", "the evening of the day"],
)
def test_a_quote_is_stamped_with_the_close_of_its_day_but_never_ahead_of_the_clock(
    day: str, now: datetime, stamp: datetime
) -> None:
    assert stamps(parse(quote(latest_trading_day=day), asked(now=now))) == [stamp]


@pytest.mark.parametrize("day", ["2024-07-11", "2024-7-9", "2024-02-30", "2024-W28-2", "", None, 20240709])
def test_a_day_that_is_none_or_yet_to_come_is_malformed(day: Any) -> None:
    with pytest.raises(MalformedError):
        parse(quote(latest_trading_day=day), asked())


def test_an_empty_quote_is_an_unknown_symbol() -> None:
    with pytest.raises(UnknownSymbolError):
        parse({"Global Quote": {}}, asked())


@pytest.mark.parametrize("price", ["0.0000", "-1.5"])
def test_a_price_of_zero_means_no_data(price: str) -> None:
    with pytest.raises(EmptyError):
        parse(quote(price=price), asked())


@pytest.mark.parametrize("price", [None, "", "12%", "1,200.5", "NaN", "Infinity", "٣"])
def test_a_price_that_is_no_number_is_malformed(price: Any) -> None:
    with pytest.raises(MalformedError):
        parse(quote(price=price), asked())


def test_the_percent_sign_is_in_nobodys_way() -> None:
    assert parse(quote(change_percent="n/a%"), asked()).row(0)["price"] == "112.1300"


def test_a_rate_is_a_quote_with_bid_and_ask() -> None:
    batch = parse(rate(), asked("EURUSD=X"))
    row = batch.row(0)
    assert (row["price"], row["bid"], row["ask"]) == ("1.10302230", "1.10301000", "1.10303000")
    assert stamps(batch) == [datetime(2024, 7, 10, 15, 29, 42, tzinfo=UTC)]
    assert batch.currency == "USD"


def test_a_dash_or_a_zero_beside_the_rate_means_none() -> None:
    row = parse(rate(Bid_Price="-", Ask_Price="0.00000000"), asked("EURUSD=X")).row(0)
    assert (row["bid"], row["ask"]) == (None, None)


@pytest.mark.parametrize(
    ("zone", "hour"), [("UTC", 15), ("US/Eastern", 19), ("GMT+8", 7), ("GMT-3", 18), ("GMT+0", 15), ("UTC+05", 10)]
)
def test_a_rates_time_is_of_the_zone_that_it_names(zone: str, hour: int) -> None:
    """``GMT+8`` lies east of Greenwich, unlike the zone ``Etc/GMT+8``."""
    batch = parse(rate(Time_Zone=zone), asked("EURUSD=X"))
    assert stamps(batch) == [datetime(2024, 7, 10, hour, 29, 42, tzinfo=UTC)]


@pytest.mark.parametrize("zone", [None, "", "Mars/Olympus", "GMT+15", "GMT+", "+8", 8, "x" * 500])
def test_a_zone_that_is_none_is_malformed(zone: Any) -> None:
    with pytest.raises(MalformedError, match="Time Zone"):
        parse(rate(Time_Zone=zone), asked("EURUSD=X"))


def test_an_answer_for_another_instrument_is_refused() -> None:
    with pytest.raises(MalformedError, match="MSFT"):
        parse(quote(symbol="MSFT"), asked())
    with pytest.raises(MalformedError, match="JPY"):
        parse(rate(To_Currency_Code="JPY"), asked("EURUSD=X"))
    with pytest.raises(MalformedError, match="IBM"):
        parse(series({"2024-07-09": bar()}), asked("MSFT", Interval.D1))
    with pytest.raises(MalformedError):
        parse(series({"2024-07-09": bar()}), asked("EURUSD=X", Interval.D1))


@pytest.mark.parametrize("typed", ["BRK-B", "BRK.B"])
def test_a_class_of_shares_is_asked_for_with_a_dot(typed: str) -> None:
    assert PROVIDER.request(asked(typed)).params["symbol"] == "BRK.B"


def test_a_class_of_shares_is_the_same_with_a_dot() -> None:
    assert parse(quote(symbol="BRK.B"), asked("BRK-B")).symbol == "BRK-B"


def test_a_quote_is_no_series_and_a_series_no_quote() -> None:
    with pytest.raises(MalformedError):
        parse(quote(), asked(interval=Interval.D1))
    with pytest.raises(MalformedError):
        parse(series({"2024-07-09": bar()}), asked())
    with pytest.raises(MalformedError):
        parse(rate(), asked())


# --- bars


def test_days_are_midnight_utc_of_their_date_oldest_first() -> None:
    batch = parse(series({"2024-07-09": bar("2.5"), "2024-01-09": bar("1.5")}), asked(interval=Interval.D1))
    assert stamps(batch) == [datetime(2024, 1, 9, tzinfo=UTC), datetime(2024, 7, 9, tzinfo=UTC)]
    assert batch.columns["close"] == ["1.5", "2.5"]


def test_the_open_day_is_included() -> None:
    batch = parse(series({"2024-07-10": bar(), "2024-07-09": bar()}), asked(interval=Interval.D1))
    assert stamps(batch)[-1].date() == date(2024, 7, 10)


def test_a_date_is_not_moved_by_the_zone() -> None:
    for zone in ("US/Eastern", "UTC", "GMT+8", "unknown"):
        batch = parse(series({"2024-07-09": bar()}, zone=zone), asked(interval=Interval.D1))
        assert stamps(batch) == [datetime(2024, 7, 9, tzinfo=UTC)]


def test_volume_is_field_five_here_and_field_six_there() -> None:
    plain = bar("1.5", ("volume", "700"))
    adjusted = bar("1.5", ("adjusted close", "1.25"), ("volume", "800"), ("dividend amount", "0.5"))
    assert list(plain)[4] == "5. volume"
    assert list(adjusted)[5] == "6. volume"
    row = parse(series({"2024-07-09": plain}), asked(interval=Interval.D1)).row(0)
    assert (row["volume"], row["adj_close"], row["close"]) == ("700", None, "1.5")
    row = parse(series({"2024-07-09": adjusted}), asked(interval=Interval.D1)).row(0)
    assert (row["volume"], row["adj_close"], row["close"]) == ("800", "1.25", "1.5")


def test_an_adjusted_day_tells_its_split_and_its_dividend() -> None:
    days = {
        "2020-08-07": bar("1", ("split coefficient", "1.0"), ("dividend amount", "0.8200")),
        "2020-08-28": bar("1", ("split coefficient", "1.0"), ("dividend amount", "0.0000")),
        "2020-08-31": bar("1", ("split coefficient", "4.0"), ("dividend amount", "0.0000")),
    }
    told = actions_of(parse(series(days), asked(interval=Interval.D1)))
    assert [(each.kind, each.ex_date, each.amount, each.numerator) for each in told] == [
        ("dividend", date(2020, 8, 7), Decimal("0.8200"), None),
        ("split", date(2020, 8, 31), None, Decimal("4.0")),
    ]
    assert told[1].effective_at == datetime(2020, 8, 31, 13, 30, tzinfo=UTC)
    for days in ({"2020-08-28": bar()}, {"2020-08-28": bar("1", ("split coefficient", "1"))}):
        assert actions_of(parse(series(days), asked(interval=Interval.D1))) == []


@pytest.mark.parametrize("coefficient", ["0", "-2"])
def test_a_split_of_nothing_is_no_split(coefficient: str) -> None:
    days = {"2020-08-31": bar("1", ("split coefficient", coefficient))}
    assert actions_of(parse(series(days), asked(interval=Interval.D1))) == []


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2024-03-08 15:45:00", datetime(2024, 3, 8, 20, 45, tzinfo=UTC)),
        ("2024-03-11 09:30:00", datetime(2024, 3, 11, 13, 30, tzinfo=UTC)),
        ("2024-11-01 15:45:00", datetime(2024, 11, 1, 19, 45, tzinfo=UTC)),
        ("2024-11-04 09:30:00", datetime(2024, 11, 4, 14, 30, tzinfo=UTC)),
        ("2024-11-03 01:30:00", datetime(2024, 11, 3, 5, 30, tzinfo=UTC)),
    ],
    ids=["before spring", "after spring", "before autumn", "after autumn", "the hour that comes twice"],
)
def test_an_intraday_bar_stands_at_the_instant_of_its_wall_clock(local: str, utc: datetime) -> None:
    batch = parse(series({local: bar()}, "15min"), asked(interval=Interval.M15))
    assert stamps(batch) == [utc]


@pytest.mark.parametrize(
    "time", ["2024-03-10 02:30:00", "2024-07-09 09:31:00", "2024-07-09 09:30:17", "2024-07-09", "2024-07-09T09:30:00"]
)
def test_a_time_at_which_no_bar_opens_is_malformed(time: str) -> None:
    """The first of them the clocks of New York left out."""
    with pytest.raises(MalformedError):
        parse(series({time: bar()}, "15min"), asked(interval=Interval.M15))


@pytest.mark.parametrize("length", ["5min", "1min", "60min", "Weekly", "Monthly", "Daily", ""])
def test_bars_of_another_length_are_refused(length: str) -> None:
    with pytest.raises(MalformedError):
        parse(series({"2024-07-09 09:30:00": bar()}, length), asked(interval=Interval.M15))


def test_pairs_have_roots_and_meta_of_their_own() -> None:
    meta = {"2. From Symbol": "EUR", "3. To Symbol": "USD", "7. Time Zone": "UTC"}
    body = {"Meta Data": meta, "Time Series FX (60min)": {"2024-07-09 22:00:00": bar()}}
    batch = parse(body, asked("EURUSD=X", Interval.H1))
    assert (stamps(batch), batch.columns["volume"]) == ([datetime(2024, 7, 9, 22, tzinfo=UTC)], [None])
    meta = {"2. Digital Currency Code": "BTC", "4. Market Code": "EUR", "9. Time Zone": "UTC"}
    body = {"Meta Data": meta, "Time Series Crypto (15min)": {"2024-07-09 22:15:00": bar("9", ("volume", "16"))}}
    batch = parse(body, asked("BTC-EUR", Interval.M15))
    assert (stamps(batch), batch.currency) == ([datetime(2024, 7, 9, 22, 15, tzinfo=UTC)], "EUR")


def test_crypto_bars_of_older_days_name_the_currency_in_the_field() -> None:
    """Of two currencies the market's is taken."""
    row = {}
    for number, name in enumerate(("open", "high", "low", "close"), start=1):
        row |= {f"{number}a. {name} (CNY)": "7.0", f"{number}b. {name} (USD)": "1.0"}
    meta = {"2. Digital Currency Code": "BTC", "4. Market Code": "CNY", "7. Time Zone": "UTC"}
    body = {"Meta Data": meta, "Time Series (Digital Currency Daily)": {"2019-02-19": {**row, "5. volume": "3"}}}
    ask = Ask(Kind.BARS, Instrument.of("BTC-CNY", "crypto"), NOW, Interval.D1, ALL_TIME)
    assert parse(body, ask).columns["close"] == ["7.0"]


def test_rows_outside_the_window_are_dropped() -> None:
    body = series({f"2024-07-0{day}": bar(str(day)) for day in (9, 8, 5, 3)})
    batch = parse(body, asked(interval=Interval.D1, span=window((2024, 7, 5), (2024, 7, 9))))
    assert batch.columns["close"] == ["5", "8"]
    with pytest.raises(EmptyError):
        parse(body, asked(interval=Interval.D1, span=window((2024, 7, 6), (2024, 7, 8))))


def test_a_series_without_rows_is_empty() -> None:
    with pytest.raises(EmptyError):
        parse(series({}), asked(interval=Interval.D1))


def days(count: int) -> dict[str, Any]:
    return {f"{date(2024, 7, 10) - timedelta(days=back)}": bar() for back in range(count)}


def test_an_answer_of_the_newest_rows_is_no_proof_that_older_days_have_none() -> None:
    """Taken for an empty window, the older days would never be asked for again."""
    old = window((2024, 1, 1), (2024, 1, 9))
    for span in (old, window((2024, 1, 1), (2024, 7, 9))):
        with pytest.raises(UnavailableRangeError, match="2024-04-02") as caught:
            parse(series(days(100), size="Compact"), asked(interval=Interval.D1, span=span))
        assert caught.value.earliest == datetime(2024, 4, 2, tzinfo=UTC)
    with pytest.raises(EmptyError):
        parse(series(days(100)), asked(interval=Interval.D1, span=old))
    with pytest.raises(EmptyError):
        parse(series(days(30), size="Compact"), asked(interval=Interval.D1, span=old))  # listed a month ago


def test_more_bars_than_a_batch_holds_are_malformed() -> None:
    with pytest.raises(MalformedError, match="1001"):
        parse(series(days(BATCH_LIMIT + 1)), asked(interval=Interval.D1))
    assert len(parse(series(days(BATCH_LIMIT)), asked(interval=Interval.D1))) == BATCH_LIMIT


@pytest.mark.parametrize("name", ["1. open", "2. high", "3. low", "4. close"])
def test_a_bar_without_a_price_is_malformed(name: str) -> None:
    without = {key: value for key, value in bar().items() if key != name}
    for told in (bar() | {name: "x"}, without):
        with pytest.raises(MalformedError, match=name[3:]):
            parse(series({"2024-07-09": told}), asked(interval=Interval.D1))


def test_the_statement_of_a_synthetic_source_is_passed_on() -> None:
    body = series({"2024-07-09": bar()})
    body["Meta Data"]["fintrack"] = {"synthetic": True}
    batch = parse(body, asked(interval=Interval.D1))
    assert batch.meta == {"zone": "US/Eastern", "statement": {"synthetic": True}}


# --- texts at status 200


@pytest.mark.parametrize("root", ["Note", "Information"])
@pytest.mark.parametrize(
    ("text", "meaning", "after"),
    [
        (BURST, QuotaError, 60.0),
        ("Our standard API call frequency is 5 calls per minute and 500 calls per day.", QuotaError, 60.0),
        ("Our standard API rate limit is 75 requests per minute.", QuotaError, 60.0),
        ("If you would like to target a higher API call volume, please visit our premium page.", QuotaError, 60.0),
        # 11:30 in New York: twelve and a half hours are left of the day
        (DAILY_LIMIT, QuotaError, 12.5 * 3_600),
        ("Our standard API rate limit is 25 requests per day.", QuotaError, 12.5 * 3_600),
        (PREMIUM, EntitlementError, None),
        (
            "The outputsize=full parameter value is a premium feature for the TIME_SERIES_DAILY endpoint.",
            EntitlementError,
            None,
        ),
        (UPSELL, EntitlementError, None),
        ("Your key is not yet entitled to index data access.", EntitlementError, None),
        ("The **demo** API key is for demo purposes only. Please claim your free API key.", KeyRejectedError, None),
        ("Something that nobody has seen yet", MalformedError, None),
    ],
)
def test_only_the_text_tells_a_limit_from_a_refusal(
    root: str, text: str, meaning: type[ProviderError], after: float | None
) -> None:
    for ask in (asked(), asked("EURUSD=X"), asked(interval=Interval.D1)):
        for status in (200, 403):
            with pytest.raises(meaning) as caught:
                parse({root: text}, ask, status)
            assert caught.value.retry_after == after
            assert type(caught.value) is meaning


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        (datetime(2024, 1, 10, 5, 0, tzinfo=UTC), 24.0),
        (datetime(2024, 1, 10, 4, 59, tzinfo=UTC), 1 / 60),
        (datetime(2024, 3, 10, 5, 0, tzinfo=UTC), 23.0),
        (datetime(2024, 11, 3, 4, 0, tzinfo=UTC), 25.0),
    ],
    ids=["midnight", "a minute before", "the short day of spring", "the long day of autumn"],
)
def test_the_daily_limit_ends_at_midnight_in_new_york(now: datetime, hours: float) -> None:
    with pytest.raises(QuotaError) as caught:
        parse({"Information": DAILY_LIMIT}, asked(now=now))
    assert caught.value.retry_after == pytest.approx(hours * 3_600)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("the parameter apikey is invalid or missing. Please claim your free API key on (...).", KeyRejectedError),
        ("Invalid API call. Please retry or visit the documentation (...) for TIME_SERIES_DAILY.", UnknownSymbolError),
        ("This API function (TIME_SERIES) does not exist.", MalformedError),
    ],
)
def test_a_bad_key_and_an_unknown_symbol_share_their_field(text: str, meaning: type[ProviderError]) -> None:
    with pytest.raises(meaning):
        parse({"Error Message": text}, asked(interval=Interval.D1))


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"Information": DAILY_LIMIT}),
        json.dumps({"Note": DAILY_LIMIT}),
        json.dumps({"Information": DAILY_LIMIT})[:80],
        DAILY_LIMIT,
        json.dumps({"Information": [DAILY_LIMIT]}),
        json.dumps({"Information": f"Your key {KEY} is not understood"}),
        json.dumps([DAILY_LIMIT]),
        json.dumps(DAILY_LIMIT),
    ],
    ids=["information", "note", "cut", "plain text", "a list", "unknown", "listed", "a text"],
)
def test_the_key_that_a_limit_echoes_is_never_quoted(body: str) -> None:
    for ask in (asked(), asked("BTC-USD"), asked(interval=Interval.D1)):
        with pytest.raises(ProviderError) as caught:
            parse(body.encode(), ask)
        assert KEY[:6] not in repr(caught.value) + str(caught.value) + str(caught.value.__cause__)


def test_rows_marked_artificial_are_no_prices() -> None:
    mark = {"message": "The data below is ARTIFICIAL and for illustration; please subscribe to a premium plan."}
    with pytest.raises(EntitlementError, match="artificial"):
        parse(quote() | mark, asked())
    with pytest.raises(EntitlementError, match="artificial"):
        parse(mark | series({"2024-07-09": bar()}), asked(interval=Interval.D1))


def test_a_harmless_message_beside_the_rows_is_no_error() -> None:
    assert parse(quote() | {"message": "Hello"}, asked()).row(0)["price"] == "112.1300"


# --- bodies


def test_a_byte_order_mark_is_no_part_of_the_json() -> None:
    assert parse(b"\xef\xbb\xbf" + json.dumps(quote()).encode(), asked()).row(0)["price"] == "112.1300"


def test_a_table_of_csv_is_malformed() -> None:
    """It names neither the instrument nor the zone."""
    with pytest.raises(MalformedError, match="JSON"):
        parse(b"timestamp,open,high,low,close,volume\r\n2024-07-09,1,1,1,1,5\r\n", asked(interval=Interval.D1))


def test_a_page_is_malformed_and_a_row_of_another_status_no_price() -> None:
    with pytest.raises(MalformedError, match="HTML"):
        parse(b"\n<!DOCTYPE html><html>", asked())
    with pytest.raises(MalformedError, match="302"):
        parse(quote(), asked(), 302)


@pytest.mark.parametrize("told", ["1e999", "-2.0", "0", "two", "1e1000000"])
def test_a_day_is_not_lost_for_a_split_or_a_dividend_that_can_be_none(told: str) -> None:
    body = series(
        {"2024-07-09": bar("10.5", ("dividend amount", told if told != "0" else "-1"), ("split coefficient", told))}
    )
    batch = parse(body, asked(interval=Interval.D1))
    assert len(batch) == 1
    assert sorted({one.rule for one in check_batch(batch, NOW)}) == ["payment_values", "split_values"]
    assert actions_of(batch) == []


@pytest.mark.parametrize("told", [None, ""])
def test_a_split_and_a_dividend_that_are_not_told_are_marked(told: str | None) -> None:
    """Every adjusted day has both fields; that one is empty does not say that there was nothing."""
    adjusted = bar("10.5") | {"7. dividend amount": told, "8. split coefficient": told}
    batch = parse(series({"2024-07-09": adjusted}), asked(interval=Interval.D1))
    assert sorted({one.rule for one in check_batch(batch, NOW)}) == ["payment_values", "split_values"]
    assert actions_of(batch) == []
