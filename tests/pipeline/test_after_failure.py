"""What becomes of an item after a failed attempt, over the local market and its faults."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.pipeline.after_failure import PAUSE_BROKEN, RETRIES
from fintrack_tasks.sandbox import Running
from tests.fixtures_stages import Stages

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
