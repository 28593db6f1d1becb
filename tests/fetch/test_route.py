"""Who is asked, in which order, and how long a run will wait."""

from __future__ import annotations

from itertools import count
from uuid import UUID

import pytest

from fintrack_tasks.domain import BATCH_LIMIT, AssetClass, Instrument, Interval, Item, Kind
from fintrack_tasks.errors import UsageError
from fintrack_tasks.fetch import providers
from fintrack_tasks.fetch.route import drain_seconds, next_provider, page_size, route, table
from fintrack_tasks.settings import Settings

BTC, AAPL, GSPC = Instrument.of("BTC-USD"), Instrument.of("AAPL"), Instrument.of("^GSPC")
numbers = count(1)


def quotes(instrument: Instrument, how_many: int) -> list[Item]:
    return [Item(UUID(int=next(numbers)), UUID(int=0), Kind.QUOTE, instrument, 1) for _ in range(how_many)]


def test_crypto_asks_coinbase_first_and_yahoo_next() -> None:
    assert route(BTC, Kind.QUOTE, None) == ("coinbase", "yahoo_finance")
    assert route(BTC, Kind.BARS, Interval.H1) == ("coinbase", "yahoo_finance")
    assert next_provider(BTC, Kind.QUOTE, None, "coinbase") == "yahoo_finance"
    assert next_provider(BTC, Kind.QUOTE, None, "yahoo_finance") is None


@pytest.mark.parametrize("symbol", ["AAPL", "^GSPC", "EURUSD=X", "ALL.AX"])
def test_everything_else_asks_yahoo(symbol: str) -> None:
    instrument = Instrument.of(symbol)
    assert route(instrument, Kind.QUOTE, None) == ("yahoo_finance",)
    assert next_provider(instrument, Kind.QUOTE, None, "yahoo_finance") is None


def test_a_provider_that_is_not_on_the_route_leads_to_its_start() -> None:
    """An item of an older release, whose provider is gone, is asked again from the first."""
    assert next_provider(BTC, Kind.QUOTE, None, "gone") == "coinbase"


def test_a_provider_without_the_kind_is_not_on_the_route() -> None:
    """Coinbase has no indices."""
    assert route(BTC, Kind.INDEX, Interval.D1) == ("yahoo_finance",)


def test_every_route_ends_and_holds_only_providers_that_can_answer() -> None:
    symbols = {"stock": "AAPL", "crypto": "BTC-USD", "forex": "EURUSD=X", "index": "^GSPC"}
    for asset_class in AssetClass:
        instrument = Instrument.of(symbols[asset_class.value], asset_class)
        for kind in Kind:
            for interval in Interval:
                names = route(instrument, kind, interval)
                assert len(set(names)) == len(names)
                for name in names:
                    facts = providers.provider(name).facts
                    assert asset_class in facts.asset_classes
                    assert kind in facts.kinds
                    assert interval in facts.intervals


def test_a_route_that_nobody_serves_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from fintrack_tasks.fetch import route as module

    monkeypatch.setitem(module._ROUTES, AssetClass.STOCK, ())
    module._route.cache_clear()
    try:
        with pytest.raises(UsageError, match="AAPL"):
            route(AAPL, Kind.QUOTE, None)
    finally:
        module._route.cache_clear()


def test_a_page_fits_every_provider_of_the_route() -> None:
    assert page_size(["coinbase", "yahoo_finance"]) == 300
    assert page_size(["yahoo_finance"], Interval.D1) == 1000
    assert page_size([]) == BATCH_LIMIT


def test_a_run_waits_for_the_slowest_of_its_first_providers() -> None:
    """Coinbase allows 10 a second, Yahoo 100 a minute; they work side by side."""
    free = Settings.from_mapping({"API_RATE_LIMIT": "0"})
    assert drain_seconds([], free) == 0.0
    assert drain_seconds(quotes(BTC, 50), free) == pytest.approx(5.0)
    assert drain_seconds([*quotes(BTC, 50), *quotes(AAPL, 10), *quotes(GSPC, 10)], free) == pytest.approx(12.0)


def test_the_operators_numbers_change_the_wait() -> None:
    capped = Settings.from_mapping({"API_RATE_LIMIT": "60"})
    assert drain_seconds(quotes(BTC, 50), capped) == pytest.approx(50.0)
    lifted = Settings.from_mapping({"API_RATE_LIMIT": "0", "COINBASE_QUOTA": "unlimited"})
    assert 0 < drain_seconds(quotes(BTC, 50), lifted) <= 5.0


def test_the_table_names_a_provider_for_everything_that_can_be_asked() -> None:
    rows = table()
    assert {"asset_class": "crypto", "kind": "bars", "providers": ["coinbase", "yahoo_finance"]} in rows
    assert all(row["providers"] for row in rows)
    assert {row["kind"] for row in rows if row["asset_class"] == "stock"} == {"quote", "bars"}
