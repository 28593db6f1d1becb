"""A database holds prices of one kind: it says which, once, and refuses the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from fintrack_tasks.domain import Kind, Mode, from_micros
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.fetch.http.client import HttpClient
from fintrack_tasks.fetch.providers.base import HttpResponse
from fintrack_tasks.pipeline.fx_rates import update_fx_rates
from fintrack_tasks.pipeline.save_quote import save_quote
from fintrack_tasks.queries.explain import explain_values
from fintrack_tasks.sandbox import Running
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database
from fintrack_tasks.store.database_mode import admit, claim
from tests.fixtures_stages import Stages
from tests.store.items import make_run

NOW = datetime(2026, 6, 18, 15, 0, tzinfo=UTC)
TABLES = ("quotes", "bars", "payloads", "fx_rates", "coverage", "outbox")


@pytest.fixture
def stages(make_stages: Callable[..., Stages], market: Running) -> Stages:
    """The stages over the local market, as base URLs in an operator's ``.env`` may lead there."""
    return make_stages(NOW, {"ECB_QUOTA": "unlimited"}, market)


@pytest.fixture
def nameless(stages: Stages, market: Running) -> Iterator[Stages]:
    """The same with answers that do not say who gave them, as those of the real providers."""
    client = Nameless(market.provider_base_urls, timeout=20.0)
    yield Stages(stages.context, client, stages.gate)
    client.close()


def rows(conn: psycopg.Connection) -> dict[str, int]:
    counted = {}
    for table in TABLES:
        row = conn.execute(f"SELECT count(*) FROM fintrack.{table}").fetchone()
        counted[table] = row[0] if row else 0
    return counted


def test_a_database_becomes_what_its_first_prices_are_and_stays_it(conn: psycopg.Connection) -> None:
    assert claim(conn, Mode.SIMULATED) is Mode.SIMULATED
    assert claim(conn, Mode.LIVE) is Mode.SIMULATED
    with pytest.raises(psycopg.errors.UniqueViolation):
        conn.execute("INSERT INTO fintrack.database_mode (mode) VALUES ('live')")


@pytest.mark.parametrize("simulated", [True, False])
def test_prices_of_the_other_kind_are_refused_in_one_line_by_every_process(
    database: Database, database_settings: Settings, *, simulated: bool
) -> None:
    admit(database, simulated=simulated)
    admit(database, simulated=simulated)
    another = Database(database_settings, pool_size=1)
    for each in (database, another):
        with pytest.raises(ConfigurationError, match=f"^DB_NAME: {database_settings.db_name} holds") as caught:
            admit(each, simulated=not simulated)
        assert "\n" not in str(caught.value)
    another.close()


def test_whose_prices_it_holds_is_known_once_it_is_open(database: Database, database_settings: Settings) -> None:
    admit(database, simulated=True)
    another = Database(database_settings, pool_size=1)
    with another.connection():
        assert another.mode is Mode.SIMULATED
    another.close()


@pytest.mark.parametrize("provider", ["yahoo_finance", "coinbase"])
def test_an_answer_of_the_local_market_never_gets_into_a_live_database_whatever_the_settings_say(
    provider: str, stages: Stages, database: Database, conn: psycopg.Connection
) -> None:
    admit(database, simulated=False)
    before = rows(conn)
    symbol = "AAPL" if provider == "yahoo_finance" else "BTC-USD"
    for kind in (Kind.QUOTE, Kind.BARS):
        _, [item] = make_run(conn, [symbol], kind, now=NOW)
        with pytest.raises(ConfigurationError, match="holds real prices, and these are simulated"):
            stages.fetch(item, provider)
    assert rows(conn) == before


class Nameless(HttpClient):
    """Its answers do not say who gave them, as those of the real providers."""

    def get(self, *given: Any, **named: Any) -> HttpResponse:
        return replace(super().get(*given, **named), headers={})


@pytest.mark.parametrize("holds", list(Mode))
def test_rates_get_among_their_kind_alone(
    holds: Mode, database: Database, conn: psycopg.Connection, stages: Stages, nameless: Stages
) -> None:
    admit(database, simulated=holds is Mode.SIMULATED)
    other = stages if holds is Mode.LIVE else nameless
    with pytest.raises(ConfigurationError, match=r"^DB_NAME: .* holds (real|simulated) prices"):
        update_fx_rates(context=other.context, http=other.http, gate=other.gate)
    assert rows(conn)["fx_rates"] == rows(conn)["payloads"] == 0


def test_an_answer_of_which_nothing_is_known_never_gets_among_simulated_ones(
    database: Database, conn: psycopg.Connection, nameless: Stages
) -> None:
    admit(database, simulated=True)
    before = rows(conn)
    _, [item] = make_run(conn, ["AAPL"], Kind.QUOTE, now=NOW)
    with pytest.raises(ConfigurationError, match=r"holds simulated prices \(the local market's\), and these are real"):
        nameless.fetch(item)
    assert rows(conn) == before


@pytest.mark.parametrize("holds", list(Mode))
def test_a_quote_of_the_fetcher_is_saved_among_its_kind_alone(
    holds: Mode, database: Database, database_settings: Settings, conn: psycopg.Connection
) -> None:
    admit(database, simulated=holds is Mode.SIMULATED)
    at = NOW - timedelta(seconds=5)
    quote = {"symbol": "AAPL", "price": 430.0, "volume": 1.0, "timestamp": at, "currency": "USD", "source": "finnhub"}
    told = {Mode.LIVE: quote, Mode.SIMULATED: {**quote, "simulated": True}}
    other = Mode.LIVE if holds is Mode.SIMULATED else Mode.SIMULATED
    with pytest.raises(ConfigurationError, match=r"^DB_NAME"):
        save_quote(told[other], settings=database_settings, now=NOW)
    assert rows(conn)["quotes"] == 0
    save_quote(told[holds], settings=database_settings, now=NOW)
    assert rows(conn)["quotes"] == 1


@pytest.mark.parametrize(
    ("symbol", "provider", "kind", "origin"),
    [
        ("AAPL", "yahoo_finance", Kind.BARS, "bundled: bokeh_sampledata 2026.1 (BSD-3-Clause)"),
        ("^GSPC", "yahoo_finance", Kind.BARS, "bundled: arch 8.0.0 (NCSA)"),
        ("AAPL", "yahoo_finance", Kind.QUOTE, "synthetic: about the last close of: bundled: bokeh_sampledata"),
        ("^DJI", "yahoo_finance", Kind.BARS, "synthetic: a series of seed 7"),
        ("EURUSD=X", "yahoo_finance", Kind.BARS, "synthetic: one price a day, which is bundled: ECB"),
        ("BTC-USD", "coinbase", Kind.BARS, "synthetic: a series of seed 7"),
        ("ETH-USD", "coinbase", Kind.QUOTE, "synthetic: a series of seed 7"),
    ],
)
def test_what_explains_a_stored_value_names_its_origin(
    symbol: str, provider: str, kind: Kind, origin: str, stages: Stages, conn: psycopg.Connection
) -> None:
    _, [item] = make_run(conn, [symbol], kind, now=datetime(2012, 3, 1, tzinfo=UTC))
    batch = stages.fetched(item, provider)
    stages.load(item, batch)
    at = from_micros(int(batch.columns["timestamp"][-1]))
    found = explain_values(conn, item.instrument_id, item.instrument, at)
    [value] = found["quotes" if kind is Kind.QUOTE else "bars"]
    assert value["payload"]["origin"].startswith(origin)
