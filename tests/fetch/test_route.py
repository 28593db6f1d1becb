"""Who is asked, in which order, and how long a run will wait."""

from __future__ import annotations

from itertools import count
from uuid import UUID

import pytest

from fintrack_tasks.domain import BATCH_LIMIT, AssetClass, Instrument, Interval, Item, Kind
from fintrack_tasks.errors import ConfigurationError, MissingKeyError, UsageError
from fintrack_tasks.fetch import providers
from fintrack_tasks.fetch.route import drain_seconds, next_provider, page_size, route, table
from fintrack_tasks.settings import Settings

BTC, AAPL, GSPC = Instrument.of("BTC-USD"), Instrument.of("AAPL"), Instrument.of("^GSPC")
KEYLESS = Settings.from_mapping({})
KEYED = Settings.from_mapping({f"API_KEY_{name}": "k" for name in ("FINNHUB", "ALPHA_VANTAGE", "TWELVE_DATA")})
numbers = count(1)


def quotes(instrument: Instrument, how_many: int) -> list[Item]:
    return [Item(UUID(int=next(numbers)), UUID(int=0), Kind.QUOTE, instrument, 1) for _ in range(how_many)]


def test_crypto_asks_coinbase_first_and_yahoo_next() -> None:
    assert route(BTC, Kind.QUOTE, None, KEYLESS) == ("coinbase", "yahoo_finance")
    assert route(BTC, Kind.BARS, Interval.H1, KEYLESS) == ("coinbase", "yahoo_finance")
    assert next_provider(BTC, Kind.QUOTE, None, "coinbase", KEYLESS) == "yahoo_finance"
    assert next_provider(BTC, Kind.QUOTE, None, "yahoo_finance", KEYLESS) is None


@pytest.mark.parametrize("symbol", ["AAPL", "^GSPC", "ALL.AX"])
def test_without_keys_stocks_and_indices_ask_yahoo_alone(symbol: str) -> None:
    instrument = Instrument.of(symbol)
    assert route(instrument, Kind.QUOTE, None, KEYLESS) == ("yahoo_finance",)
    assert next_provider(instrument, Kind.QUOTE, None, "yahoo_finance", KEYLESS) is None


def test_a_currency_falls_back_to_the_reference_rate() -> None:
    assert route(Instrument.of("EURUSD=X"), Kind.QUOTE, None, KEYLESS) == ("yahoo_finance", "ecb")


def test_a_key_brings_its_provider_onto_the_routes() -> None:
    keyed = Settings.from_mapping({"API_KEY_FINNHUB": "k1", "API_KEY_ALPHA_VANTAGE": "k2"})
    assert route(AAPL, Kind.QUOTE, None, keyed) == ("yahoo_finance", "finnhub", "alpha_vantage")


def test_no_default_route_relies_on_finnhubs_candles_of_stocks() -> None:
    keyed = Settings.from_mapping({"API_KEY_FINNHUB": "k1"})
    assert route(AAPL, Kind.BARS, Interval.D1, keyed) == ("yahoo_finance",)


def test_the_operator_chooses_the_order() -> None:
    keys = {"API_KEY_FINNHUB": "k1", "API_KEY_ALPHA_VANTAGE": "k2"}
    chosen = Settings.from_mapping({**keys, "FINTRACK_ROUTE_STOCK_QUOTE": "alpha_vantage, finnhub"})
    assert route(AAPL, Kind.QUOTE, None, chosen) == ("alpha_vantage", "finnhub")
    assert route(AAPL, Kind.BARS, Interval.D1, chosen)[0] == "yahoo_finance"
    whole = Settings.from_mapping({**keys, "FINTRACK_ROUTE_STOCK": "alpha_vantage"})
    assert route(AAPL, Kind.BARS, Interval.D1, whole) == ("alpha_vantage",)


@pytest.mark.parametrize("text", ["yahu", "yahoo_finance,nobody", " , "])
def test_a_route_over_an_unknown_provider_names_the_variable(text: str) -> None:
    wrong = Settings.from_mapping({"FINTRACK_ROUTE_STOCK": text})
    with pytest.raises(ConfigurationError, match="FINTRACK_ROUTE_STOCK"):
        route(AAPL, Kind.QUOTE, None, wrong)


def test_a_route_whose_providers_all_lack_their_key_names_the_first_key() -> None:
    lacking = Settings.from_mapping({"FINTRACK_ROUTE_STOCK": "finnhub,alpha_vantage"})
    with pytest.raises(MissingKeyError, match="API_KEY_FINNHUB"):
        route(AAPL, Kind.QUOTE, None, lacking)


def test_a_provider_that_is_not_on_the_route_leads_to_its_start() -> None:
    """An item of an older release, whose provider is gone, is asked again from the first."""
    assert next_provider(BTC, Kind.QUOTE, None, "gone", KEYLESS) == "coinbase"


def test_a_provider_without_the_kind_is_not_on_the_route() -> None:
    """Coinbase has no indices."""
    assert route(BTC, Kind.INDEX, Interval.D1, KEYLESS) == ("yahoo_finance",)


@pytest.mark.parametrize("settings", [KEYLESS, KEYED], ids=["keyless", "keyed"])
def test_every_route_ends_and_holds_only_providers_that_can_answer(settings: Settings) -> None:
    symbols = {"stock": "AAPL", "crypto": "BTC-USD", "forex": "EURUSD=X", "index": "^GSPC", "commodity": "GC=F"}
    for asset_class in AssetClass:
        instrument = Instrument.of(symbols[asset_class.value], asset_class)
        for kind in Kind:
            for interval in Interval:
                names = route(instrument, kind, interval, settings)
                assert len(set(names)) == len(names)
                for name in names:
                    facts = providers.provider(name).facts
                    assert asset_class in facts.asset_classes
                    assert kind in facts.kinds
                    assert interval in facts.intervals


def test_a_route_that_nobody_serves_is_a_usage_error() -> None:
    """Coinbase has no stocks."""
    with pytest.raises(UsageError, match="AAPL"):
        route(AAPL, Kind.QUOTE, None, Settings.from_mapping({"FINTRACK_ROUTE_STOCK": "coinbase"}))


def test_a_page_fits_every_provider_of_the_route() -> None:
    assert page_size(["coinbase", "yahoo_finance"]) == 300
    assert page_size(["yahoo_finance"]) == 1000
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
    rows = table(KEYLESS)
    [crypto] = [row for row in rows if (row["asset_class"], row["kind"]) == ("crypto", "bars")]
    assert crypto["providers"] == ["coinbase", "yahoo_finance"]
    assert set(crypto["without_key"]) <= {"twelve_data", "finnhub", "alpha_vantage"}
    assert all(row["providers"] for row in rows)
    assert {row["kind"] for row in rows if row["asset_class"] == "stock"} == {"quote", "bars"}
