"""What the sandbox answers is what the product's own providers understand, row by row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType

import pytest
import requests

from fintrack_tasks.calendars import calendar_name
from fintrack_tasks.domain import AssetClass, Batch, Instrument, Interval, Kind, TimeRange, from_micros
from fintrack_tasks.errors import EmptyError, ProviderError, UnavailableRangeError, UnknownSymbolError
from fintrack_tasks.fetch.providers import coinbase, yahoo_finance
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse
from fintrack_tasks.sandbox import Running
from fintrack_tasks.session_times import calendar_sessions
from fintrack_tasks.sessions import expected_bars
from fintrack_tasks.validate import ValidationContext, check_batch

Understand = Callable[..., Batch]


@pytest.fixture
def understand(market_server: Running, session: requests.Session, now: datetime) -> Understand:
    """Ask a provider's question, parse the answer."""

    def ask(
        module: ModuleType, symbol: str, interval: Interval | None = None, window: TimeRange | None = None
    ) -> Batch:
        provider = module.PROVIDER
        question = Ask(Kind.BARS if interval else Kind.QUOTE, Instrument.of(symbol), now, interval, window)
        wanted = provider.request(question)
        url = market_server.provider_base_urls[provider.facts.name] + wanted.path
        answer = session.get(url, params=dict(wanted.params), headers=dict(wanted.headers), timeout=10)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        found: Batch = provider.parse(question, HttpResponse(answer.status_code, answer.content, headers))
        return found

    return ask


@pytest.mark.parametrize(
    ("module", "symbol"),
    [(yahoo_finance, s) for s in ("AAPL", "^VIX", "XYZ1", "BTC-USD", "EURUSD=X", "USDMXN=X")]
    + [(coinbase, s) for s in ("BTC-USD", "ETH-BTC", "DOGE-EUR")],
)
def test_a_quote_is_understood(module: ModuleType, symbol: str, understand: Understand, now: datetime) -> None:
    batch = understand(module, symbol)
    [stamp] = batch.columns["timestamp"]
    assert now - timedelta(seconds=1) < from_micros(stamp) <= now
    assert float(batch.columns["price"][0]) > 0


@pytest.mark.parametrize("interval", list(Interval))
@pytest.mark.parametrize(
    ("module", "symbol"), [(yahoo_finance, "XYZ1"), (yahoo_finance, "BTC-USD"), (coinbase, "BTC-USD")]
)
def test_bars_up_to_now_are_understood_the_open_one_included(
    module: ModuleType, symbol: str, interval: Interval, understand: Understand, now: datetime
) -> None:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    batch = understand(module, symbol, interval, TimeRange(midnight - timedelta(days=1), now))
    stamps = [from_micros(stamp) for stamp in batch.columns["timestamp"]]
    assert "left_out" not in batch.meta
    assert now - interval.delta < stamps[-1] <= now
    assert stamps == sorted(set(stamps))
    assert all(stamp.minute % 15 == 0 and stamp.second == 0 for stamp in stamps)


def test_both_providers_tell_of_one_market(understand: Understand) -> None:
    window = TimeRange(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 4, tzinfo=UTC))
    for interval in Interval:
        one, other = (understand(module, "BTC-USD", interval, window) for module in (yahoo_finance, coinbase))
        for name in ("timestamp", "open", "high", "low", "close"):
            assert one.columns[name] == other.columns[name]


def test_real_days_arrive_with_the_files_own_digits(
    understand: Understand, bundled: Callable[[str], list[dict[str, str]]]
) -> None:
    window = TimeRange(datetime(2012, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC))
    batch = understand(yahoo_finance, "AAPL", Interval.D1, window)
    rows = [row for row in bundled("daily.csv.gz") if row["symbol"] == "AAPL" and row["date"].startswith("2012")]
    assert [f"{from_micros(stamp):%Y-%m-%d}" for stamp in batch.columns["timestamp"]] == [row["date"] for row in rows]
    for name in ("open", "high", "low", "close", "adj_close", "volume"):
        assert list(batch.columns[name]) == [row[name] for row in rows]


@pytest.mark.parametrize(("module", "nothing"), [(yahoo_finance, EmptyError), (coinbase, UnavailableRangeError)])
def test_the_unknown_and_a_range_before_the_first_day_are_told_apart(
    module: ModuleType, nothing: type[ProviderError], understand: Understand
) -> None:
    with pytest.raises(UnknownSymbolError):
        understand(module, "UNKNOWN-USD")
    early = TimeRange(datetime(2001, 1, 1, tzinfo=UTC), datetime(2001, 2, 1, tzinfo=UTC))
    with pytest.raises(nothing):
        understand(module, "BTC-USD", Interval.D1, early)


@pytest.mark.parametrize("interval", list(Interval))
@pytest.mark.parametrize(
    ("symbol", "currency"),
    [("7203.T", "JPY"), ("0700.HK", "HKD"), ("NPN.JO", "ZAc"), ("VOD.L", "GBp"), ("^N225", "JPY"), ("EURUSD=X", "USD")],
)
def test_what_trades_elsewhere_has_its_own_sessions_and_its_providers_unit(
    symbol: str, currency: str, interval: Interval, understand: Understand, now: datetime
) -> None:
    """Nothing for quarantine, and as many bars as a window is planned for: lunch breaks and holidays are none."""
    instrument = Instrument.of(symbol)
    window = TimeRange(now - timedelta(days=40), now - timedelta(days=1))
    if instrument.asset_class is AssetClass.FOREX:  # its days end with the bundled rates
        window = TimeRange(datetime(2026, 10, 22, tzinfo=UTC), datetime(2026, 10, 30, 21, tzinfo=UTC))
    batch = understand(yahoo_finance, symbol, interval, window)
    assert batch.currency == currency
    assert batch.columns["timestamp"] == expected_bars(instrument, interval, window)
    context = ValidationContext(instrument.asset_class, calendar_sessions(calendar_name(instrument)))
    rules = {one.rule for one in check_batch(batch, now, context=context)}
    assert not rules & {"outside_session", "shifted_zone"}
