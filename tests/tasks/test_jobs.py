"""Jobs: what no worker could run is refused where the caller stands; a redelivered dispatch does not fan out again."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from fintrack_tasks import tasks
from fintrack_tasks.domain import Instrument
from fintrack_tasks.errors import UsageError
from fintrack_tasks.queries import runs
from fintrack_tasks.store import Database, instruments, run_items
from fintrack_tasks.store.database_mode import admit
from fintrack_tasks.store.runs import finish_runs
from fintrack_tasks.tasks import orphaned_items
from tests.tasks.conftest import Outgoing


@pytest.mark.parametrize(
    ("job", "arguments", "named"),
    [
        ("fetch_market_data", ([],), {}),
        ("fetch_market_data", ("AAPL",), {}),
        ("fetch_market_data", (["AAPL"], "more"), {}),
        ("fetch_market_data", (["not a symbol"],), {}),
        ("fetch_market_data", (["AAPL"],), {"colour": "red"}),
        ("fetch_market_data", (["AAPL"],), {"run_id": "7"}),
        ("fetch_historical_market_data", (["AAPL"],), {"start": "2024-02-01", "end": "2024-01-01"}),
        ("fetch_historical_market_data", (["AAPL"],), {"intervals": ["1w"]}),
        ("fetch_market_index_data", (["^GSPC"],), {"start": "yesterday"}),
    ],
)
def test_impossible_arguments_are_refused_without_a_broker(job: str, arguments: Any, named: Any) -> None:
    with pytest.raises(UsageError):
        getattr(tasks, job).delay(*arguments, **named)


@pytest.mark.integration
@pytest.mark.usefixtures("process")
def test_a_dispatch_that_is_delivered_again_finds_its_run_and_sends_nothing(
    outgoing: Outgoing, database: Database
) -> None:
    run = str(uuid4())
    first = tasks.fetch_market_data(["AAPL", "MSFT", "AAPL"], run_id=run)
    assert first == {"run_id": run, "items": 2}
    assert [item.instrument.symbol for item in outgoing.items] == ["AAPL", "MSFT"]
    assert tasks.fetch_market_data(["AAPL", "MSFT"], run_id=run) == {"run_id": run, "items": 0, "repeated": True}
    assert len(outgoing.items) == 2
    with database.connection() as conn:
        assert len(runs.newest_runs(conn, 10)) == 1


@pytest.mark.integration
@pytest.mark.usefixtures("process")
@pytest.mark.usefixtures("outgoing")
def test_a_caller_is_told_that_the_prices_are_simulated(database: Database) -> None:
    admit(database, simulated=True)
    told = tasks.fetch_market_data(["AAPL"])
    assert told["simulated"] is True
    assert tasks.fetch_market_data(["AAPL"], run_id=told["run_id"])["simulated"] is True


@pytest.mark.integration
@pytest.mark.usefixtures("process")
def test_a_dispatch_that_was_cut_off_enqueues_what_nobody_has_begun(
    outgoing: Outgoing, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker was killed while it enqueued: the items waited for their deadlines before."""
    run = str(uuid4())
    tasks.fetch_market_data(["AAPL", "MSFT"], run_id=run)
    with database.connection() as conn:
        conn.execute("UPDATE fintrack.run_items SET attempts = 1 WHERE id = %s", (outgoing.items[0].id,))
    request = tasks.fetch_market_data.request
    monkeypatch.setattr(request, "delivery_info", {"redelivered": True}, raising=False)
    assert tasks.fetch_market_data(["AAPL", "MSFT"], run_id=run)["items"] == 1
    assert [(item.instrument.symbol, item.generation) for item in outgoing.items[2:]] == [
        ("MSFT", outgoing.items[1].generation + 1)
    ]
    with database.connection() as conn:
        assert run_items.begin(conn, outgoing.items[1]).stale
        assert not run_items.begin(conn, outgoing.items[2]).stale


@pytest.mark.integration
@pytest.mark.usefixtures("process")
def test_a_dispatch_that_comes_again_leaves_alone_what_waits_already(
    outgoing: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its acknowledgement was lost again and again: each time the whole run came anew, behind stale messages."""
    run = str(uuid4())
    tasks.fetch_market_data(["AAPL", "MSFT"], run_id=run)
    waiting = [
        {"body": base64.b64encode(json.dumps([[item.to_message(), ""], {}, {}]).encode())}
        for item in outgoing.items[:1]
    ]
    monkeypatch.setattr(orphaned_items, "_messages", lambda *_: iter(waiting))
    monkeypatch.setattr(tasks.fetch_market_data.request, "delivery_info", {"redelivered": True}, raising=False)
    assert tasks.fetch_market_data(["AAPL", "MSFT"], run_id=run)["items"] == 1
    assert [item.instrument.symbol for item in outgoing.items[2:]] == ["MSFT"]


@pytest.mark.integration
@pytest.mark.usefixtures("process")
def test_a_tick_that_is_delivered_again_does_not_take_its_own_run_for_another(
    outgoing: Outgoing, database: Database
) -> None:
    with database.connection() as conn:
        instruments.add(conn, [Instrument.of("AAPL")])
    run = str(uuid4())
    tasks.fetch_market_data(scheduled=True, run_id=run)
    assert tasks.fetch_market_data(scheduled=True, run_id=run) == {"run_id": run, "items": 0, "repeated": True}
    assert len(outgoing.items) == 1


@pytest.mark.integration
@pytest.mark.usefixtures("process")
def test_a_tick_that_finds_its_job_still_running_is_recorded_as_skipped(outgoing: Outgoing, database: Database) -> None:
    with database.connection() as conn:
        instruments.add(conn, [Instrument.of("AAPL")])
    tasks.fetch_market_data(["MSFT"])  # started by a person: it holds no tick back
    assert "skipped" not in tasks.fetch_market_data(scheduled=True)
    skipped = tasks.fetch_market_data(scheduled=True)
    assert skipped["skipped"] is True
    assert len(outgoing.items) == 2
    with database.connection() as conn:
        newest = {str(run.run_id): run for run in runs.newest_runs(conn, 10)}[skipped["run_id"]]
    assert newest.state == "skipped"
    assert "still going on" in str(newest.reason)
    # Another job is not held back by it.
    assert tasks.fetch_market_index_data(["^GSPC"], scheduled=True, end="2018-01-01")["items"] == 1


@pytest.mark.integration
@pytest.mark.usefixtures("process")
def test_a_run_with_nothing_to_do_ends_at_once(outgoing: Outgoing, database: Database) -> None:
    assert tasks.fetch_market_data()["items"] == 0  # nothing is registered
    with database.connection() as conn:
        [closed] = finish_runs(conn, datetime.now(tz=UTC))
    assert (closed.state, closed.items) == ("finished", 0)
