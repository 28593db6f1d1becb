"""Lists and counts of runs, read from a real ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from fintrack_tasks.domain import ItemState, Kind
from fintrack_tasks.queries import runs
from fintrack_tasks.store import run_items
from tests.store.items import make_run

pytestmark = pytest.mark.integration

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


def plan(conn: psycopg.Connection, count: int) -> list[str]:
    """Ids of runs, the newest first; every second one is of a backfill."""
    made = []
    for n in range(count):
        run, _ = make_run(conn, ["AAPL"], Kind.QUOTE)
        budget = "backfill" if n % 2 else "realtime"
        conn.execute(
            "UPDATE fintrack.runs SET created_at = %s, arguments = jsonb_build_object('budget', %s::text)"
            " WHERE id = %s",
            (NOW + timedelta(seconds=n), budget, run),
        )
        made.append(str(run))
    return made[::-1]


def test_the_newest_runs_come_first_as_many_as_are_asked_for(conn: psycopg.Connection) -> None:
    planned = plan(conn, 5)

    for limit in range(1, 7):
        assert [str(run.run_id) for run in runs.newest_runs(conn, limit)] == planned[:limit]


def test_runs_of_one_budget_are_counted_before_the_limit(conn: psycopg.Connection) -> None:
    planned = plan(conn, 6)

    assert [str(run.run_id) for run in runs.newest_runs(conn, 2, budget="backfill")] == planned[0:3:2]
    assert runs.newest_runs(conn, 10, budget="x' OR true --") == []


def test_items_come_by_symbol_and_of_the_states_that_are_asked_for(conn: psycopg.Connection) -> None:
    run, items = make_run(conn, ["MSFT", "AAPL", "IBM"], Kind.QUOTE)
    failed = next(item for item in items if item.instrument.symbol == "IBM")
    run_items.finish(conn, failed, ItemState.FAILED, "unknown_symbol", "nobody knows it", "finnhub", NOW)

    assert [row["symbol"] for row in runs.items_of_run(conn, run)] == ["AAPL", "IBM", "MSFT"]
    [row] = runs.items_of_run(conn, run, states=("failed", "empty"))
    assert (row["symbol"], row["state"], row["reason"], row["provider"]) == (
        "IBM",
        "failed",
        "unknown_symbol",
        "finnhub",
    )


def test_deferred_items_say_when_the_first_goes_on(conn: psycopg.Connection) -> None:
    run, [first, second, _] = make_run(conn, ["A1", "B1", "C1"], Kind.QUOTE)
    run_items.defer(conn, first, NOW + timedelta(hours=2))
    run_items.defer(conn, second, NOW + timedelta(hours=1))

    assert runs.waiting_of_run(conn, run) == {"deferred": 2, "next_at": NOW + timedelta(hours=1)}
    assert runs.rows_of_run(conn, run) == {"quotes": 0, "bars": 0, "index_indicators": 0}
    assert runs.events_of_run(conn, run) == {}
    assert runs.events_waiting(conn, [run]) == (0, None)
