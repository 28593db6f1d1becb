"""Several providers with keys, as an operator uses them: a consensus of quotes, the table of providers, an index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest

from fintrack_tasks.sandbox import Control
from tests.e2e.harness import Pipeline, fintrack, parse_env

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

KEYS = {"API_KEY_FINNHUB": "finnhub-key-of-this-test", "API_KEY_TWELVE_DATA": "twelve-data-key-of-this-test"}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    home = tmp_path_factory.mktemp("providers")
    own = {**KEYS, "FINTRACK_ITEM_DEADLINE_SECONDS": "20", "FLOWER_PORT": "0"}
    fintrack(home, "up", "--detach", environment=own)
    try:
        pipeline = Pipeline(home, {**own, **parse_env(fintrack(home, "env").stdout), "COLUMNS": "250"})
        pipeline.query("UPDATE instruments SET is_active = false RETURNING id")  # a tick of the schedule asks nobody
        yield pipeline
    finally:
        fintrack(home, "down", check=False)


def control(pipeline: Pipeline) -> Control:
    return Control(pipeline.environment["FINNHUB_BASE_URL"].removesuffix("/finnhub"))


def test_a_quote_of_two_providers_is_their_median_and_says_how_far_they_lie_apart(keyed: Pipeline) -> None:
    control(keyed).reset()
    result = keyed.run("market-data", "--symbols", "AAPL,MSFT", "--consensus", "2")
    counts = result["jobs"]["fetch_market_data"]
    assert (counts["items"], counts["loaded"], counts["failed"]) == (2, 2, 0)
    assert result["events"]["market-data"] == 2
    assert control(keyed).requests(listed=False)["by_provider"] == {"yahoo_finance": 2, "finnhub": 2}
    rows = keyed.query(
        "SELECT i.symbol, q.source, q.price, m.value AS spread, m.detail FROM quotes q"
        " JOIN instruments i ON i.id = q.instrument_id"
        " JOIN quality_metrics m ON m.instrument_id = q.instrument_id AND m.run_id = %s"
        " WHERE q.item_id IN (SELECT id FROM run_items WHERE run_id = %s) AND m.metric = 'provider_spread_bps'"
        " ORDER BY i.symbol",
        result["run_id"],
        result["run_id"],
    )
    assert [(row["symbol"], row["source"]) for row in rows] == [("AAPL", "consensus"), ("MSFT", "consensus")]
    for row in rows:
        prices = {name: Decimal(text) for name, text in row["detail"]["prices"].items()}
        assert prices.keys() == {"yahoo_finance", "finnhub"}
        low, high = sorted(prices.values())
        assert row["price"] == (low + high) / 2
        assert abs(row["spread"] - (high - low) / row["price"] * 10_000) < Decimal("0.0001")


def test_the_table_of_providers_shows_routes_keys_and_what_is_used(keyed: Pipeline) -> None:
    shown = keyed.fintrack("providers").stdout
    lacking, finnhub = (
        next(line for line in shown.splitlines() if name in line) for name in ("alpha_vantage", "finnhub")
    )
    assert "missing: set API_KEY_ALPHA_VANTAGE" in lacking
    assert "1 set" in finnhub
    assert "of 200 per 1 s" in finnhub
    assert "yahoo_finance → finnhub → twelve_data (without a key: alpha_vantage)" in " ".join(shown.split())
    assert not [key for key in KEYS.values() if key in shown]


def test_what_the_table_says_is_there_for_machines_too(keyed: Pipeline) -> None:
    told = json.loads(keyed.fintrack("providers", "--json").stdout.splitlines()[-1])
    [quotes] = [way for way in told["routes"] if (way["asset_class"], way["kind"]) == ("stock", "quote")]
    assert quotes["providers"] == ["yahoo_finance", "finnhub", "twelve_data"]
    assert quotes["without_key"] == ["alpha_vantage"]
    rows = {row["name"]: row for row in told["providers"]}
    assert rows["alpha_vantage"]["keys"] == []
    assert [key["closed_until"] for key in rows["finnhub"]["keys"]] == [None]


def test_the_members_of_an_index_are_registered_and_can_be_fetched(keyed: Pipeline) -> None:
    first = json.loads(keyed.fintrack("instruments", "import", "--index", "sp500", "--json").stdout.splitlines()[-1])
    assert first["registered"] == len(first["members"]) == 503
    assert {"AAPL", "BRK-B", "BF-B"} <= set(first["symbols"])
    again = keyed.fintrack("instruments", "import", "--index", "sp500").stdout
    assert "503" in again
    assert " 0 of them new" in again
    listed = json.loads(keyed.fintrack("instruments", "list", "--json").stdout.splitlines()[-1])["instruments"]
    assert set(first["symbols"]) <= {each["symbol"] for each in listed}
    # In one's own words there, a share of class B has a dot: each provider is asked by its own name.
    result = keyed.run("market-data", "--symbols", "BRK-B,BF-B", "--consensus", "3")
    assert result["jobs"]["fetch_market_data"]["loaded"] == 2
