"""``fintrack runs show``: a live item says what it waits for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fintrack_tasks.cli.runs import waits_for
from fintrack_tasks.domain import Kind
from fintrack_tasks.store import run_items
from tests.e2e.harness import fintrack
from tests.store.items import make_run

NOW = datetime(2024, 5, 6, 15, 0, tzinfo=UTC)
QUOTA = {"provider": "yahoo_finance", "reason": "quota", "detail": "", "at": NOW.isoformat()}


def item(**changes: Any) -> dict[str, Any]:
    fresh = {
        "state": "queued", "finished_at": None, "attempt_log": [], "deadline_at": NOW + timedelta(minutes=2),
        "deferred": False,
    }  # fmt: skip
    return {**fresh, **changes}


@pytest.mark.parametrize(
    ("live", "said"),
    [
        (item(), "waits for a worker of its provider's queue"),
        (item(state="fetched"), "waits for a worker of the queue etl"),
        (item(attempt_log=[QUOTA]), "waits for its next attempt after yahoo_finance: quota"),
        (item(attempt_log=[QUOTA], deferred=True), "waits until 2024-05-06 15:02:00 UTC after yahoo_finance: quota"),
        (item(deadline_at=NOW), "waits for reconcile"),
    ],
)
def test_a_live_item_says_what_it_waits_for(live: dict[str, Any], said: str) -> None:
    assert str(waits_for(live, NOW)).startswith(said)


def test_one_that_has_ended_waits_for_nothing() -> None:
    assert waits_for(item(finished_at=NOW), NOW) is None


@pytest.mark.integration
def test_the_command_shows_it_where_the_reason_will_stand(
    tmp_path: Path, database_variables: dict[str, str], conn: psycopg.Connection
) -> None:
    now = datetime.now(tz=UTC)
    run, [first, _] = make_run(conn, ["AAPL", "MSFT"], Kind.QUOTE, now=now)
    run_items.note_attempt(conn, first, "yahoo_finance", "quota", "429", now, until=now + timedelta(hours=1))
    run_items.defer(conn, first, datetime(2099, 1, 1, tzinfo=UTC))
    shown = fintrack(tmp_path, "runs", "show", str(run), environment=database_variables).stdout
    assert "waits until 2099-01-01 00:00:00 UTC after yahoo_finance: quota" in " ".join(shown.split())
    told = fintrack(tmp_path, "runs", "show", str(run), "--json", environment=database_variables).stdout
    listed = {each["symbol"]: each for each in json.loads(told.splitlines()[-1])["item_list"]}
    assert listed["AAPL"]["reason"] is None
    assert listed["AAPL"]["waits_for"].startswith("waits until 2099-01-01")
    assert listed["MSFT"]["waits_for"].startswith("waits for ")
