"""Alpha Vantage as the sandbox plays it, over real HTTP, against recorded answers and the product's own provider."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from fintrack_tasks.domain import Batch, Instrument, Interval, Kind, TimeRange, from_micros
from fintrack_tasks.errors import (
    EmptyError,
    KeyRejectedError,
    MalformedError,
    QuotaError,
    UnavailableRangeError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers import coinbase, yahoo_finance
from fintrack_tasks.fetch.providers.alpha_vantage import PROVIDER
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse, Provider
from fintrack_tasks.sandbox import Running, running

Get = Callable[..., requests.Response]
Rows = Callable[[str], list[dict[str, str]]]
Understand = Callable[..., Batch]
KEY = "ABC123"

BAD_KEY = {
    "Error Message": "the parameter apikey is invalid or missing. Please claim your free API key on "
    "(https://www.alphavantage.co/support/#api-key). It should take less than 20 seconds."
}
MINUTE = {
    "Note": "Thank you for using Alpha Vantage! Our standard API call frequency is 5 calls per minute and 500 calls "
    "per day. Please visit https://www.alphavantage.co/premium/ if you would like to target a higher API call "
    "frequency."
}
DAY = {
    "Information": "We have detected your API key as ABC123 and our standard API rate limit is 25 requests per day. "
    "Please subscribe to any of the premium plans at https://www.alphavantage.co/premium/ to instantly remove all "
    "daily rate limits."
}
NOBODY: dict[str, Any] = {"Global Quote": {}}


def invalid(function: str) -> dict[str, str]:
    where = "https://www.alphavantage.co/documentation/"
    return {"Error Message": f"Invalid API call. Please retry or visit the documentation ({where}) for {function}."}


@pytest.fixture
def query(get: Get) -> Get:
    """A function of the shared sandbox, with a key."""

    def ask(function: str, **params: object) -> requests.Response:
        return get("alpha_vantage/query", function=function, apikey=KEY, **params)

    return ask


def put(server: Running, provider: Provider, question: Ask) -> Batch:
    """Ask a provider's question of a sandbox, parse the answer."""
    wanted = provider.request(question)
    url = server.provider_base_urls[provider.facts.name] + wanted.path
    params = {**wanted.params, **({"apikey": KEY} if provider.facts.key else {})}
    answer = requests.get(url, params=params, headers=dict(wanted.headers), timeout=10)
    return provider.parse(question, HttpResponse(answer.status_code, answer.content))


@pytest.fixture
def understand(market_server: Running, now: datetime) -> Understand:
    def ask(
        symbol: str, interval: Interval | None = None, window: TimeRange | None = None, provider: Provider = PROVIDER
    ) -> Batch:
        kind = Kind.BARS if interval else Kind.QUOTE
        return put(market_server, provider, Ask(kind, Instrument.of(symbol), now, interval, window))

    return ask


# --- what it answers is what was recorded


def test_the_answers_that_are_expected_here_are_the_recorded_ones(samples: Path) -> None:
    names = (
        *("error-200-error-message-apikey", "error-200-note-5-per-minute"),
        *("error-200-information-detected-key-daily", "global-quote-unknown-symbol-200"),
        "error-200-error-message-invalid-call",
    )
    found = [json.loads((samples / "alphavantage" / f"{name}.json").read_text("utf-8-sig")) for name in names]
    assert found == [BAD_KEY, MINUTE, DAY, NOBODY, invalid("CMO")]


def shape(answer: dict[str, Any]) -> list[Any]:
    """The names of an answer's fields, in order; of a series' rows those of the newest, and how its time is written."""
    found: list[Any] = []
    for root, fields in answer.items():
        found.append(root)
        if root.startswith("Time Series"):
            [newest, *_] = fields
            found += [re.sub("[0-9]", "9", newest), list(fields[newest])]
        else:
            found.append([name for name in fields if name != "fintrack"])
    return found


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("global-quote-MSFT-2018-10-05", {"function": "GLOBAL_QUOTE", "symbol": "MSFT"}),
        ("time-series-daily-MSFT-2018-08-16", {"function": "TIME_SERIES_DAILY", "symbol": "MSFT"}),
        ("time-series-daily-adjusted-MSFT-2018-08-20", {"function": "TIME_SERIES_DAILY_ADJUSTED", "symbol": "MSFT"}),
        (
            "time-series-intraday-1min-MSFT-2017-12-18",
            {"function": "TIME_SERIES_INTRADAY", "symbol": "MSFT", "interval": "1min"},
        ),
        (
            "fx-intraday-5min-EURUSD-2018-08-22",
            {"function": "FX_INTRADAY", "from_symbol": "EUR", "to_symbol": "USD", "interval": "5min"},
        ),
        ("fx-daily-EURUSD-2018-08-22", {"function": "FX_DAILY", "from_symbol": "EUR", "to_symbol": "USD"}),
        (
            "digital-currency-daily-BTCAUD-2021-01",
            {"function": "DIGITAL_CURRENCY_DAILY", "symbol": "BTC", "market": "EUR"},
        ),
        (
            "currency-exchange-rate-USDJPY-2026-05-17",
            {"function": "CURRENCY_EXCHANGE_RATE", "from_currency": "USD", "to_currency": "JPY"},
        ),
    ],
)
def test_an_answer_has_the_recorded_fields(name: str, params: dict[str, str], get: Get, samples: Path) -> None:
    """Numbered alike, and all of them texts."""
    recorded = json.loads((samples / "alphavantage" / f"{name}.json").read_text("utf-8-sig"))
    served = get("alpha_vantage/query", apikey=KEY, **params).json()
    assert shape(served) == shape(recorded)
    for root, fields in served.items():
        fields.pop("fintrack", None)
        rows = fields.values() if root.startswith("Time Series") else [fields]
        assert all(isinstance(value, str) for row in rows for value in row.values())


def test_compact_is_the_newest_hundred_newest_first(query: Get) -> None:
    rows = query("TIME_SERIES_DAILY", symbol="XYZ1").json()["Time Series (Daily)"]
    assert len(rows) == 100
    assert list(rows) == sorted(rows, reverse=True)
    assert next(iter(rows)) == "2026-11-24"
    full = query("TIME_SERIES_DAILY", symbol="XYZ1", outputsize="full").json()
    assert full["Meta Data"]["4. Output Size"] == "Full size"
    assert list(full["Time Series (Daily)"])[:100] == list(rows)
    assert min(full["Time Series (Daily)"]) == "1999-11-01"


def test_real_days_arrive_with_the_files_own_digits(understand: Understand, bundled: Rows) -> None:
    window = TimeRange(datetime(2012, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC))
    batch = understand("AAPL", Interval.D1, window)
    rows = [row for row in bundled("daily.csv.gz") if row["symbol"] == "AAPL" and row["date"].startswith("2012")]
    assert [f"{from_micros(stamp):%Y-%m-%d}" for stamp in batch.columns["timestamp"]] == [row["date"] for row in rows]
    for name in ("open", "high", "low", "close", "volume"):
        assert [float(value) for value in batch.columns[name]] == [float(row[name]) for row in rows]
    origin = "bundled: bokeh_sampledata 2026.1 (BSD-3-Clause)"
    assert batch.meta["statement"] == {"synthetic": False, "origin": origin}


def test_adjusted_days_have_their_split(query: Get, bundled: Rows) -> None:
    answer = query("TIME_SERIES_DAILY_ADJUSTED", symbol="AAPL", outputsize="full").json()
    [row] = [row for row in bundled("daily.csv.gz") if (row["symbol"], row["date"]) == ("AAPL", "2005-02-28")]
    bar = answer["Time Series (Daily)"]["2005-02-28"]
    assert (float(bar["4. close"]), float(bar["5. adjusted close"])) == (float(row["close"]), float(row["adj_close"]))
    assert (bar["6. volume"], bar["8. split coefficient"]) == (row["volume"], "2.0")


def test_hours_of_new_york_are_told_by_its_own_clock(query: Get) -> None:
    rows = query("TIME_SERIES_INTRADAY", symbol="XYZ1", interval="60min", outputsize="full").json()[
        "Time Series (60min)"
    ]
    assert {key[11:] for key in rows} == {f"{hour:02d}:30:00" for hour in range(9, 16)}
    assert {"2026-10-30 09:30:00", "2026-11-02 09:30:00"} <= set(rows)  # the clocks went back between the two


@pytest.mark.parametrize(
    ("params", "answer"),
    [
        ({"function": "GLOBAL_QUOTE", "symbol": "UNKNOWN7"}, NOBODY),
        ({"function": "GLOBAL_QUOTE", "symbol": "^GSPC"}, NOBODY),
        ({"function": "GLOBAL_QUOTE"}, NOBODY),
        ({"function": "TIME_SERIES_DAILY", "symbol": "UNKNOWN7"}, invalid("TIME_SERIES_DAILY")),
        ({"function": "TIME_SERIES_DAILY", "symbol": "BTC-USD"}, invalid("TIME_SERIES_DAILY")),
        ({"function": "TIME_SERIES_DAILY", "symbol": "IBM", "outputsize": "huge"}, invalid("TIME_SERIES_DAILY")),
        ({"function": "TIME_SERIES_DAILY", "symbol": "IBM", "datatype": "csv"}, invalid("TIME_SERIES_DAILY")),
        ({"function": "TIME_SERIES_INTRADAY", "symbol": "IBM", "interval": "7min"}, invalid("TIME_SERIES_INTRADAY")),
        ({"function": "TIME_SERIES_INTRADAY", "symbol": "IBM"}, invalid("TIME_SERIES_INTRADAY")),
        ({"function": "FX_DAILY", "from_symbol": "EURO", "to_symbol": "USD"}, invalid("FX_DAILY")),
        ({"function": "FX_DAILY"}, invalid("FX_DAILY")),
        ({"function": "DIGITAL_CURRENCY_DAILY", "symbol": "UNKNOWN"}, invalid("DIGITAL_CURRENCY_DAILY")),
        ({"function": "CURRENCY_EXCHANGE_RATE", "from_currency": "\x00"}, invalid("CURRENCY_EXCHANGE_RATE")),
        ({"function": "TIME_SERIES"}, {"Error Message": "This API function (TIME_SERIES) does not exist."}),
        ({}, {"Error Message": "This API function () does not exist."}),
    ],
)
def test_a_wrong_question_gets_a_text_at_200(params: dict[str, str], answer: dict[str, str], get: Get) -> None:
    found = get("alpha_vantage/query", apikey=KEY, **params)
    assert (found.status_code, found.json()) == (200, answer)


@pytest.mark.parametrize("params", [{}, {"apikey": ""}])
def test_without_a_key_the_key_is_refused_whatever_is_asked(params: dict[str, str], get: Get, now: datetime) -> None:
    answer = get("alpha_vantage/query", function="GLOBAL_QUOTE", symbol="IBM", **params)
    assert (answer.status_code, answer.json()) == (200, BAD_KEY)
    with pytest.raises(KeyRejectedError):
        PROVIDER.parse(Ask(Kind.QUOTE, Instrument.of("IBM"), now), HttpResponse(200, answer.content))


def test_other_paths_are_not_there(get: Get) -> None:
    assert get("alpha_vantage/documentation", apikey=KEY).status_code == 404


# --- what is understood


@pytest.mark.parametrize("symbol", ["AAPL", "XYZ1", "7203.T", "BTC-USD", "ETH-BTC", "EURUSD=X", "USDMXN=X"])
def test_a_quote_is_understood(symbol: str, understand: Understand, now: datetime) -> None:
    batch = understand(symbol)
    [stamp] = batch.columns["timestamp"]
    assert now - timedelta(seconds=1) < from_micros(stamp) <= now
    assert float(batch.columns["price"][0]) > 0
    assert batch.meta["statement"].keys() == {"synthetic", "origin"}


@pytest.mark.parametrize("interval", list(Interval))
@pytest.mark.parametrize("symbol", ["XYZ1", "BTC-USD", "USDMXN=X"])
def test_bars_up_to_now_are_understood_the_open_one_included(
    symbol: str, interval: Interval, understand: Understand, now: datetime
) -> None:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    batch = understand(symbol, interval, TimeRange(midnight - timedelta(days=1), now))
    stamps = [from_micros(stamp) for stamp in batch.columns["timestamp"]]
    assert now - interval.delta < stamps[-1] <= now
    assert stamps[0] <= midnight - timedelta(days=1) + timedelta(hours=14, minutes=30)
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize(
    ("symbol", "other", "interval"),
    [("BTC-USD", coinbase.PROVIDER, each) for each in Interval]
    + [("XYZ1", yahoo_finance.PROVIDER, each) for each in Interval]
    + [("7203.T", yahoo_finance.PROVIDER, each) for each in Interval]
    + [("VOD.L", yahoo_finance.PROVIDER, Interval.D1), ("USDMXN=X", yahoo_finance.PROVIDER, Interval.H1)],
)
def test_it_tells_of_the_same_market_as_the_others(
    symbol: str, other: Provider, interval: Interval, understand: Understand
) -> None:
    window = TimeRange(datetime(2026, 11, 16, tzinfo=UTC), datetime(2026, 11, 19, tzinfo=UTC))
    mine, theirs = understand(symbol, interval, window), understand(symbol, interval, window, other)
    assert mine.columns["timestamp"] == theirs.columns["timestamp"]
    for name in ("open", "high", "low", "close"):
        assert [float(v) for v in mine.columns[name]] == [float(v) for v in theirs.columns[name]]


@pytest.mark.parametrize("symbol", ["UNKNOWN7", "UNKNOWN-USD"])
def test_the_unknown_is_unknown_in_each_function(symbol: str, understand: Understand) -> None:
    window = TimeRange(datetime(2026, 11, 16, tzinfo=UTC), datetime(2026, 11, 19, tzinfo=UTC))
    for interval in (None, *Interval):
        with pytest.raises(UnknownSymbolError):
            understand(symbol, interval, window)


def test_days_before_the_listing_are_empty_and_days_that_are_not_kept_are_no_answer(understand: Understand) -> None:
    early = TimeRange(datetime(1999, 1, 4, tzinfo=UTC), datetime(1999, 2, 1, tzinfo=UTC))
    with pytest.raises(EmptyError):
        understand("XYZ1", Interval.D1, early)
    for symbol, interval in (("BTC-USD", Interval.D1), ("XYZ1", Interval.H1), ("USDMXN=X", Interval.M15)):
        with pytest.raises(UnavailableRangeError, match="reaches back"):
            understand(symbol, interval, early)


# --- limits and faults


@pytest.fixture
def limited(now: datetime) -> Iterator[Running]:
    moment = [1_800_000_000.0]

    def timer() -> float:
        moment[0] += 1.0
        return moment[0]

    with running(seed=7, quotas={"alpha_vantage": "2/m"}, clock=lambda: now, timer=timer) as server:
        yield server


def asked(server: Running, key: str = KEY) -> requests.Response:
    params = {"function": "GLOBAL_QUOTE", "symbol": "IBM", "apikey": key}
    return requests.get(f"{server.url}/alpha_vantage/query", params, timeout=10)


def test_the_minute_is_used_up_with_a_note_at_200(limited: Running, now: datetime) -> None:
    answers = [asked(limited) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert [answer.json() for answer in answers[2:]] == [MINUTE, MINUTE]
    with pytest.raises(QuotaError) as caught:
        put(limited, PROVIDER, Ask(Kind.QUOTE, Instrument.of("IBM"), now))
    assert caught.value.retry_after == 60.0


def test_the_day_is_used_up_with_a_text_that_echoes_the_key(limited: Running, now: datetime) -> None:
    limited.control.set_quotas(alpha_vantage="5/m,2/d")
    assert [asked(limited).json() for _ in range(3)][2] == DAY
    with pytest.raises(QuotaError) as caught:
        put(limited, PROVIDER, Ask(Kind.QUOTE, Instrument.of("IBM"), now))
    # 11:20:17.25 in New York
    assert caught.value.retry_after == pytest.approx(12 * 3_600 + 39 * 60 + 42.75)
    assert KEY not in str(caught.value)
    assert asked(limited, "another").json().keys() == {"Global Quote"}  # each key has a day of its own


def test_refusals_at_200_are_counted_as_refusals(limited: Running) -> None:
    for _ in range(5):
        asked(limited)
    report = limited.control.requests([60.0])
    assert (report["total"], report["refused"], report["status_429"]) == (5, 3, 0)
    assert report["by_status"] == {"200": 5}
    assert list(report["max_in_window"]["60"].values()) == [2]
    assert KEY not in json.dumps(report)


def test_a_storm_refuses_with_the_note_and_counts_as_refused(fresh: Running) -> None:
    fresh.control.add_fault("storm429", provider="alpha_vantage", symbol="IBM", count=1)
    assert [asked(fresh).json() == MINUTE for _ in range(2)] == [True, False]
    assert fresh.control.requests()["refused"] == 1


@pytest.mark.parametrize(("symbol", "interval"), [("IBM", None), ("BTC-USD", None), ("XYZ1", Interval.D1)])
def test_nulls_are_told_from_prices(symbol: str, interval: Interval | None, fresh: Running, now: datetime) -> None:
    fresh.control.add_fault("nulls", provider="alpha_vantage", symbol=symbol.replace("-", "?"))
    kind, window = Kind.BARS if interval else Kind.QUOTE, TimeRange(now - timedelta(days=30), now)
    ask = Ask(kind, Instrument.of(symbol), now, interval, window)
    if interval:
        assert put(fresh, PROVIDER, ask).meta["left_out"] in (1, 2)
        return
    with pytest.raises(MalformedError, match="without"):
        put(fresh, PROVIDER, ask)
