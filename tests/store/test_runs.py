"""A run is written with its items, closed when the last of them has ended, and holds the next tick back until then."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from fintrack_tasks.domain import ItemState
from fintrack_tasks.queries import runs
from fintrack_tasks.store import run_items
from fintrack_tasks.store.payloads import Payload
from fintrack_tasks.store.quotes import load_quote
from fintrack_tasks.store.runs import create_run, finish_runs, run_summary, running_run
from tests.store.items import NOW, event, make_run, quote

pytestmark = pytest.mark.integration

ANSWER = Payload.of("coinbase", "/products/BTC-USD/ticker", 200, {"content-type": "application/json"}, b'{"a":1}', NOW)


def state(conn: psycopg.Connection, item_id: object) -> tuple[object, ...]:
    row = conn.execute("SELECT state, reason, generation FROM fintrack.run_items WHERE id = %s", (item_id,)).fetchone()
    assert row is not None
    return tuple(row)


def test_a_run_is_written_with_its_items_or_not_at_all(conn: psycopg.Connection) -> None:
    run, items = make_run(conn, ["AAPL", "MSFT"])
    summary = run_summary(conn, run)
    assert summary is not None
    assert (summary.items, summary.queued, summary.state) == (2, 2, "running")
    with pytest.raises(psycopg.errors.UniqueViolation):
        create_run(conn, uuid4(), "fetch_market_data", {}, items, NOW, NOW)
    assert len(runs.newest_runs(conn, 10)) == 1


def test_a_run_is_closed_when_its_last_item_ended_and_only_once(conn: psycopg.Connection) -> None:
    run, [first, second] = make_run(conn, ["AAPL", "MSFT"])
    load_quote(conn, first, quote(first), event(first), NOW)
    assert finish_runs(conn, NOW) == []
    run_items.finish(conn, second, ItemState.FAILED, "malformed", "HTML", None, NOW)
    [closed] = finish_runs(conn, NOW)
    assert (closed.run_id, closed.state, closed.loaded, closed.failed) == (run, "partial", 1, 1)
    assert finish_runs(conn, NOW) == []
    assert running_run(conn, "fetch_market_data", NOW) is None


def test_a_running_job_is_seen_until_it_is_too_old_to_hold_the_next_one_back(conn: psycopg.Connection) -> None:
    run, _ = make_run(conn, ["AAPL"])
    assert running_run(conn, "fetch_market_data", NOW) is None  # some symbols only
    conn.execute("UPDATE runs SET arguments = '{}'")
    assert running_run(conn, "fetch_market_data", NOW) == run
    assert running_run(conn, "fetch_historical_market_data", NOW) is None
    assert running_run(conn, "fetch_market_data", NOW + timedelta(hours=13)) is None
