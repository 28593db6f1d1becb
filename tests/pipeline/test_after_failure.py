"""What becomes of an item after a failed attempt, over the local market and its faults."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.domain import Batch, Instrument, Interval, Kind
from fintrack_tasks.fetch import providers, route
from fintrack_tasks.pipeline import DEFERRED, Ended, Retry
from fintrack_tasks.pipeline.after_failure import PAUSE_BROKEN, RETRIES
from fintrack_tasks.sandbox import Running
from tests.fixtures_stages import Stages
from tests.pipeline.keyed import Begin, asked

pytestmark = pytest.mark.integration

NOW = datetime(2026, 6, 17, 16, 0, tzinfo=UTC)


@pytest.fixture
def stages(make_stages: Callable[..., Stages], market: Running) -> Stages:
    return make_stages(NOW, market=market)


@pytest.mark.parametrize(
    ("kind", "more", "reason"),
    [
        ("html", {}, "malformed"),
        ("malformed", {}, "malformed"),
        ("cut", {}, "transient"),
        ("status", {"status": 500}, "transient"),
        pytest.param("timeout", {}, "transient", marks=pytest.mark.soak),
    ],
)
def test_a_broken_answer_is_a_named_attempt_and_in_the_end_a_named_failure(
    stages: Stages, market: Running, conn: psycopg.Connection, kind: str, more: dict[str, object], reason: str
) -> None:
    [item] = stages.plan("AAPL")
    market.control.add_fault(kind, **more)
    first = stages.fetch(item)
    assert isinstance(first, pipeline.Retry)
    assert (first.provider, first.retries) == ("yahoo_finance", 1)
    assert stages.row(item)["state"] == "queued"
    assert stages.row(item)["attempts"] == 1
    tries = 1 if reason == "malformed" else RETRIES
    assert stages.fetch(item, retries=tries) == pipeline.Ended("failed", reason)
    row = stages.row(item)
    assert (row["state"], row["reason"]) == ("failed", reason)
    assert row["attempt_log"][0]["reason"] == reason
    if kind != "timeout":  # what came is kept, also of a body that was cut
        assert conn.execute("SELECT count(*) FROM fintrack.payloads").fetchone() == (1,)
    assert conn.execute("SELECT reason FROM fintrack.dead_letters").fetchall() == [(reason,)]


@pytest.mark.parametrize(("said", "wait"), [(None, 60), (7, 7)])
def test_a_quota_that_is_used_up_is_waited_for_by_the_fleet_and_not_for_ever(
    stages: Stages, market: Running, said: int | None, wait: int
) -> None:
    """Without a Retry-After for one window; nobody asks meanwhile, and a quote that is overdue by then is given up."""
    [first] = stages.plan("AAPL")
    [second] = stages.plan("MSFT")
    market.control.add_fault("storm429", **({} if said is None else {"retry_after": said}))
    assert stages.fetch(first) == pipeline.Retry("yahoo_finance", wait, 0)
    market.control.reset()
    held = stages.fetch(second)
    assert isinstance(held, pipeline.Retry)
    assert wait - 5 < held.countdown <= wait
    assert market.control.requests()["total"] == 0
    assert stages.fetch(first, now=NOW + timedelta(minutes=5)) == pipeline.Ended("failed", "quota")
    assert [reason for _, reason, _, _ in stages.attempts(first)] == ["quota", "quota"]


def test_history_waits_for_tomorrow_in_the_ledger(stages: Stages, market: Running) -> None:
    """A wait longer than the broker may hold a message is the ledger's: reconcile enqueues the item in time."""
    [item] = stages.plan("AAPL", job="fetch_historical_market_data", start="2012-01-03", end="2012-02-01")
    market.control.add_fault("storm429", retry_after=20_000)
    ended = stages.fetch(item)
    assert (ended.state, ended.reason) == ("deferred", "quota")
    assert ended.until == NOW + timedelta(seconds=20_000)
    assert stages.row(item)["state"] == "queued"
    for hours, expected in ((5, 0), (6, 1)):
        now = NOW + timedelta(hours=hours)
        assert len(stages.reconcile(now)) == expected


def test_a_quote_of_nulls_is_an_answer_without_a_price(stages: Stages, market: Running) -> None:
    [item] = stages.plan("AAPL")
    market.control.add_fault("nulls")
    assert stages.fetch(item) == pipeline.Retry("yahoo_finance", PAUSE_BROKEN, 1)
    assert stages.fetch(item, retries=1) == pipeline.Ended("empty", "no_price")
    assert all(each["payload"] for each in stages.row(item)["attempt_log"])


def test_an_item_goes_on_to_the_next_provider_of_its_route(stages: Stages, market: Running) -> None:
    [item] = stages.plan("ETH-USD")
    market.control.add_fault("html", provider="coinbase")
    assert stages.fetch(item, "coinbase") == pipeline.Retry("coinbase", PAUSE_BROKEN, 1)
    assert stages.fetch(item, "coinbase", retries=1) == pipeline.Retry("yahoo_finance", 0.0, 0)
    assert stages.through(item) == pipeline.Ended("loaded")
    row = stages.row(item)
    assert (row["provider"], row["attempts"]) == ("yahoo_finance", 3)
    assert row["attempt_log"][0]["provider"] == "coinbase"


def test_an_unknown_symbol_ends_after_every_provider_was_asked(stages: Stages) -> None:
    [item] = stages.plan("UNKNOWN-USD")
    assert stages.fetch(item, "coinbase") == pipeline.Retry("yahoo_finance", 0.0, 0)
    assert stages.fetch(item) == pipeline.Ended("failed", "unknown_symbol")
    assert stages.row(item)["reason"] == "unknown_symbol"


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
