"""Following runs: their own events are waited for and no others, as long as something can still bring them on."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from fintrack_tasks.cli.run_progress import Patience, RunProgress, follow
from fintrack_tasks.connections import Connections
from fintrack_tasks.domain import Event, ItemState, uuid7
from fintrack_tasks.errors import OutageError
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import outbox, run_items, runs
from fintrack_tasks.store.runs import RunSummary
from tests.store.items import make_run

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NOWHERE = "127.0.0.1:1"


def summary(items: int = 2, loaded: int = 0, *, closed: bool = False) -> RunSummary:
    queued = items - loaded
    return RunSummary(
        UUID(int=1), "fetch_market_data", "running", None, NOW, NOW if closed else None,
        items, queued, 0, loaded, 0, 0, 0,
    )  # fmt: skip


def seen(loaded: int = 0, due: float | None = None, waiting: int = 0, oldest: int | None = None) -> RunProgress:
    """Two items, so many of them loaded; the first of the others is enqueued again after so many seconds."""
    at = None if due is None else NOW + timedelta(seconds=due)
    return RunProgress(1, {UUID(int=1): summary(loaded=loaded)}, waiting, oldest, at)


def over_after(patience: Patience, state: RunProgress, seconds: float) -> bool:
    return patience.is_over(state, seconds, NOW + timedelta(seconds=seconds))


# --- patience, without a clock


def test_an_item_that_was_lost_is_waited_for_until_reconcile_has_enqueued_it_again() -> None:
    patience, lost = Patience(deadline=120, began=0), seen(due=120)
    assert not over_after(patience, lost, 61)
    assert not over_after(patience, lost, 180)  # its deadline and a whole minute of the schedule
    again = seen(due=180 + 240)
    assert not over_after(patience, again, 181)
    assert not over_after(patience, again, 480)  # it was lost again: the second deadline is twice as long
    assert over_after(patience, again, 500)


def test_an_item_that_waits_for_a_quota_is_waited_for() -> None:
    patience, deferred = Patience(deadline=120, began=0), seen(due=6 * 3600)
    assert not over_after(patience, deferred, 5 * 3600)
    assert not over_after(patience, deferred, 6 * 3600 + 60)
    assert over_after(patience, deferred, 6 * 3600 + 90)


def test_a_run_that_nobody_begins_is_given_up() -> None:
    patience, nothing = Patience(deadline=120, began=0), RunProgress(1)
    assert not over_after(patience, nothing, 1)
    assert not over_after(patience, nothing, 190)
    assert over_after(patience, nothing, 200)


def test_each_change_begins_the_wait_anew() -> None:
    patience = Patience(deadline=5, began=0)
    assert not over_after(patience, seen(loaded=0), 79)
    assert not over_after(patience, seen(loaded=1), 81)
    assert not over_after(patience, seen(loaded=1), 160)
    assert over_after(patience, seen(loaded=1), 162)


def test_kafka_is_doubted_when_the_outbox_stands_still_after_the_last_item() -> None:
    patience = Patience(deadline=120, began=0, silence=10)
    assert not patience.doubts_kafka(seen(loaded=1, waiting=1, oldest=7), 60)  # an item is still on its way
    assert not patience.doubts_kafka(seen(loaded=2, waiting=2, oldest=7), 61)
    assert not patience.doubts_kafka(seen(loaded=2, waiting=2, oldest=7), 70)
    assert patience.doubts_kafka(seen(loaded=2, waiting=2, oldest=7), 70.5)
    assert not patience.doubts_kafka(seen(loaded=2, waiting=2, oldest=7), 75)  # it has just been asked
    assert not patience.doubts_kafka(seen(loaded=2, waiting=2, oldest=8), 90)  # others' events leave: ours will
    assert not patience.doubts_kafka(seen(loaded=2, waiting=2, oldest=8), 99)


# --- in a real ledger


def write_run(conn: psycopg.Connection, *, closed: bool = True, events: int = 0) -> UUID:
    """A run whose two items have ended, with so many events of it in the outbox."""
    now = datetime.now(tz=UTC)
    run, items = make_run(conn, ["AAPL", "BTC-USD"], now=now)
    for item in items:
        run_items.finish(conn, item, ItemState.EMPTY, "empty", "", "yahoo_finance", now)
    if closed:
        runs.finish_runs(conn, now)
    for _ in range(events):
        outbox.add(conn, Event(uuid7(time.time()), "market-data", "AAPL", '{"type":"x"}', run), now)
    return run


@pytest.fixture
def cut_off(database_settings: Settings) -> Connections:
    """Connections whose Kafka is not there."""
    return Connections(database_settings.model_copy(update={"kafka_bootstrap_servers": NOWHERE}))


@pytest.mark.integration
def test_events_of_other_runs_are_not_waited_for(conn: psycopg.Connection, cut_off: Connections) -> None:
    write_run(conn, events=3)
    run = write_run(conn)
    began = time.monotonic()
    followed = follow(cut_off, [run], timeout=30)
    cut_off.close()
    assert time.monotonic() - began < 25  # it would have waited for all of the 30 seconds
    assert followed.complete
    assert followed.outage is None


@pytest.mark.integration
def test_events_that_stay_are_counted_and_kafka_is_named(conn: psycopg.Connection, cut_off: Connections) -> None:
    write_run(conn, events=3)
    run = write_run(conn, events=2)
    followed = follow(cut_off, [run], timeout=60, silence=0.5)
    cut_off.close()
    assert followed.ended
    assert not followed.complete
    assert isinstance(followed.outage, OutageError)
    assert str(followed.outage) == (
        f"Kafka does not answer at {NOWHERE}; 2 events wait in the outbox and go out when it is back;"
        " start it with: fintrack up --detach"
    )


@pytest.mark.integration
def test_a_time_out_that_comes_first_names_kafka_too(conn: psycopg.Connection, cut_off: Connections) -> None:
    run = write_run(conn, closed=False, events=1)
    followed = follow(cut_off, [run], timeout=0.5)
    cut_off.close()
    assert followed.outage is not None
    assert "1 event waits in the outbox and goes out when it is back" in str(followed.outage)


@pytest.mark.integration
def test_kafka_is_not_blamed_while_it_answers(conn: psycopg.Connection, database_settings: Settings) -> None:
    run = write_run(conn, events=1)
    connections = Connections(database_settings)
    followed = follow(connections, [run], timeout=2, silence=0.5)
    connections.close()
    assert followed.outage is None
    assert not followed.complete
