"""Twelve Data as the sandbox plays it, over real HTTP, against recorded answers and as its provider understands it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests

from fintrack_tasks.domain import AssetClass, Batch, Instrument, Interval, Kind, TimeRange, from_micros
from fintrack_tasks.errors import EmptyError, KeyRejectedError, MalformedError, QuotaError, UnknownSymbolError
from fintrack_tasks.fetch.providers.base import Ask, HttpRequest, HttpResponse
from fintrack_tasks.fetch.providers.twelve_data import PROVIDER
from fintrack_tasks.sandbox import Running
from fintrack_tasks.sandbox.fake_apis.twelve_data import FAKE_API

Get = Callable[..., requests.Response]
Understand = Callable[..., Batch]
Fetch = Callable[[HttpRequest], HttpResponse]
KEY = {"Authorization": "apikey a-key-of-the-tests"}
SYMBOLS = {
    AssetClass.STOCK: "AAPL",
    AssetClass.INDEX: "^GSPC",
    AssetClass.CRYPTO: "BTC-USD",
    AssetClass.FOREX: "EURUSD=X",
}

MISSING = {
    "code": 404,
    "message": "**symbol** or **figi** parameter is missing or invalid. Please provide a valid symbol according to API "
    "documentation: https://twelvedata.com/docs#reference-data",
    "status": "error",
}
NO_KEY = {
    "code": 401,
    "message": "**apikey** parameter is incorrect or not specified. You can get your free API key instantly following "
    "this link: https://twelvedata.com/pricing. If you believe that everything is correct, you can contact us at "
    "https://twelvedata.com/contact/customer",
    "status": "error",
}
MINUTE = (
    "You have run out of API credits for the current minute. {} API credits were used, with the current limit being 8. "
    "Wait for the next minute or consider switching to a higher tier plan at https://twelvedata.com/pricing"
)
NOT_FOUND = "**symbol** not found: {}. Please specify it correctly according to API Documentation."


@pytest.fixture
def get(market_server: Running, session: requests.Session) -> Get:
    """GET a path of the shared sandbox, with a key."""

    def ask(path: str, **params: object) -> requests.Response:
        return session.get(f"{market_server.url}/{path}", params=params, headers=KEY, timeout=30)

    return ask


@pytest.fixture
def fetch(market_server: Running, session: requests.Session) -> Fetch:
    """Ask as the client does: the key in its header."""

    def ask(wanted: HttpRequest) -> HttpResponse:
        url = f"{market_server.url}/twelve_data{wanted.path}"
        answer = session.get(url, params=dict(wanted.params), headers=KEY, timeout=30)
        return HttpResponse(answer.status_code, answer.content)

    return ask


@pytest.fixture
def understand(fetch: Fetch, now: datetime) -> Understand:
    """Ask the provider's question, parse the answer."""

    def ask(symbol: str, interval: Interval | None = None, window: TimeRange | None = None) -> Batch:
        question = Ask(Kind.BARS if interval else Kind.QUOTE, Instrument.of(symbol), now, interval, window)
        return PROVIDER.parse(question, fetch(PROVIDER.request(question)))

    return ask


def test_the_answers_that_are_expected_here_are_the_recorded_ones(samples: Path) -> None:
    names = ("error-404-symbol", "error-401-apikey", "error-429-minute-credits", "batch-partial-error-200")
    missing, key, minute, batch = (json.loads((samples / f"twelvedata/{name}.json").read_text()) for name in names)
    assert (missing, key) == (MISSING, NO_KEY)
    assert minute == {"code": 429, "message": MINUTE.format(12), "status": "error"}
    assert batch["INVALID"] == {"code": 400, "message": NOT_FOUND.format("INVALID"), "status": "error"}


@pytest.mark.parametrize("symbol", ["AAPL", "XYZ1", "BRK.B", "SPX"])
def test_a_quote_has_the_documented_fields_and_types(symbol: str, get: Get, samples: Path, now: datetime) -> None:
    like = json.loads((samples / "twelvedata/batch-quote-AAPL-MSFT.json").read_text())["AAPL"]
    quote = get("twelve_data/quote", symbol=symbol).json()
    assert quote.pop("last_quote_at") == int(now.timestamp())
    assert quote.pop("fintrack").keys() == {"synthetic", "origin"}
    assert {name: type(value) for name, value in quote.items()} == {name: type(value) for name, value in like.items()}
    assert quote["fifty_two_week"].keys() == like["fifty_two_week"].keys()
    assert quote["datetime"] == "2026-11-24"
    assert quote["timestamp"] == int(datetime(2026, 11, 24, 14, 30, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("symbol", ["EUR/USD", "BTC/USD"])
def test_a_pairs_quote_has_neither_volume_nor_currency(symbol: str, get: Get) -> None:
    quote = get("twelve_data/quote", symbol=symbol).json()
    assert quote["symbol"] == symbol
    assert not {"volume", "currency", "mic_code"} & quote.keys()


def test_a_rate_is_a_number_as_recorded(get: Get, samples: Path) -> None:
    like = json.loads((samples / "twelvedata/exchange-rate-EURUSD-2025-08.json").read_text())
    rate = get("twelve_data/exchange_rate", symbol="EUR/USD").json()
    assert {name: type(value) for name, value in rate.items()} == {name: type(value) for name, value in like.items()}


def test_a_series_has_the_recorded_fields_newest_first_in_local_time(get: Get, samples: Path) -> None:
    like = json.loads((samples / "twelvedata/time-series-AAPL-1min-2023-08-24.json").read_text())
    span = {"start_date": "2026-11-20 09:30:00", "end_date": "2026-11-20T16:00:00"}
    series = get("twelve_data/time_series", symbol="XYZ1", interval="15min", **span).json()
    assert series["meta"].pop("fintrack")["synthetic"] is True
    assert (series.keys(), series["meta"].keys()) == (like.keys(), like["meta"].keys())
    assert series["values"][0].keys() == like["values"][0].keys()
    times = [value["datetime"] for value in series["values"]]
    assert times == sorted(times, reverse=True)
    assert (len(times), times[-1], times[0]) == (26, "2026-11-20 09:30:00", "2026-11-20 15:45:00")
    assert all(isinstance(text, str) for value in series["values"] for text in value.values())


def test_a_zone_that_was_asked_for_is_not_named_in_the_answer(get: Get) -> None:
    """Which is why it is not asked for; of days it is not taken notice of."""
    span = {"start_date": "2026-11-20T00:00:00", "end_date": "2026-11-21T00:00:00", "timezone": "UTC"}
    series = get("twelve_data/time_series", symbol="XYZ1", interval="1h", **span).json()
    assert series["values"][-1]["datetime"] == "2026-11-20 14:30:00"
    assert series["meta"]["exchange_timezone"] == "America/New_York"
    series = get("twelve_data/time_series", symbol="XYZ1", interval="1day", **span).json()
    assert [value["datetime"] for value in series["values"]] == ["2026-11-20"]


@pytest.mark.parametrize("symbol", ["EUR/USD", "BTC/USD"])
def test_a_pairs_bars_have_neither_volume_nor_zone(symbol: str, get: Get) -> None:
    span = {"start_date": "2026-10-01", "end_date": "2026-10-02"}
    series = get("twelve_data/time_series", symbol=symbol, interval="1h", **span).json()
    assert not {"exchange_timezone", "currency"} & series["meta"].keys()
    assert "volume" not in series["values"][0]
    assert series["values"][0]["datetime"] == "2026-10-01 23:00:00"


@pytest.mark.parametrize(
    ("params", "count"),
    [({}, 30), ({"outputsize": 7}, 7), ({"outputsize": 99_999}, 5_000), ({"end_date": "2026-01-01"}, 5_000)],
)
def test_so_many_bars_as_are_asked_for_and_five_thousand_at_most(params: dict[str, Any], count: int, get: Get) -> None:
    assert len(get("twelve_data/time_series", symbol="XYZ1", interval="1day", **params).json()["values"]) == count


def test_an_unknown_symbol_gets_the_recorded_error(get: Get) -> None:
    for path in ("quote", "time_series", "exchange_rate"):
        for symbol in ("UNKNOWN", "", "A B", "UNKNOWN/USD", "EURUSD=X", "^GSPC", "SHOP.TO"):
            answer = get(f"twelve_data/{path}", symbol=symbol, interval="1day")
            assert (answer.status_code, answer.json()) == (404, MISSING)


def test_a_batch_mixes_good_and_bad_entries_keyed_by_symbol(get: Get, samples: Path) -> None:
    like = json.loads((samples / "twelvedata/batch-partial-error-200.json").read_text())
    answer = get("twelve_data/time_series", symbol="XYZ1,UNKNOWN", interval="1day", outputsize=1)
    batch = answer.json()
    assert answer.status_code == 200
    assert batch.keys() == {"XYZ1", "UNKNOWN"}
    assert batch["UNKNOWN"] == {"code": 400, "message": NOT_FOUND.format("UNKNOWN"), "status": "error"}
    assert batch["XYZ1"].keys() == like["AAPL"].keys()
    assert get("twelve_data/quote", symbol="XYZ1,").json()["symbol"] == "XYZ1"


def test_a_batch_costs_a_credit_a_symbol() -> None:
    for symbols, cost in (("AAPL", 1), ("AAPL,MSFT,EUR/USD", 3), ("", 1), ("AAPL,AAPL", 1)):
        assert FAKE_API.credits_of("quote", {"symbol": symbols}) == cost


@pytest.mark.parametrize(
    "params",
    [
        {"interval": "7min"},
        {},
        {"interval": "1h", "timezone": "Mars/Olympus"},
        {"interval": "1h", "start_date": "yesterday"},
        {"interval": "1h", "end_date": "9999-12-31T23:59:59"},
        {"interval": "1day", "start_date": "2026-01-01", "end_date": "1500-01-01"},
        {"interval": "1day", "start_date": "2030-01-01", "end_date": "2030-02-01"},
    ],
)
def test_a_wrong_question_and_an_empty_range_get_an_error(params: dict[str, str], get: Get) -> None:
    answer = get("twelve_data/time_series", symbol="XYZ1", **params)
    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["status"]) == (400, "error")


@pytest.mark.parametrize("path", ["", "price", "time_series/cross", "quote/AAPL"])
def test_other_paths_are_not_there(path: str, get: Get) -> None:
    answer = get(f"twelve_data/{path}", symbol="AAPL")
    assert (answer.status_code, answer.json()["code"]) == (404, 404)


def test_used_up_credits_are_told_with_status_200_key_by_key(fresh: Running, session: requests.Session) -> None:
    """The error of the day's limit has no ``status`` in its body."""
    url, ask = f"{fresh.url}/twelve_data/quote?symbol=AAPL", Ask(Kind.QUOTE, Instrument.of("AAPL"), datetime.now(UTC))
    for quota, used in (("1/m", {"status": "error"}), ("1/d", {})):
        fresh.control.reset()
        fresh.control.set_quotas(twelve_data=quota)
        first, second = (session.get(url, headers=KEY, timeout=10) for _ in range(2))
        assert "close" in first.json()
        assert second.status_code == 200
        body = second.json()
        assert body.items() >= {"code": 429, **used}.items()
        assert ("status" in body, "for the day" in body["message"]) == (quota == "1/m", quota == "1/d")
        with pytest.raises(QuotaError):
            PROVIDER.parse(ask, HttpResponse(200, second.content))
        assert "close" in session.get(f"{url}&apikey=another", timeout=10).json()
        assert fresh.control.requests()["refused"] == 1
    assert json.loads(FAKE_API.too_many("", 60.0).body)["message"] == MINUTE.format(9)


def test_the_reply_to_a_request_without_a_key(now: datetime) -> None:
    reply = FAKE_API.without_key()
    assert (reply.status, json.loads(reply.body)) == (401, NO_KEY)
    with pytest.raises(KeyRejectedError):
        PROVIDER.parse(Ask(Kind.QUOTE, Instrument.of("AAPL"), now), HttpResponse(reply.status, reply.body))


def test_nulls_befall_volumes_and_what_is_beside_a_price() -> None:
    batch = {
        "A": {"values": [{"close": "1", "volume": "2"}]},
        "B": {"close": "1", "volume": "2", "previous_close": "3"},
    }
    assert FAKE_API.with_nulls(batch, Random(1)) == {
        "A": {"values": [{"close": "1", "volume": None}]},
        "B": {"close": "1", "volume": None, "previous_close": None},
    }


# --- as the provider understands it


@pytest.mark.parametrize("symbol", ["AAPL", "XYZ1", "BRK-B", "^GSPC", "^VIX", "BTC-USD", "EURUSD=X", "USDMXN=X"])
def test_a_quote_is_understood(symbol: str, understand: Understand, now: datetime) -> None:
    batch = understand(symbol)
    [stamp] = batch.columns["timestamp"]
    assert now - timedelta(seconds=1) < from_micros(stamp) <= now
    assert float(batch.columns["price"][0]) > 0
    assert batch.currency == ("MXN" if "MXN" in symbol else "USD")


@pytest.mark.parametrize("asset_class", sorted(PROVIDER.facts.asset_classes))
@pytest.mark.parametrize("kind", sorted(PROVIDER.facts.kinds))
def test_every_declared_question_is_understood(
    asset_class: AssetClass, kind: Kind, fetch: Fetch, now: datetime
) -> None:
    """And the intraday bars that are declared not to be asked for have no clock to go by."""
    window = TimeRange(datetime(2012, 10, 1, tzinfo=UTC), datetime(2012, 10, 3, tzinfo=UTC))
    for interval in sorted(PROVIDER.facts.intervals) if kind is not Kind.QUOTE else [None]:
        question = Ask(kind, Instrument.of(SYMBOLS[asset_class]), now, interval, window if interval else None)
        response = fetch(PROVIDER.request(question))
        if PROVIDER.facts.serves(asset_class, kind, interval):
            batch = PROVIDER.parse(question, response)
            sessions = {Interval.D1: 2, Interval.H1: 14, Interval.M15: 52, None: 1}
            assert len(batch) == sessions[interval]
            assert batch.kind is kind
        elif interval is not Interval.D1:
            with pytest.raises((MalformedError, EmptyError)):
                PROVIDER.parse(question, response)


def test_bars_up_to_now_are_understood_the_open_one_included(understand: Understand, now: datetime) -> None:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for interval in Interval:
        batch = understand("XYZ1", interval, TimeRange(midnight - timedelta(days=1), now))
        assert now - timedelta(days=1) < from_micros(batch.columns["timestamp"][-1]) <= now
        opens = datetime(2026, 11, 23, 9, 30, tzinfo=ZoneInfo("America/New_York"))
        first = datetime(2026, 11, 23, tzinfo=UTC) if interval is Interval.D1 else opens.astimezone(UTC)
        assert from_micros(batch.columns["timestamp"][0]) == first


@pytest.mark.parametrize("symbol", ["AAPL", "MSFT", "^GSPC"])
def test_real_days_arrive_with_the_files_own_values(
    symbol: str, understand: Understand, bundled: Callable[[str], Any]
) -> None:
    window = TimeRange(datetime(2012, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC))
    batch = understand(symbol, Interval.D1, window)
    rows = [r for r in bundled("daily.csv.gz") if r["symbol"] == symbol and r["date"].startswith("2012")]
    assert [f"{from_micros(stamp):%Y-%m-%d}" for stamp in batch.columns["timestamp"]] == [row["date"] for row in rows]
    for name in ("open", "high", "low", "close", "volume"):
        assert [float(text) for text in batch.columns[name]] == [float(row[name]) for row in rows]
    assert batch.meta["statement"]["synthetic"] is False


def test_a_batch_is_understood_entry_by_entry(fetch: Fetch, now: datetime) -> None:
    symbols = ("AAPL", "UNKNOWN", "BTC-USD", "VOD.L", "EURUSD=X", "BRK-B", "^GSPC")
    asks = [Ask(Kind.QUOTE, Instrument.of(symbol), now) for symbol in symbols]
    request = PROVIDER.request_many(asks)
    assert request.weight == 6
    assert FAKE_API.credits_of("quote", request.params) == request.weight
    found = PROVIDER.parse_many(asks, fetch(request))
    assert [type(each) for each in found] == [
        Batch, UnknownSymbolError, Batch, UnknownSymbolError, Batch, Batch, Batch,
    ]  # fmt: skip
    assert [each.symbol for each in found if isinstance(each, Batch)] == [
        "AAPL", "BTC-USD", "EURUSD=X", "BRK-B", "^GSPC",
    ]  # fmt: skip


def test_a_batch_of_one_is_understood(fetch: Fetch, now: datetime) -> None:
    for symbol, kind in (("AAPL", Batch), ("UNKNOWN", UnknownSymbolError)):
        asks = [Ask(Kind.QUOTE, Instrument.of(symbol), now)]
        [found] = PROVIDER.parse_many(asks, fetch(PROVIDER.request_many(asks)))
        assert type(found) is kind


def test_the_unknown_and_the_empty_are_told_apart(understand: Understand) -> None:
    with pytest.raises(UnknownSymbolError):
        understand("UNKNOWN")
    late = TimeRange(datetime(2015, 1, 1, tzinfo=UTC), datetime(2015, 2, 1, tzinfo=UTC))
    with pytest.raises(EmptyError):
        understand("AAPL", Interval.D1, late)
