"""Recorded answers of Alpha Vantage, every file of them; the expected values were read off the files by hand."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from fintrack_tasks.domain import AssetClass, Batch, Instrument, Interval, Kind, TimeRange, from_micros
from fintrack_tasks.errors import (
    EntitlementError,
    KeyRejectedError,
    MalformedError,
    ProviderError,
    QuotaError,
    UnavailableRangeError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse
from tests.fetch.providers.asking import ALL_TIME, needs_samples, question, sample, sample_names

NOW = datetime(2026, 10, 3, 16, tzinfo=UTC)  # noon in New York
PAIRS = {"BTC-CNY": "crypto", "BTC-AUD": "crypto"}

pytestmark = needs_samples

FILES = sample_names("alphavantage")
OWN = {
    "currency-exchange-rate-BTCCNY-2017-12-20.json": ("BTC-CNY", None),
    "currency-exchange-rate-BTCCNY-2018-09-06.json": ("BTC-CNY", None),
    "currency-exchange-rate-EURUSD-2022-03-21.json": ("EURUSD=X", None),
    "currency-exchange-rate-GBPEUR-2022-03-21.json": ("GBPEUR=X", None),
    "currency-exchange-rate-USDJPY-2026-05-17.json": ("USDJPY=X", None),
    "digital-currency-daily-BTCAUD-2021-01.json": ("BTC-AUD", Interval.D1),
    "fx-daily-EURUSD-2018-08-22.json": ("EURUSD=X", Interval.D1),
    "global-quote-MSFT-2018-10-05.json": ("MSFT", None),
    "time-series-daily-MSFT-2018-08-16.json": ("MSFT", Interval.D1),
    "time-series-daily-adjusted-IBM-2021-01.json": ("IBM", Interval.D1),
    "time-series-daily-adjusted-MSFT-2018-08-20.json": ("MSFT", Interval.D1),
}
"""The files that hold rows which the provider asks for, and the question that each answers. No other gives any."""


def parse(
    body: bytes, symbol: str, interval: Interval | None = None, since: date | None = None, now: datetime = NOW
) -> Batch:
    window = ALL_TIME if since is None else TimeRange(datetime(since.year, since.month, since.day, tzinfo=UTC), now)
    ask = question(symbol, interval, now, window, PAIRS.get(symbol))
    return provider("alpha_vantage").parse(ask, HttpResponse(200, body))


def recorded(name: str, symbol: str, interval: Interval | None = None, since: date | None = None) -> Batch:
    return parse(sample("alphavantage", name).body, symbol, interval, since)


def opened(batch: Batch, row: int) -> date:
    """The date of a daily bar, which must stand at midnight UTC."""
    moment = from_micros(batch.columns["timestamp"][row])
    assert moment.time() == datetime.min.time()
    return moment.date()


def values(batch: Batch, row: int, *names: str) -> tuple[Any, ...]:
    return tuple(batch.columns[name][row] for name in (*names, "open", "high", "low", "close"))


# --- every file


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_rows_as_an_answer_to_its_own_question_alone(name: str) -> None:
    questions = {(symbol, interval) for symbol in ("IBM", "ETH-USD") for interval in (None, *Interval)} | {
        *OWN.values()
    }
    answered = set()
    for symbol, interval in questions:
        for since in (None, date(2018, 5, 1)):
            try:
                recorded(name, symbol, interval, since)
            except ProviderError as error:
                found = error
            else:
                answered.add((symbol, interval))
                continue
            assert type(found) is not ProviderError
            assert len(str(found)) < 400
            assert "\n" not in str(found)
    assert answered == ({OWN[name]} if name in OWN else set())


def test_the_files_named_here_are_there() -> None:
    assert set(OWN) <= set(FILES)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".csv")])
def test_a_table_is_malformed_where_json_was_asked_for(name: str) -> None:
    for interval in (None, *Interval):
        with pytest.raises(MalformedError, match="JSON"):
            recorded(name, "IBM", interval)


# --- quotes


def test_the_quote_of_microsoft_is_stamped_with_new_yorks_close() -> None:
    batch = recorded("global-quote-MSFT-2018-10-05.json", "MSFT")
    row = batch.row(0)
    assert (row["price"], row["volume"], row["previous_close"]) == ("112.1300", "29062853", "112.7900")
    assert (row["open"], row["high"], row["low"]) == ("112.6300", "113.1700", "110.6400")
    assert from_micros(row["timestamp"]) == datetime(2018, 10, 5, 20, tzinfo=UTC)
    assert batch.currency is None


def test_the_quote_of_an_open_day_is_stamped_now() -> None:
    now = datetime(2018, 10, 5, 15, 30, tzinfo=UTC)
    batch = parse(sample("alphavantage", "global-quote-MSFT-2018-10-05.json").body, "MSFT", now=now)
    assert from_micros(batch.columns["timestamp"][0]) == now


@pytest.mark.parametrize(
    ("name", "symbol", "price", "at", "bid", "ask", "currency"),
    [
        ("BTCCNY-2017-12-20", "BTC-CNY", "109631.43060700", (2017, 12, 20, 19, 23, 21), None, None, "CNY"),
        ("BTCCNY-2018-09-06", "BTC-CNY", "43742.96736490", (2018, 9, 6, 6, 16, 38), None, None, "CNY"),
        ("EURUSD-2022-03-21", "EURUSD=X", "1.10302230", (2022, 3, 21, 11, 29, 42), "1.10302230", "1.10302230", "USD"),
        ("GBPEUR-2022-03-21", "GBPEUR=X", "1.19080000", (2022, 3, 21, 11, 29, 30), "1.19080000", "1.19080000", "EUR"),
        (
            "USDJPY-2026-05-17",
            "USDJPY=X",
            "158.73166867",
            (2026, 5, 17, 17, 12, 44),
            "158.72838292",
            "158.73495442",
            "JPY",
        ),
    ],
)
def test_exchange_rates(
    name: str, symbol: str, price: str, at: tuple[int, ...], bid: str | None, ask: str | None, currency: str
) -> None:
    batch = recorded(f"currency-exchange-rate-{name}.json", symbol)
    row = batch.row(0)
    assert (row["price"], row["bid"], row["ask"]) == (price, bid, ask)
    assert from_micros(row["timestamp"]) == datetime(*at, tzinfo=UTC)  # type: ignore[misc]
    assert batch.currency == currency


# --- bars


def test_a_hundred_days_of_microsoft() -> None:
    batch = recorded("time-series-daily-MSFT-2018-08-16.json", "MSFT", Interval.D1, date(2018, 3, 27))
    assert len(batch) == 100
    assert (opened(batch, 0), opened(batch, 99)) == (date(2018, 3, 27), date(2018, 8, 16))
    assert values(batch, 0, "volume") == ("53704562", "94.9400", "95.1390", "88.5100", "89.4700")
    assert values(batch, 99, "volume") == ("20687122", "108.3000", "108.8600", "107.3000", "107.6400")
    assert batch.columns["adj_close"] == [None] * 100


def test_a_hundred_adjusted_days_of_microsoft() -> None:
    batch = recorded("time-series-daily-adjusted-MSFT-2018-08-20.json", "MSFT", Interval.D1, date(2018, 3, 29))
    assert len(batch) == 100
    assert (opened(batch, 0), opened(batch, 99)) == (date(2018, 3, 29), date(2018, 8, 20))
    assert values(batch, 0, "volume", "adj_close") == (
        *("45867548", "90.5240"),
        *("90.1800", "92.2900", "88.4000", "91.2700"),
    )


def test_seven_adjusted_days_of_ibm_from_the_full_output() -> None:
    batch = recorded("time-series-daily-adjusted-IBM-2021-01.json", "IBM", Interval.D1)
    assert len(batch) == 7
    assert (opened(batch, 0), opened(batch, 6)) == (date(2020, 12, 31), date(2021, 1, 11))
    assert values(batch, 6, "volume", "adj_close") == (
        *("5602466", "125.471469081"),
        *("127.95", "129.675", "127.66", "128.58"),
    )


def test_currency_days_have_no_volume_and_keep_their_sunday() -> None:
    """The zone of the file is GMT+8, and moves no date."""
    batch = recorded("fx-daily-EURUSD-2018-08-22.json", "EURUSD=X", Interval.D1, date(2018, 4, 27))
    assert len(batch) == 101
    assert (opened(batch, 0), opened(batch, 97), opened(batch, 100)) == (
        date(2018, 4, 27),
        date(2018, 8, 19),
        date(2018, 8, 22),
    )
    assert values(batch, 0, "volume") == (None, "1.2104", "1.2133", "1.2053", "1.2125")
    assert values(batch, 97, "volume") == (None, "1.1436", "1.1441", "1.1431", "1.1438")
    assert values(batch, 100, "volume") == (None, "1.1533", "1.1601", "1.1526", "1.1571")
    assert (batch.currency, batch.meta["zone"]) == ("USD", "GMT+8")


def test_seven_days_of_bitcoin_in_australia() -> None:
    batch = recorded("digital-currency-daily-BTCAUD-2021-01.json", "BTC-AUD", Interval.D1)
    assert len(batch) == 7
    assert (opened(batch, 0), opened(batch, 6)) == (date(2021, 1, 3), date(2021, 1, 9))
    assert values(batch, 0, "volume") == (
        "120957.56675000",
        *("43661.51206300", "47191.80858340", "43371.85965060", "44779.08784700"),
    )
    assert batch.currency == "AUD"


@pytest.mark.parametrize(
    ("name", "symbol"),
    [("time-series-daily-MSFT-2018-08-16.json", "MSFT"), ("fx-daily-EURUSD-2018-08-22.json", "EURUSD=X")],
)
def test_a_compact_answer_is_none_to_a_window_that_began_earlier(name: str, symbol: str) -> None:
    with pytest.raises(UnavailableRangeError, match="reaches back to 2018-0") as caught:
        recorded(name, symbol, Interval.D1, date(2018, 3, 1))
    assert caught.value.earliest is not None
    assert f"{caught.value.earliest:%Y-%m-%d}" in str(caught.value)


def quarters(name: str, root: str) -> bytes:
    """Of a recorded file of minutes the rows at whole quarters, as bars of a quarter."""
    body = json.loads(sample("alphavantage", name).body.decode("utf-8-sig"))
    [old] = [key for key in body if key.startswith("Time Series")]
    rows = {key: row for key, row in body.pop(old).items() if key[14:] in ("00:00", "15:00", "30:00", "45:00")}
    return json.dumps(body | {root: rows}).encode()


def test_a_winters_quarter_of_new_york_stands_five_hours_later_in_utc() -> None:
    body = quarters("time-series-intraday-1min-MSFT-2017-12-18.json", "Time Series (15min)")
    batch = parse(body, "MSFT", Interval.M15)
    assert [from_micros(stamp) for stamp in batch.columns["timestamp"]] == [
        datetime(2017, 12, 18, hour, minute, tzinfo=UTC)
        for hour, minute in ((18, 30), (18, 45), (19, 0), (19, 15), (19, 30), (19, 45))
    ]


def test_a_quarter_of_a_currency_stands_where_it_says() -> None:
    body = quarters("fx-intraday-5min-EURUSD-2018-08-22.json", "Time Series FX (15min)")
    batch = parse(body, "EURUSD=X", Interval.M15)
    stamps = [from_micros(stamp) for stamp in batch.columns["timestamp"]]
    assert (stamps[0], stamps[-1]) == (
        datetime(2018, 8, 21, 22, tzinfo=UTC),
        datetime(2018, 8, 22, 6, 15, tzinfo=UTC),
    )
    assert values(batch, len(batch) - 1) == ("1.1572", "1.1572", "1.1569", "1.1571")


@pytest.mark.parametrize(
    ("name", "symbol", "said"),
    [
        ("time-series-intraday-1min-MSFT-2017-12-18.json", "MSFT", "1min"),
        ("fx-intraday-5min-EURUSD-2018-08-22.json", "EURUSD=X", "5min"),
        ("fx-monthly-EURUSD-2018-08-31.json", "EURUSD=X", "Monthly"),
    ],
)
def test_bars_of_a_length_that_nobody_asked_for_are_refused(name: str, symbol: str, said: str) -> None:
    for interval in Interval:
        with pytest.raises(MalformedError, match=said):
            recorded(name, symbol, interval)


# --- errors


@pytest.mark.parametrize(
    ("name", "meaning", "after"),
    [
        ("error-200-error-message-apikey.json", KeyRejectedError, None),
        ("error-200-error-message-invalid-call.json", UnknownSymbolError, None),
        # noon in New York: half the day is left
        ("error-200-information-25-per-day.json", QuotaError, 43_200.0),
        ("error-200-information-detected-key-daily.json", QuotaError, 43_200.0),
        ("error-200-information-premium-endpoint.json", EntitlementError, None),
        ("error-200-note-5-per-minute.json", QuotaError, 60.0),
    ],
)
def test_what_the_texts_mean(name: str, meaning: type[ProviderError], after: float | None) -> None:
    for symbol in ("IBM", "EURUSD=X", "BTC-USD"):
        for interval in (None, *Interval):
            with pytest.raises(meaning) as caught:
                recorded(name, symbol, interval)
            assert caught.value.retry_after == after
            assert "ABC123" not in str(caught.value)


def test_an_empty_quote_is_an_unknown_symbol() -> None:
    with pytest.raises(UnknownSymbolError):
        recorded("global-quote-unknown-symbol-200.json", "NOBODY")


@pytest.mark.parametrize("name", ["market-status-2026-05-17.json", "symbol-search-BA.json"])
def test_other_functions_answers_are_none_to_any_question(name: str) -> None:
    for asset_class, symbol in ((AssetClass.STOCK, "BA"), (AssetClass.CRYPTO, "BTC-USD")):
        ask = Ask(Kind.QUOTE, Instrument.of(symbol, asset_class), NOW)
        with pytest.raises(MalformedError):
            provider("alpha_vantage").parse(ask, sample("alphavantage", name, 200))
