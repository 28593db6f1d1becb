"""An item's way along its route, over a real database, a real broker and the local market: several providers with keys.

Every attempt stands on the item; what was learnt of a key is not asked again, which the local market's count shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from structlog.testing import capture_logs

from fintrack_tasks import pipeline
from fintrack_tasks.connections import Connections
from fintrack_tasks.domain import Batch, Instrument, Interval, Item, Kind, to_micros
from fintrack_tasks.errors import MissingKeyError
from fintrack_tasks.fetch import providers, route
from fintrack_tasks.pipeline import DEFERRED, Ended, Retry
from fintrack_tasks.pipeline.after_failure import PAUSE_BROKEN, RETRIES
from fintrack_tasks.sandbox import Running
from fintrack_tasks.tasks import base, ingest
from tests.fixtures_market import MarketClock
from tests.fixtures_stages import Stages

pytestmark = pytest.mark.integration

NOW = datetime(2026, 6, 17, 16, 0, tzinfo=UTC)  # a Wednesday, noon in New York
KEYS = {
    "API_KEY_FINNHUB": "Kf81-finnhub-test-key",
    "API_KEY_TWELVE_DATA": "Kt27-twelve-data-test-key",
    "API_KEY_ALPHA_VANTAGE": "Ka94-alpha-vantage-test-key",
}
UNHURRIED = {f"{name.upper()}_QUOTA": "unlimited" for name in providers.names()}


Begin = Callable[..., Stages]


@pytest.fixture
def begin(make_stages: Callable[..., Stages], market: Running) -> Begin:
    """The stages with every key set and no quota of our own, but for the variables that are given."""

    def made(variables: dict[str, str] | None = None, **gate: Any) -> Stages:
        return make_stages(NOW, {**KEYS, **UNHURRIED, **(variables or {})}, market, **gate)

    return made


def asked(market: Running) -> dict[str, int]:
    """How many requests each provider got so far."""
    counted: dict[str, int] = market.control.requests(listed=False)["by_provider"]
    return counted


def later(**span: float) -> str:
    return (NOW + timedelta(**span)).isoformat()


# --- To the next provider of the route -----------------------------------------------------------------------------


def test_the_operator_says_in_which_order_providers_are_asked(begin: Begin, market: Running) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "twelve_data,finnhub,yahoo_finance"})
    market.control.add_fault("html", provider="twelve_data")
    [item] = fetching.plan("AAPL")
    visited, batch = fetching.follow(item, "twelve_data")
    assert visited == ["twelve_data", "twelve_data", "finnhub"]
    assert fetching.load(item, batch) == Ended("loaded")
    assert (fetching.row(item)["provider"], fetching.row(item)["attempts"]) == ("finnhub", 3)
    assert asked(market) == {"twelve_data": 2, "finnhub": 1}


def test_who_has_no_key_is_left_out_of_an_operators_route(begin: Begin, market: Running) -> None:
    way = "twelve_data,alpha_vantage,yahoo_finance"
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": way, "API_KEY_ALPHA_VANTAGE": ""})
    market.control.add_fault("html", provider="twelve_data")
    [item] = fetching.plan("AAPL")
    assert fetching.follow(item, "twelve_data")[0] == ["twelve_data", "twelve_data", "yahoo_finance"]
    assert "alpha_vantage" not in asked(market)


def test_a_symbol_that_no_provider_knows_fails_with_what_each_of_them_said(begin: Begin, market: Running) -> None:
    names = ["finnhub", "twelve_data", "alpha_vantage", "yahoo_finance"]
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": ",".join(names)})
    [item] = fetching.plan("UNKNOWN1")
    assert fetching.follow(item, "finnhub") == (names, Ended("failed", "unknown_symbol"))
    assert fetching.attempts(item) == [(name, "unknown_symbol", None, True) for name in names]
    assert asked(market) == dict.fromkeys(names, 1)
    kept = [entry.get("payload") for entry in fetching.row(item)["attempt_log"]]
    assert None not in kept
    assert len(set(kept)) == len(names)  # what each of them answered can be read again


def test_a_symbol_that_has_no_name_at_a_provider_is_not_asked_there(begin: Begin, market: Running) -> None:
    """Twelve Data names shares of the US alone by their symbol."""
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "twelve_data,yahoo_finance"})
    [item] = fetching.plan("ALL.AX")
    visited, batch = fetching.follow(item, "twelve_data")
    assert visited == ["twelve_data", "yahoo_finance"]
    assert fetching.load(item, batch) == Ended("loaded")
    assert fetching.attempts(item) == [("twelve_data", "unknown_symbol", None, False)]
    assert fetching.row(item)["attempts"] == 1
    assert asked(market) == {"yahoo_finance": 1}


def test_an_outage_is_tried_again_then_left_and_after_five_failures_nobody_asks(begin: Begin, market: Running) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "finnhub,yahoo_finance"})
    market.control.add_fault("status", provider="finnhub", status=503)
    first, second = fetching.plan("AAPL", "MSFT")
    visited, batch = fetching.follow(first, "finnhub")
    assert visited == ["finnhub"] * (1 + RETRIES) + ["yahoo_finance"]
    assert fetching.load(first, batch) == Ended("loaded")
    assert fetching.attempts(first) == [("finnhub", "transient", None, True)] * (1 + RETRIES)

    visited, batch = fetching.follow(second, "finnhub")
    assert visited == ["finnhub", "finnhub", "yahoo_finance"]  # its first try was the fifth failure in a row
    assert fetching.load(second, batch) == Ended("loaded")
    [failed, (name, reason, until, was_asked)] = fetching.attempts(second)
    assert failed == ("finnhub", "transient", None, True)
    assert (name, reason, was_asked) == ("finnhub", "transient", False)
    assert until is not None
    assert timedelta(0) < datetime.fromisoformat(until) - NOW <= timedelta(seconds=15)
    assert asked(market) == {"finnhub": 5, "yahoo_finance": 2}


def test_what_a_plan_does_not_include_is_asked_once_and_other_endpoints_go_on(begin: Begin, market: Running) -> None:
    """Quotes of German shares are not in Finnhub's free plan; those of the US are."""
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "finnhub,yahoo_finance"})
    first, second, domestic = fetching.plan("SAP.DE", "BMW.DE", "AAPL")
    assert fetching.follow(first, "finnhub")[0] == ["finnhub", "yahoo_finance"]
    assert fetching.attempts(first) == [("finnhub", "entitlement", None, True)]
    assert fetching.follow(second, "finnhub")[0] == ["finnhub", "yahoo_finance"]
    [(name, reason, until, was_asked)] = fetching.attempts(second)
    assert (name, reason, was_asked) == ("finnhub", "entitlement", False)
    assert until is not None
    assert timedelta(hours=23) < datetime.fromisoformat(until) - NOW <= timedelta(days=1)
    assert fetching.follow(domestic, "finnhub")[0] == ["finnhub"]
    assert asked(market) == {"finnhub": 2, "yahoo_finance": 2}
    with fetching.context.database.connection() as conn:  # a plan is no alarm
        assert conn.execute("SELECT count(*) FROM fintrack.alerts").fetchone() == (0,)


def test_an_operator_with_a_larger_plan_may_ask_finnhub_for_candles_of_stocks(begin: Begin) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_BARS": "finnhub,yahoo_finance"})
    way = route.route(Instrument.of("AAPL"), Kind.BARS, Interval.D1, fetching.context.settings)
    assert way == ("finnhub", "yahoo_finance")


def test_candles_of_stocks_are_refused_once_and_come_from_the_next_provider(begin: Begin, market: Running) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_BARS": "finnhub,yahoo_finance"})
    history = {"job": "fetch_historical_market_data", "start": "2012-01-03", "end": "2012-02-01"}
    for item in fetching.plan("AAPL", "MSFT", **history):
        visited, batch = fetching.follow(item, "finnhub")
        assert visited == ["finnhub", "yahoo_finance"]
        assert fetching.load(item, batch) == Ended("loaded")
        assert [entry[:2] for entry in fetching.attempts(item)] == [("finnhub", "entitlement")]
    assert asked(market) == {"finnhub": 1, "yahoo_finance": 2}


@pytest.mark.parametrize(
    ("provider", "quota", "until"),
    [
        # 429 without a Retry-After: one window.
        ("finnhub", "1/m", NOW + timedelta(minutes=1)),
        # A text at status 200: the minute by the clock, and the day, which ends at midnight in New York.
        ("twelve_data", "1/m", datetime(2026, 6, 17, 16, 1, tzinfo=UTC)),
        ("alpha_vantage", "1/d", datetime(2026, 6, 18, 4, 0, tzinfo=UTC)),
    ],
)
def test_a_used_up_quota_closes_the_provider_and_the_items_go_on(
    begin: Begin, market: Running, provider: str, quota: str, until: datetime
) -> None:
    market.control.set_quotas(**{provider: quota})
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": f"{provider},yahoo_finance"})
    first, second, third = fetching.plan("AAPL", "MSFT", "IBM")
    ways = [fetching.follow(item, provider) for item in (first, second, third)]
    assert [way for way, _ in ways] == [[provider], [provider, "yahoo_finance"], [provider, "yahoo_finance"]]
    assert [fetching.load(item, ways[n][1]).state for n, item in enumerate((first, second, third))] == ["loaded"] * 3
    assert fetching.attempts(second) == [(provider, "quota", until.isoformat(), True)]
    [(_, reason, held_until, was_asked)] = fetching.attempts(third)
    assert (reason, was_asked) == ("quota", False)
    assert held_until is not None
    assert until - timedelta(seconds=10) < datetime.fromisoformat(held_until) <= until
    assert asked(market) == {provider: 2, "yahoo_finance": 2}
    [standing] = fetching.gate.standing(providers.provider(provider).facts)
    assert standing.closed_until is not None


def test_a_provider_that_says_try_again_at_once_does_not_fail_the_item(begin: Begin, market: Running) -> None:
    """Retry-After: 0 names no time; the provider is left alone for a window as if it had said nothing."""
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "yahoo_finance"})
    market.control.add_fault("storm429", provider="yahoo_finance", retry_after=0, count=1)
    [item] = fetching.plan("AAPL")
    assert fetching.fetch(item, "yahoo_finance") == Retry("yahoo_finance", 60.0, 0)
    assert fetching.attempts(item) == [("yahoo_finance", "quota", later(seconds=60), True)]


# --- Broken and hollow answers -------------------------------------------------------------------------------------

BROKEN = ("html", "malformed", "nulls")


def history(interval: str) -> dict[str, Any]:
    days = {"1d": ("2012-01-03", "2012-02-01")}.get(interval, ("2026-06-15", "2026-06-16"))
    return {"job": "fetch_historical_market_data", "start": days[0], "end": days[1], "intervals": [interval]}


@pytest.mark.parametrize("kind", BROKEN)
def test_one_broken_answer_among_good_ones_is_asked_for_once_more_after_a_pause(
    begin: Begin, market: Running, kind: str
) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "yahoo_finance"})
    market.control.add_fault(kind, provider="yahoo_finance", count=1)
    [item] = fetching.plan("AAPL")
    again = fetching.fetch(item, "yahoo_finance")
    assert again == Retry("yahoo_finance", PAUSE_BROKEN, 1)
    assert PAUSE_BROKEN >= 1
    batch = fetching.fetch(item, "yahoo_finance", retries=again.retries)
    assert isinstance(batch, Batch)
    assert fetching.load(item, batch) == Ended("loaded")
    [(provider, _, _, was_asked)] = fetching.attempts(item)
    assert (provider, was_asked, fetching.row(item)["attempts"]) == ("yahoo_finance", True, 2)
    assert asked(market) == {"yahoo_finance": 2}


@pytest.mark.parametrize(
    ("symbol", "provider"),
    [
        ("AAPL", "yahoo_finance"), ("AAPL", "twelve_data"), ("BTC-USD", "finnhub"), ("AAPL", "alpha_vantage"),
        ("BTC-USD", "coinbase"), ("EURUSD=X", "twelve_data"), ("^GSPC", "yahoo_finance"),
    ],
)  # fmt: skip
def test_one_broken_answer_costs_no_window_of_bars(begin: Begin, market: Running, symbol: str, provider: str) -> None:
    """Whoever is asked, for whatever interval: it is the only one on the route."""
    routes = {f"FINTRACK_ROUTE_{name}_BARS": provider for name in ("STOCK", "CRYPTO", "FOREX", "INDEX")}
    fetching = begin(routes)
    for place, interval in enumerate(("1d", "1h", "15m"), 1):
        item = fetching.plan(symbol, **history(interval))[0]
        market.control.add_fault("html", provider=provider, count=1)
        again = fetching.fetch(item, provider)
        assert again == Retry(provider, PAUSE_BROKEN, 1)
        fetching.fetch(item, provider, retries=again.retries)  # whatever it says now, it is asked
        assert fetching.attempts(item)[0][:2] == (provider, "malformed")
        assert asked(market) == {provider: 2 * place}


@pytest.mark.parametrize(("kind", "end"), [*((kind, "failed") for kind in BROKEN[:2]), ("nulls", "empty")])
def test_a_provider_that_stays_broken_is_left_for_the_next_and_only_then_the_item_ends(
    begin: Begin, market: Running, kind: str, end: str
) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "yahoo_finance,finnhub"})
    market.control.add_fault(kind, provider="yahoo_finance")
    first, second = fetching.plan("AAPL", "MSFT")
    visited, batch = fetching.follow(first, "yahoo_finance")
    assert visited == ["yahoo_finance", "yahoo_finance", "finnhub"]
    assert fetching.load(first, batch) == Ended("loaded")
    market.control.add_fault("html", provider="finnhub")
    alone = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "yahoo_finance"})
    visited, ended = alone.follow(second, "yahoo_finance")
    assert visited == ["yahoo_finance", "yahoo_finance"]
    assert isinstance(ended, Ended)
    assert ended.state == end


def test_to_be_asked_once_more_a_broken_answers_provider_must_have_a_place_in_its_quota(
    begin: Begin, market: Running
) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "yahoo_finance", "YAHOO_FINANCE_QUOTA": "1/m"})
    market.control.add_fault("html", provider="yahoo_finance")
    [item] = fetching.plan("AAPL")
    assert fetching.fetch(item, "yahoo_finance") == Retry("yahoo_finance", PAUSE_BROKEN, 1)
    waits = fetching.fetch(item, "yahoo_finance", retries=1)
    assert isinstance(waits, Retry)
    assert waits.reservation is not None
    assert waits.countdown > 50
    assert asked(market) == {"yahoo_finance": 1}


def test_a_broken_answer_that_is_delivered_again_is_not_read_again(begin: Begin, market: Running) -> None:
    """It is kept for a person; the item goes on with a new one."""
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "yahoo_finance"})
    market.control.add_fault("html", provider="yahoo_finance", count=1)
    [item] = fetching.plan("AAPL")
    fetching.fetch(item, "yahoo_finance")  # the message that it answers with is lost
    [again] = fetching.reconcile(NOW + timedelta(days=1))
    assert again.resume
    visited, batch = fetching.follow(again, "yahoo_finance")
    assert visited == ["yahoo_finance"]
    assert fetching.load(again, batch) == Ended("loaded")
    [broken] = fetching.row(item)["attempt_log"]
    assert broken["reason"] == "malformed"
    assert broken["payload"]
    assert asked(market) == {"yahoo_finance": 2}


@pytest.mark.parametrize("provider", ["yahoo_finance", "coinbase"])
def test_a_401_of_a_provider_that_is_asked_without_a_key_passes(begin: Begin, market: Running, provider: str) -> None:
    """yahoofinance-api#206: one `Invalid Crumb` ended the item."""
    fetching = begin({"FINTRACK_ROUTE_CRYPTO_QUOTE": provider})
    market.control.add_fault("status", provider=provider, status=401, count=1)
    [item] = fetching.plan("BTC-USD")
    visited, batch = fetching.follow(item, provider)
    assert visited == [provider, provider]
    assert fetching.load(item, batch) == Ended("loaded")
    assert [entry[:2] for entry in fetching.attempts(item)] == [(provider, "transient")]


# --- Keys ----------------------------------------------------------------------------------------------------------


def alerts_of(conn: psycopg.Connection) -> tuple[list[tuple[Any, ...]], list[dict[str, Any]]]:
    """The alerts, and the notifications that tell of one."""
    rows = conn.execute("SELECT rule, severity, subject, detail FROM fintrack.alerts").fetchall()
    told = [json.loads(value) for (value,) in conn.execute("SELECT value FROM fintrack.outbox")]
    return rows, [event for event in told if event["type"] == "alert.raised"]


def test_a_refused_key_is_set_aside_with_one_alert_that_names_it_and_gives_nothing_away(
    begin: Begin, market: Running, conn: psycopg.Connection
) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "finnhub,yahoo_finance"})
    market.control.add_fault("status", provider="finnhub", status=401)
    items = fetching.plan("AAPL", "MSFT", "IBM")
    with capture_logs() as logs:
        for item in items:
            assert fetching.follow(item, "finnhub")[0] == ["finnhub", "yahoo_finance"]
    assert fetching.attempts(items[0]) == [("finnhub", "key_rejected", None, True)]
    [(_, reason, until, was_asked)] = fetching.attempts(items[2])
    assert (reason, was_asked) == ("key_rejected", False)
    assert until is not None
    assert timedelta(hours=23) < datetime.fromisoformat(until) - NOW <= timedelta(days=1)
    assert asked(market) == {"finnhub": 1, "yahoo_finance": 3}

    rows, told = alerts_of(conn)
    [(rule, severity, subject, detail)] = rows
    [standing] = fetching.gate.standing(providers.provider("finnhub").facts)
    assert (rule, severity, subject) == ("key_set_aside", "error", f"finnhub {standing.key}")
    assert standing.rejected_until is not None
    assert [(event["rule"], event["subject"], event.get("simulated")) for event in told] == [(rule, subject, True)]
    assert [(line["event"], line["key_name"]) for line in logs] == [("key_set_aside", standing.key)]
    everything = repr((rows, told, logs, detail, [fetching.row(item) for item in items]))
    assert KEYS["API_KEY_FINNHUB"] not in everything


def test_threads_that_meet_the_refusal_at_once_raise_one_alert(
    begin: Begin, market: Running, conn: psycopg.Connection
) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "finnhub,yahoo_finance"})
    market.control.add_fault("status", provider="finnhub", status=401)
    items = fetching.plan("AAPL", "MSFT", "IBM", "GOOG")
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda item: fetching.fetch(item, "finnhub"), items, timeout=30))
    assert outcomes == [Retry("yahoo_finance", 0.0, 0)] * 4
    rows, told = alerts_of(conn)
    assert (len(rows), len(told)) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [({"kind": "status", "status": 401}, "key_rejected"), ({"kind": "storm429", "retry_after": 600}, "quota")],
)
def test_where_one_key_is_barred_the_next_is_asked(
    begin: Begin, market: Running, fault: dict[str, Any], reason: str
) -> None:
    """Two keys of the only provider: what bars one of them fails no item that the other can answer."""
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "finnhub", "API_KEY_FINNHUB": "first-of-two-keys,second-of-two"})
    market.control.add_fault(provider="finnhub", count=1, **fault)
    first, second = fetching.plan("AAPL", "MSFT")
    visited, batch = fetching.follow(first, "finnhub")
    assert visited == ["finnhub", "finnhub"]
    assert fetching.load(first, batch) == Ended("loaded")
    assert [entry[:2] for entry in fetching.attempts(first)] == [("finnhub", reason)]
    assert fetching.follow(second, "finnhub")[0] == ["finnhub"]


def test_where_every_key_is_barred_the_item_ends_after_each_was_asked_once(begin: Begin, market: Running) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "finnhub", "API_KEY_FINNHUB": "first-of-two-keys,second-of-two"})
    market.control.add_fault("status", provider="finnhub", status=401)
    [item] = fetching.plan("AAPL")
    assert fetching.follow(item, "finnhub")[1] == Ended("failed", "key_rejected")
    assert asked(market) == {"finnhub": 2}


def test_a_route_whose_only_provider_has_no_key_names_the_variable_and_asks_nobody(
    begin: Begin, market: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "finnhub", "API_KEY_FINNHUB": ""})
    [item] = fetching.plan("AAPL")
    with pytest.raises(MissingKeyError, match="API_KEY_FINNHUB"):
        fetching.fetch(item, "finnhub")
    # Where items are enqueued, it ends with that.
    own = Connections(fetching.context.settings)
    monkeypatch.setitem(base._process, "connections", own)
    monkeypatch.setattr(ingest, "settings", lambda: fetching.context.settings)
    monkeypatch.setattr(ingest, "publish_soon", lambda: None)
    try:
        assert ingest.enqueue([item]) == 0
    finally:
        own.close()
    row = fetching.row(item)
    assert (row["state"], row["reason"]) == ("failed", "missing_key")
    assert "API_KEY_FINNHUB" in row["detail"]
    assert asked(market) == {}


# --- Waiting -------------------------------------------------------------------------------------------------------


def test_a_place_at_the_quota_comes_back_with_its_ticket_and_is_kept(begin: Begin, market: Running) -> None:
    seconds = [1_000.0]
    limits = {"FINTRACK_ROUTE_STOCK_QUOTE": "finnhub", "FINNHUB_QUOTA": "1/m"}
    fetching = begin(limits, clock=lambda: seconds[0])
    first, second, third = fetching.plan("AAPL", "MSFT", "IBM")
    assert isinstance(fetching.fetch(first, "finnhub"), Batch)
    waits = fetching.fetch(second, "finnhub")
    assert isinstance(waits, Retry)
    assert waits.reservation is not None
    assert (waits.provider, waits.retries) == ("finnhub", 0)
    assert waits.countdown == pytest.approx(60, abs=1)
    row = fetching.row(second)
    assert (row["state"], row["attempts"], row["attempt_log"]) == ("queued", 0, [])
    # One that comes later stands behind it, however early it returns.
    behind = fetching.fetch(third, "finnhub")
    assert isinstance(behind, Retry)
    assert behind.countdown == pytest.approx(120, abs=2)
    seconds[0] += waits.countdown + 0.01
    assert isinstance(fetching.fetch(third, "finnhub"), Retry)
    assert isinstance(fetching.fetch(second, "finnhub", reservation=waits.reservation), Batch)
    assert asked(market) == {"finnhub": 2}


def test_an_item_that_waits_for_its_place_is_not_taken_for_lost(begin: Begin) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "finnhub", "FINNHUB_QUOTA": "1/m"})
    first, second = fetching.plan("AAPL", "MSFT")
    fetching.load(first, fetching.follow(first, "finnhub")[1])
    waits = fetching.fetch(second, "finnhub")
    assert isinstance(waits, Retry)
    for wait, lost in ((waits.countdown + 60, []), (3_600, [second.id])):
        now = NOW + timedelta(seconds=wait)
        assert [item.id for item in fetching.reconcile(now)] == lost


def test_a_quote_does_not_wait_a_minute_where_somebody_else_can_be_asked(begin: Begin, market: Running) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "finnhub,yahoo_finance", "FINNHUB_QUOTA": "1/m"})
    first, second = fetching.plan("AAPL", "MSFT")
    assert fetching.follow(first, "finnhub")[0] == ["finnhub"]
    assert fetching.follow(second, "finnhub")[0] == ["finnhub", "yahoo_finance"]
    [(name, reason, until, was_asked)] = fetching.attempts(second)
    assert (name, reason, was_asked) == ("finnhub", "quota", False)
    assert until is not None
    assert timedelta(seconds=50) < datetime.fromisoformat(until) - NOW <= timedelta(seconds=61)
    assert asked(market) == {"finnhub": 1, "yahoo_finance": 1}


def test_at_the_routes_end_an_item_waits_for_the_provider_that_is_free_first(begin: Begin, market: Running) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "yahoo_finance,finnhub"})
    market.control.add_fault("storm429", provider="yahoo_finance", retry_after=90)
    market.control.add_fault("storm429", provider="finnhub", retry_after=40)
    [item] = fetching.plan("AAPL")
    assert fetching.fetch(item, "yahoo_finance") == Retry("finnhub", 0.0, 0)
    assert fetching.fetch(item, "finnhub") == Retry("finnhub", 40.0, 0)
    assert [entry[2] for entry in fetching.attempts(item)] == [later(seconds=90), later(seconds=40)]


def test_history_is_deferred_to_the_ledger_until_the_first_of_its_providers_is_free(
    begin: Begin, market: Running
) -> None:
    """Alpha Vantage at midnight in New York, which is in twelve hours; Yahoo says that it is free before that."""
    fetching = begin({"FINTRACK_ROUTE_STOCK_BARS": "alpha_vantage,yahoo_finance"})
    market.control.set_quotas(alpha_vantage="1/d")
    market.control.add_fault("storm429", provider="yahoo_finance", retry_after=30_000)
    history = {"job": "fetch_historical_market_data", "start": "2012-01-03", "end": "2012-02-01"}
    spent, item = fetching.plan("MSFT", "AAPL", **history)
    fetching.fetch(spent, "alpha_vantage")
    until = NOW + timedelta(seconds=30_000)
    assert fetching.follow(item, "alpha_vantage") == (
        ["alpha_vantage", "yahoo_finance"],
        Ended(DEFERRED, "quota", until),
    )
    assert [entry[:3] for entry in fetching.attempts(item)] == [
        ("alpha_vantage", "quota", "2026-06-18T04:00:00+00:00"),
        ("yahoo_finance", "quota", until.isoformat()),
    ]
    assert fetching.row(item)["state"] == "queued"
    early = fetching.reconcile(until - timedelta(seconds=1))
    assert item.id not in [each.id for each in early]
    again = {each.id: each for each in fetching.reconcile(until + timedelta(seconds=1))}[item.id]
    assert fetching.fetch(item, "alpha_vantage") == Ended("stale")  # the older message
    market.control.clear_faults()
    with fetching.context.database.connection() as conn:
        [losses] = conn.execute("SELECT losses FROM fintrack.run_items WHERE id = %s", (item.id,)).fetchone() or []
    assert (again.generation, losses) == (1, 0)


def test_an_answer_that_was_kept_is_read_by_the_provider_that_gave_it(begin: Begin, market: Running) -> None:
    """After a crash the item is enqueued to the route's first provider again, whoever had answered."""
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "finnhub,yahoo_finance"})
    market.control.add_fault("html", provider="finnhub")
    [item] = fetching.plan("AAPL")
    _, before = fetching.follow(item, "finnhub")
    counted = asked(market)
    [again] = fetching.reconcile(NOW + timedelta(days=1))
    assert fetching.follow(again, "finnhub") == (["finnhub"], before)
    assert isinstance(before, Batch)
    assert before.source == "yahoo_finance"
    assert asked(market) == counted


def test_an_answer_that_was_kept_is_read_as_of_the_time_at_which_it_came(begin: Begin, market: Running) -> None:
    """At noon the day's price is stamped with noon; read again the day after it is not one of the close."""
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "alpha_vantage"})
    [item] = fetching.plan("AAPL")
    before = fetching.fetch(item, "alpha_vantage")
    assert isinstance(before, Batch)
    assert before.columns["timestamp"] == [to_micros(NOW)]
    [again] = fetching.reconcile(NOW + timedelta(days=1))
    assert fetching.fetch(again, "alpha_vantage", now=NOW + timedelta(days=1)) == before


@pytest.mark.parametrize("error", [RecursionError, MemoryError, OverflowError, KeyError])
def test_a_parser_that_fails_on_a_kept_answer_ends_it_as_malformed_and_is_not_asked_again(
    error: type[Exception], begin: Begin, market: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither now nor when the item is delivered once more: a parser says the same of the same bytes."""
    fetching = begin({"FINTRACK_ROUTE_STOCK": "yahoo_finance"})
    [item] = fetching.plan("AAPL")
    read = []

    def parse(ask: Any, response: Any) -> Batch:
        read.append(response.body)
        raise error

    monkeypatch.setattr(type(providers.provider("yahoo_finance")), "parse", staticmethod(parse))
    with capture_logs() as logs:
        visited, ended = fetching.follow(item, "yahoo_finance")
    assert ended == Ended("failed", "malformed")
    told = [log for log in logs if log["event"] == "parser_failed"]
    assert len(told) == len(read) == len(visited)
    assert {log["error"] for log in told} == {error.__name__}
    assert fetching.fetch(item, "yahoo_finance") == Ended("stale")
    assert len(read) == len(visited) <= 2


# --- Consensus -----------------------------------------------------------------------------------------------------

THREE = ("finnhub", "twelve_data", "yahoo_finance")
MEDIAN_OF = {"finnhub": (2, "428.63"), "twelve_data": (0, "429.52"), "yahoo_finance": (6, "432.2")}
"""Second of the minute, and the price of AAPL that the market has then under seed 7."""


@pytest.fixture
def agreed(begin: Begin) -> Stages:
    return begin({"FINTRACK_ROUTE_STOCK_QUOTE": ",".join(THREE)})


def each_at_its_second(
    fetching: Stages, clock: MarketClock, item: Item, names: Sequence[str] = THREE
) -> list[Batch | Retry | Ended]:
    """What becomes of the item at every provider, each of which is asked at a second of its own."""
    outcomes = []
    for name in names:
        clock.now = NOW + timedelta(seconds=MEDIAN_OF[name][0])
        outcomes.append(fetching.fetch(item, name))
    return outcomes


def measures(conn: psycopg.Connection, run: UUID) -> list[tuple[str, Decimal, dict[str, Any]]]:
    found = conn.execute(
        "SELECT metric, value, detail FROM fintrack.quality_metrics WHERE run_id = %s ORDER BY id", (run,)
    )
    return [(metric, value, detail) for metric, value, detail in found.fetchall()]


def test_three_providers_are_asked_and_their_median_is_stored_with_how_far_they_lie_apart(
    agreed: Stages, market: Running, clock: MarketClock, conn: psycopg.Connection
) -> None:
    [item] = agreed.plan("AAPL", consensus=3)
    *on_the_way, batch = each_at_its_second(agreed, clock, item)
    assert on_the_way == [Retry("twelve_data", 0.0, 0), Retry("yahoo_finance", 0.0, 0)]
    assert asked(market) == dict.fromkeys(THREE, 1)
    assert agreed.load(item, batch) == Ended("loaded")  # type: ignore[arg-type]  # load says what it is, if no batch

    stored = conn.execute("SELECT source, price, currency, timestamp FROM fintrack.quotes").fetchall()
    assert stored == [("consensus", Decimal("429.52"), "USD", NOW + timedelta(seconds=6))]
    [(spread, width, detail), (deviation, off, flagged)] = measures(conn, item.run_id)
    # By hand: (432.2 - 428.63) / 429.52 and (432.2 - 429.52) / 429.52; the third is 20.7 below, which is no matter.
    assert (spread, width) == ("provider_spread_bps", Decimal("83.1160"))
    assert {name: Decimal(price) for name, price in detail["prices"].items()} == {
        name: Decimal(price) for name, (_, price) in MEDIAN_OF.items()
    }
    assert (deviation, off) == ("provider_deviation_bps", Decimal("62.3952"))
    assert (flagged["provider"], flagged["flagged"]) == ("yahoo_finance", True)
    row = agreed.row(item)
    assert (row["state"], row["provider"], row["attempts"]) == ("loaded", "consensus", 3)


def test_an_item_that_is_delivered_twice_all_along_stays_one_row_and_one_event(
    agreed: Stages, clock: MarketClock, conn: psycopg.Connection
) -> None:
    [item] = agreed.plan("AAPL", consensus=3)
    twice = [each_at_its_second(agreed, clock, item, (name, name))[-1] for name in THREE]
    batch = twice[-1]
    assert isinstance(batch, Batch)
    assert [agreed.load(item, batch).state for _ in range(2)] == ["loaded", "stale"]
    assert agreed.fetch(item, "finnhub") == Ended("stale")
    assert conn.execute("SELECT count(*), min(price) FROM fintrack.quotes").fetchone() == (1, Decimal("429.52"))
    assert conn.execute("SELECT count(*) FROM fintrack.opinions").fetchone() == (3,)
    assert conn.execute("SELECT count(*) FROM fintrack.outbox").fetchone() == (1,)
    assert [metric for metric, _, _ in measures(conn, item.run_id)] == ["provider_spread_bps", "provider_deviation_bps"]


def test_of_providers_that_agree_nobody_is_flagged(agreed: Stages, conn: psycopg.Connection) -> None:
    [item] = agreed.plan("AAPL", consensus=2)
    visited, batch = agreed.follow(item, "finnhub")
    assert visited == ["finnhub", "twelve_data"]  # two were wanted: the third is not asked
    agreed.load(item, batch)
    assert [(metric, value) for metric, value, _ in measures(conn, item.run_id)] == [("provider_spread_bps", 0)]


def test_a_route_with_fewer_providers_than_were_asked_for_gives_what_they_say(
    begin: Begin, conn: psycopg.Connection
) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "finnhub,yahoo_finance"})
    [item] = fetching.plan("AAPL", consensus=4)
    visited, batch = fetching.follow(item, "finnhub")
    assert visited == ["finnhub", "yahoo_finance"]
    assert fetching.load(item, batch) == Ended("loaded")
    assert conn.execute("SELECT source, price FROM fintrack.quotes").fetchall() == [("consensus", Decimal("429.52"))]


@pytest.mark.parametrize(
    ("broken", "fault", "reason"),
    [
        *((name, {"kind": "html"}, "malformed") for name in THREE),
        *((name, {"kind": "storm429", "retry_after": 9_000}, "quota") for name in THREE),
        ("yahoo_finance", {"kind": "nulls"}, "no_price"),
    ],
)
def test_a_provider_that_gives_no_price_is_left_out_wherever_it_stands_on_the_route(
    agreed: Stages, market: Running, conn: psycopg.Connection, broken: str, fault: dict[str, Any], reason: str
) -> None:
    market.control.add_fault(provider=broken, **fault)
    [item] = agreed.plan("AAPL", consensus=3)
    visited, batch = agreed.follow(item, "finnhub")
    tries = 1 if reason == "quota" else 2
    assert visited == [name for name in THREE for _ in range(tries if name == broken else 1)]
    assert agreed.load(item, batch) == Ended("loaded")
    assert conn.execute("SELECT source, price FROM fintrack.quotes").fetchall() == [("consensus", Decimal("429.52"))]
    assert [entry[:2] for entry in agreed.attempts(item)] == [(broken, reason)] * tries
    [(_, _, detail), (metric, count, short)] = measures(conn, item.run_id)
    assert detail["prices"].keys() == set(THREE) - {broken}
    assert (metric, count, short["wanted"]) == ("consensus_answers", 2, 3)


def test_an_answer_without_a_price_does_not_keep_the_others_from_being_asked(begin: Begin, market: Running) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "yahoo_finance,finnhub,twelve_data"})
    market.control.add_fault("nulls", provider="yahoo_finance")
    [item] = fetching.plan("AAPL", consensus=2)
    visited, batch = fetching.follow(item, "yahoo_finance")
    assert visited == ["yahoo_finance", "yahoo_finance", "finnhub", "twelve_data"]
    assert fetching.load(item, batch) == Ended("loaded")


def test_where_one_alone_answers_its_price_stands_under_its_own_name(
    agreed: Stages, market: Running, conn: psycopg.Connection
) -> None:
    for name in ("finnhub", "yahoo_finance"):
        market.control.add_fault("html", provider=name)
    [item] = agreed.plan("AAPL", consensus=3)
    batch = agreed.follow(item, "finnhub")[1]
    assert isinstance(batch, Batch)
    checked = pipeline.validate_item(item, batch, context=agreed.context)
    assert isinstance(checked, Batch)
    agreed.load(item, checked)
    assert conn.execute("SELECT source FROM fintrack.quotes").fetchall() == [("twelve_data",)]
    assert agreed.row(item)["provider"] == "twelve_data"
    # Said in the item, in the measures of its run, and on the row itself.
    said = "1 of 3 providers: twelve_data"
    assert agreed.row(item)["detail"] == said
    assert [(metric, value) for metric, value, _ in measures(conn, item.run_id)][1:] == [("consensus_answers", 1)]
    assert conn.execute("SELECT symbol, rule, detail FROM data_flags").fetchall() == [("AAPL", "short_consensus", said)]


def test_where_nobody_answers_the_item_ends_as_it_would_alone(agreed: Stages, market: Running) -> None:
    market.control.add_fault("html")
    [item, empty] = agreed.plan("AAPL", "MSFT", consensus=3)
    twice = [name for name in THREE for _ in range(2)]
    assert agreed.follow(item, "finnhub") == (twice, Ended("failed", "malformed"))
    assert [entry[:2] for entry in agreed.attempts(item)] == [(name, "malformed") for name in twice]
    market.control.clear_faults()
    market.control.add_fault("nulls", provider="yahoo_finance")
    market.control.add_fault("html", provider="twelve_data")
    market.control.add_fault("html", provider="finnhub")
    assert agreed.follow(empty, "finnhub")[1] == Ended("empty", "no_price")


def test_an_item_that_was_lost_between_two_opinions_comes_to_its_end(
    agreed: Stages, market: Running, conn: psycopg.Connection
) -> None:
    """The first message's opinion is kept; the broker lost the second one."""
    [item] = agreed.plan("AAPL", consensus=3)
    assert agreed.fetch(item, "finnhub") == Retry("twelve_data", 0.0, 0)
    [again] = agreed.reconcile(NOW + timedelta(days=1))
    assert agreed.fetch(item, "twelve_data") == Ended("stale")
    visited, batch = agreed.follow(again, "finnhub")
    assert visited == list(THREE)
    assert agreed.load(again, batch) == Ended("loaded")
    assert conn.execute("SELECT count(*) FROM fintrack.quotes").fetchone() == (1,)


def test_an_opinion_is_kept_once_for_a_provider_that_is_asked_twice(agreed: Stages, clock: MarketClock) -> None:
    """The newest holds: the median of two answers of one provider would be no agreement."""
    [item] = agreed.plan("AAPL", consensus=2)
    for second in (2, 6):
        clock.now = NOW + timedelta(seconds=second)
        assert agreed.fetch(item, "finnhub") == Retry("twelve_data", 0.0, 0)
    batch = agreed.fetch(item, "twelve_data")
    assert isinstance(batch, Batch)
    assert Decimal(batch.columns["price"][0]) == Decimal("432.2")
    assert batch.source == "consensus"


def test_a_provider_that_names_no_currency_is_compared_with_those_that_do(
    begin: Begin, conn: psycopg.Connection
) -> None:
    """Alpha Vantage does not say what a stock's price is in."""
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "alpha_vantage,finnhub"})
    [item] = fetching.plan("AAPL", consensus=2)
    fetching.load(item, fetching.follow(item, "alpha_vantage")[1])
    assert conn.execute("SELECT source, currency FROM fintrack.quotes").fetchall() == [("consensus", "USD")]
