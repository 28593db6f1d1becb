"""The fetch stage: keys, waits for a quota, kept answers; over real servers and the local market."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from fintrack_tasks.connections import Connections
from fintrack_tasks.domain import Batch, to_micros
from fintrack_tasks.errors import MissingKeyError
from fintrack_tasks.fetch import providers
from fintrack_tasks.pipeline import Ended, Retry
from fintrack_tasks.sandbox import Running
from fintrack_tasks.tasks import base, ingest
from tests.pipeline.keyed import KEYS, Begin, asked

pytestmark = pytest.mark.integration

NOW = datetime(2026, 6, 17, 16, 0, tzinfo=UTC)  # a Wednesday, noon in New York


def later(**span: float) -> str:
    return (NOW + timedelta(**span)).isoformat()


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
