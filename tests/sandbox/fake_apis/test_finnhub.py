"""Finnhub as the sandbox plays it, over real HTTP, against recorded answers and as its provider understands it."""

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
from fintrack_tasks.errors import EmptyError, EntitlementError, QuotaError, UnknownSymbolError
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse
from fintrack_tasks.fetch.providers.finnhub import PROVIDER
from fintrack_tasks.sandbox import Running
from fintrack_tasks.sandbox.fake_apis.finnhub import FAKE_API

Get = Callable[..., requests.Response]
Understand = Callable[..., Batch]
ROOT = "finnhub/api/v1"
KEY = {"X-Finnhub-Token": "a-key-of-the-tests"}

NO_ACCESS = {"error": "You don't have access to this resource."}
LIMIT = {"error": "API limit reached. Please try again later. Remaining Limit: 0"}
NO_KEY = {"error": "Please use an API key."}
UNKNOWN = {"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}
NO_DATA = {"s": "no_data"}


@pytest.fixture
def get(market_server: Running, session: requests.Session) -> Get:
    """GET a path of the shared sandbox, with a key."""

    def ask(path: str, **params: object) -> requests.Response:
        return session.get(f"{market_server.url}/{path}", params=params, headers=KEY, timeout=30)

    return ask


@pytest.fixture
def understand(market_server: Running, session: requests.Session, now: datetime) -> Understand:
    """Ask the provider's question with a key, parse the answer."""

    def ask(instrument: Instrument, interval: Interval | None = None, window: TimeRange | None = None) -> Batch:
        question = Ask(Kind.BARS if interval else Kind.QUOTE, instrument, now, interval, window)
        wanted = PROVIDER.request(question)
        url = f"{market_server.url}/finnhub{wanted.path}"
        answer = session.get(url, params=dict(wanted.params), headers=KEY, timeout=30)
        return PROVIDER.parse(question, HttpResponse(answer.status_code, answer.content))

    return ask


def test_the_answers_that_are_expected_here_are_the_recorded_ones(samples: Path) -> None:
    names = ("error-403-no-access", "error-429-limit", "quote-unknown-symbol-200", "stock-candle-no-data-200")
    found = [json.loads((samples / f"finnhub/{name}.json").read_text()) for name in names]
    assert found == [NO_ACCESS, LIMIT, UNKNOWN, NO_DATA]


@pytest.mark.parametrize("symbol", ["AAPL", "XYZ1", "BRK.B", "COINBASE:BTC-USD", "OANDA:EUR_USD"])
def test_a_quote_has_the_recorded_fields_and_is_stamped_now_in_seconds(
    symbol: str, get: Get, now: datetime, samples: Path
) -> None:
    like = json.loads((samples / "finnhub/quote-AAPL-2026-05-22.json").read_text())
    quote = get(f"{ROOT}/quote", symbol=symbol).json()
    assert quote.keys() == like.keys()
    assert quote["t"] == int(now.timestamp())
    assert 0 < quote["l"] <= quote["c"] <= quote["h"]
    assert quote["d"] == pytest.approx(quote["c"] - quote["pc"], abs=1e-4)


@pytest.mark.parametrize("symbol", ["UNKNOWN", "", "A B", "BINANCE:BTCUSDT", "OANDA:EURUSD", "COINBASE:UNKNOWN-USD"])
def test_an_unknown_symbol_is_a_quote_of_zeros(symbol: str, get: Get) -> None:
    answer = get(f"{ROOT}/quote", symbol=symbol)
    assert (answer.status_code, answer.json()) == (200, UNKNOWN)


@pytest.mark.parametrize(
    ("path", "symbol"),
    [("stock/candle", "AAPL"), ("stock/candle", "UNKNOWN"), ("quote", "SHOP.TO"), ("quote", "^GSPC")],
)
def test_what_the_free_plan_has_not_is_refused(path: str, symbol: str, get: Get) -> None:
    answer = get(f"{ROOT}/{path}", symbol=symbol, resolution="D", **{"from": 0, "to": 1})
    assert (answer.status_code, answer.json()) == (403, NO_ACCESS)


def test_candles_have_the_recorded_fields_oldest_first_with_both_ends(get: Get, samples: Path) -> None:
    like = json.loads((samples / "finnhub/stock-candle-AAPL-60-2020-07-02.json").read_text())
    span = {"from": 1_767_225_600, "to": 1_767_225_600 + 9 * 3_600}
    candles = get(f"{ROOT}/crypto/candle", symbol="COINBASE:BTC-USD", resolution="60", **span).json()
    assert candles.keys() == like.keys()
    assert candles["s"] == "ok"
    assert candles["t"] == [1_767_225_600 + 3_600 * hour for hour in range(10)]
    for low, opens, closes, high in zip(candles["l"], candles["o"], candles["c"], candles["h"], strict=True):
        assert 0 < low <= min(opens, closes) <= max(opens, closes) <= high


def test_a_pairs_day_begins_in_new_york_on_the_evening_before(get: Get, bundled: Callable[[str], Any]) -> None:
    """Across the change of the clocks in March: 22:00, then 21:00 UTC. The rates are the file's own."""
    span = {"from": int(datetime(2026, 3, 4, tzinfo=UTC).timestamp()), "to": int(datetime(2026, 3, 12).timestamp())}  # noqa: DTZ001  any time of that day will do
    candles = get(f"{ROOT}/forex/candle", symbol="OANDA:EUR_USD", resolution="D", **span).json()
    stamps = [datetime.fromtimestamp(stamp, ZoneInfo("America/New_York")) for stamp in candles["t"]]
    assert {(stamp.hour, stamp.minute) for stamp in stamps} == {(17, 0)}
    rates = {row["date"]: float(row["USD"]) for row in bundled("ecb_eur_rates.csv.gz") if row["date"] > "2026"}
    days = [f"{stamp + timedelta(days=1):%Y-%m-%d}" for stamp in stamps]
    assert len(days) > 4
    assert candles["c"] == [rates[day] for day in days]


def test_of_intraday_candles_a_month_at_most_is_served(get: Get) -> None:
    span = {"from": 1_740_000_000, "to": 1_760_000_000}
    candles = get(f"{ROOT}/crypto/candle", symbol="COINBASE:BTC-USD", resolution="60", **span).json()
    assert len(candles["t"]) == 31 * 24
    assert candles["t"][-1] <= 1_760_000_000


@pytest.mark.parametrize(
    ("path", "symbol", "span"),
    [
        ("crypto/candle", "COINBASE:BTC-USD", (946_684_800, 946_784_800)),
        ("crypto/candle", "COINBASE:UNKNOWN-USD", (1_767_225_600, 1_767_325_600)),
        ("crypto/candle", "OANDA:EUR_USD", (1_767_225_600, 1_767_325_600)),
        ("forex/candle", "OANDA:EUR_USD", (0, 1)),
        ("forex/candle", "AAPL", (1_767_225_600, 1_767_325_600)),
        ("crypto/candle", "COINBASE:BTC-USD", (1_767_325_600, 1_767_225_600)),
    ],
)
def test_a_range_without_candles_has_no_arrays(path: str, symbol: str, span: tuple[int, int], get: Get) -> None:
    answer = get(f"{ROOT}/{path}", symbol=symbol, resolution="D", **{"from": span[0], "to": span[1]})
    assert (answer.status_code, answer.json()) == (200, NO_DATA)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"resolution": "7", "from": 0, "to": 1},
        {"resolution": "D", "from": "yesterday", "to": 1},
        {"resolution": "D", "from": "٣", "to": 1},
        {"resolution": "D", "from": 0},
        {"resolution": "D", "from": 0, "to": "1" * 5_000},
    ],
)
def test_a_wrong_question_gets_an_error(params: dict[str, object], get: Get) -> None:
    answer = get(f"{ROOT}/crypto/candle", symbol="COINBASE:BTC-USD", **params)
    assert answer.status_code == 422
    assert answer.json().keys() == {"error"}


@pytest.mark.parametrize("path", ["", "api/v1", "api/v1/news", "quote", "api/v2/quote"])
def test_other_paths_are_not_there(path: str, get: Get) -> None:
    answer = get(f"finnhub/{path}", symbol="AAPL")
    assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})


def test_a_used_up_quota_is_told_as_recorded_key_by_key(fresh: Running, session: requests.Session) -> None:
    fresh.control.set_quotas(finnhub="2/m")
    url = f"{fresh.url}/{ROOT}/quote?symbol=AAPL"
    answers = [session.get(url, headers=KEY, timeout=10) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json() == LIMIT
    assert session.get(url, headers={"X-Finnhub-Token": "another"}, timeout=10).status_code == 200
    assert session.get(f"{url}&token=a-third", timeout=10).status_code == 200
    ask = Ask(Kind.QUOTE, Instrument.of("AAPL"), datetime.now(tz=UTC))
    with pytest.raises(QuotaError):
        PROVIDER.parse(ask, HttpResponse(429, answers[2].content))


def test_the_reply_to_a_request_without_a_key() -> None:
    reply = FAKE_API.without_key()
    assert (reply.status, json.loads(reply.body)) == (401, NO_KEY)


def test_nulls_befall_the_changes_of_a_quote_alone() -> None:
    spoilt = FAKE_API.with_nulls({"c": 1, "d": 2, "dp": 3}, Random(1))
    assert spoilt == {"c": 1, "d": None, "dp": None}
    assert FAKE_API.with_nulls({"s": "no_data"}, Random(1)) == NO_DATA


# --- as the provider understands it


@pytest.mark.parametrize(
    ("symbol", "currency"),
    [("AAPL", "USD"), ("XYZ1", "USD"), ("BRK-B", "USD"), ("BTC-USD", "USD"), ("EURUSD=X", "USD"), ("USDMXN=X", "MXN")],
)
def test_a_quote_is_understood(symbol: str, currency: str, understand: Understand, now: datetime) -> None:
    batch = understand(Instrument.of(symbol))
    [stamp] = batch.columns["timestamp"]
    assert now - timedelta(seconds=1) < from_micros(stamp) <= now
    assert float(batch.columns["price"][0]) > 0
    assert batch.currency == currency


@pytest.mark.parametrize("asset_class", sorted(PROVIDER.facts.asset_classes))
@pytest.mark.parametrize("kind", sorted(PROVIDER.facts.kinds))
def test_every_declared_question_is_understood(asset_class: AssetClass, kind: Kind, understand: Understand) -> None:
    """And what is declared not to be asked is refused by the plan."""
    symbol = {AssetClass.STOCK: "AAPL", AssetClass.CRYPTO: "ETH-USD", AssetClass.FOREX: "EURUSD=X"}[asset_class]
    window = TimeRange(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 2, tzinfo=UTC))
    for interval in sorted(PROVIDER.facts.intervals) if kind is Kind.BARS else [None]:
        if not PROVIDER.facts.serves(asset_class, kind, interval):
            with pytest.raises(EntitlementError):
                understand(Instrument.of(symbol), interval, window)
            continue
        batch = understand(Instrument.of(symbol), interval, window if interval else None)
        if interval:
            assert len(batch) == timedelta(days=1) // interval.delta
            assert from_micros(batch.columns["timestamp"][0]) == window.start


def test_bars_up_to_now_are_understood_the_open_one_included(understand: Understand, now: datetime) -> None:
    for interval in Interval:
        batch = understand(Instrument.of("BTC-USD"), interval, TimeRange(now - timedelta(days=2), now))
        assert now - interval.delta < from_micros(batch.columns["timestamp"][-1]) <= now


def test_real_rates_arrive_with_the_files_own_digits(understand: Understand, bundled: Callable[[str], Any]) -> None:
    window = TimeRange(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))
    batch = understand(Instrument.of("EURUSD=X"), Interval.D1, window)
    rates = {row["date"]: row["USD"] for row in bundled("ecb_eur_rates.csv.gz") if "2026" <= row["date"] < "2026-07"}
    found = {f"{from_micros(s):%Y-%m-%d}": c for s, c in zip(*(batch.columns[n] for n in ("timestamp", "close")))}  # noqa: B905  columns of one batch
    assert {day: float(rate) for day, rate in rates.items()} == {day: float(close) for day, close in found.items()}
    assert len(found) > 100


def test_the_unknown_and_the_empty_are_told_apart(understand: Understand) -> None:
    with pytest.raises(UnknownSymbolError):
        understand(Instrument.of("UNKNOWN"))
    early = TimeRange(datetime(2001, 1, 1, tzinfo=UTC), datetime(2001, 2, 1, tzinfo=UTC))
    with pytest.raises(EmptyError):
        understand(Instrument.of("BTC-USD"), Interval.D1, early)


def test_a_profile_is_understood_and_an_unknown_one_is_empty(get: Get, now: datetime) -> None:
    for symbol, known in (("AAPL", True), ("UNKNOWN", False)):
        instrument = Instrument.of(symbol)
        wanted = PROVIDER.request_profile(instrument)
        answer = get(f"finnhub{wanted.path}", **wanted.params)
        response = HttpResponse(answer.status_code, answer.content)
        if known:
            found = PROVIDER.parse_profile(instrument, response, now)
            assert (found.name, found.currency) == ("AAPL", "USD")
        else:
            assert answer.json() == {}
            with pytest.raises(UnknownSymbolError):
                PROVIDER.parse_profile(instrument, response, now)
    assert get(f"{ROOT}/stock/profile2", symbol="OANDA:EUR_USD").json() == {}
