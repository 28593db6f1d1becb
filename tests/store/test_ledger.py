"""The ledger: an item ends once, older messages are stale, what is overdue comes back, and nothing is forgotten."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from fintrack_tasks.domain import ItemState, Kind
from fintrack_tasks.errors import StoreError
from fintrack_tasks.queries import runs
from fintrack_tasks.store import Database, ledger, outbox, payloads
from fintrack_tasks.store.payloads import Payload
from fintrack_tasks.store.quotes import load_quote
from tests.store.items import NOW, event, make_run, quote

pytestmark = pytest.mark.integration

ANSWER = Payload.of("coinbase", "/products/BTC-USD/ticker", 200, {"content-type": "application/json"}, b'{"a":1}', NOW)


def state(conn: psycopg.Connection, item_id: object) -> tuple[object, ...]:
    row = conn.execute("SELECT state, reason, generation FROM fintrack.run_items WHERE id = %s", (item_id,)).fetchone()
    assert row is not None
    return tuple(row)


def test_a_run_is_written_with_its_items_or_not_at_all(conn: psycopg.Connection) -> None:
    run, items = make_run(conn, ["AAPL", "MSFT"])
    summary = ledger.run_summary(conn, run)
    assert summary is not None
    assert (summary.items, summary.queued, summary.state) == (2, 2, "running")
    with pytest.raises(psycopg.errors.UniqueViolation):
        ledger.create_run(conn, uuid4(), "fetch_market_data", {}, items, NOW, NOW)
    assert len(runs.newest_runs(conn, 10)) == 1


def test_a_message_works_on_its_item_until_it_ended_or_a_newer_one_was_sent(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["AAPL"])
    assert not ledger.begin(conn, item).stale
    [again], [] = ledger.overdue(conn, NOW + timedelta(hours=1), 60, 10)
    assert again.generation == 1
    assert ledger.begin(conn, item).stale
    assert not ledger.begin(conn, again).stale
    assert load_quote(conn, again, quote(again), event(again), NOW)
    assert ledger.begin(conn, again).stale


def test_a_kept_answer_is_found_again_by_the_message_that_resumes(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["BTC-USD"])
    ledger.fetched(conn, item, ANSWER)
    assert ledger.begin(conn, item).payload is None
    [again], [] = ledger.overdue(conn, NOW + timedelta(hours=1), 60, 10)
    begin = ledger.begin(conn, again)
    assert begin.payload is not None
    assert (begin.payload.body, begin.payload.status, begin.provider) == (b'{"a":1}', 200, "coinbase")


def test_an_attempt_without_rows_forgets_the_answer_for_resuming_but_keeps_it_in_the_log(
    conn: psycopg.Connection,
) -> None:
    run, [item] = make_run(conn, ["BTC-USD"])
    ledger.fetched(conn, item, ANSWER)
    until = NOW + timedelta(seconds=40)
    said = ledger.attempt(conn, item, "coinbase", "quota", "429 Too Many Requests", NOW, until)
    ledger.wait(conn, item, NOW, 300)
    [row] = runs.items_of_run(conn, run)
    assert (row["state"], row["payload"], row["attempts"]) == ("queued", None, 1)
    assert row["attempt_log"][0]["reason"] == "quota"
    assert row["attempt_log"][0]["payload"] == ANSWER.sha256.hex()
    assert row["attempt_log"][0]["until"] == until.isoformat()
    assert said == row["attempt_log"]
    assert ledger.overdue(conn, NOW + timedelta(seconds=299), 60, 10) == ([], [])
    assert payloads.get(conn, ANSWER.sha256).body == ANSWER.body


def test_a_deferred_item_comes_when_its_time_has_come_and_does_not_count_as_lost(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["AAPL"])
    now = NOW
    for _ in range(ledger.MOST_LOSSES + 2):
        ledger.defer(conn, item, now + timedelta(hours=20))
        assert ledger.overdue(conn, now + timedelta(hours=19), 60, 10) == ([], [])
        now += timedelta(hours=21)
        [again], given_up = ledger.overdue(conn, now, 60, 10)
        assert given_up == []
        assert again.generation > item.generation
        item = again


def test_an_item_ends_once_and_a_failed_one_is_a_dead_letter_with_its_event(conn: psycopg.Connection) -> None:
    run, [item] = make_run(conn, ["UNKNOWN1"])
    told = event(item)
    assert ledger.finish(conn, item, ItemState.FAILED, "unknown_symbol", "not known", "yahoo_finance", NOW, told)
    assert not ledger.finish(conn, item, ItemState.FAILED, "internal_error", "later", None, NOW, event(item))
    assert not load_quote(conn, item, quote(item), event(item), NOW)
    assert state(conn, item.id) == ("failed", "unknown_symbol", 0)
    assert conn.execute("SELECT reason FROM fintrack.dead_letters").fetchall() == [("unknown_symbol",)]
    assert [e.id for _, e in outbox.pending(conn, 10)] == [told.id]
    [closed] = ledger.finish_runs(conn, NOW)
    assert (closed.run_id, closed.state, closed.failed) == (run, "failed", 1)


def test_a_run_is_closed_when_its_last_item_ended_and_only_once(conn: psycopg.Connection) -> None:
    run, [first, second] = make_run(conn, ["AAPL", "MSFT"])
    load_quote(conn, first, quote(first), event(first), NOW)
    assert ledger.finish_runs(conn, NOW) == []
    ledger.finish(conn, second, ItemState.FAILED, "malformed", "HTML", None, NOW)
    [closed] = ledger.finish_runs(conn, NOW)
    assert (closed.run_id, closed.state, closed.loaded, closed.failed) == (run, "partial", 1, 1)
    assert ledger.finish_runs(conn, NOW) == []
    assert ledger.running_run(conn, "fetch_market_data", NOW) is None


def test_a_running_job_is_seen_until_it_is_too_old_to_hold_the_next_one_back(conn: psycopg.Connection) -> None:
    run, _ = make_run(conn, ["AAPL"])
    assert ledger.running_run(conn, "fetch_market_data", NOW) is None  # some symbols only
    conn.execute("UPDATE runs SET arguments = '{}'")
    assert ledger.running_run(conn, "fetch_market_data", NOW) == run
    assert ledger.running_run(conn, "fetch_historical_market_data", NOW) is None
    assert ledger.running_run(conn, "fetch_market_data", NOW + timedelta(hours=13)) is None


def test_overdue_items_are_given_out_once_with_doubling_deadlines_and_then_given_up(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["AAPL"])
    now = NOW + timedelta(seconds=61)
    for generation in range(1, ledger.MOST_LOSSES + 1):
        [again], [] = ledger.overdue(conn, now, 60, 10)
        assert again.generation == generation
        assert again.resume
        assert ledger.overdue(conn, now, 60, 10) == ([], [])
        wait = timedelta(seconds=60 * 2**generation)
        assert ledger.overdue(conn, now + wait - timedelta(seconds=1), 60, 10) == ([], [])
        now += wait + timedelta(seconds=1)
    [], [given_up] = ledger.overdue(conn, now, 60, 10)
    assert given_up.id == item.id


def test_two_reconcilers_at_once_get_different_items(database: Database) -> None:
    with database.connection() as one, database.connection() as two:
        _, items = make_run(one, [f"S{n}" for n in range(6)])
        later = NOW + timedelta(hours=1)
        with one.transaction():
            first, _ = ledger.overdue(one, later, 60, 4)
            second, _ = ledger.overdue(two, later, 60, 4)
        assert len(first) == 4
        assert {i.id for i in first}.isdisjoint(i.id for i in second)
        assert {i.id for i in (*first, *second)} == {i.id for i in items}


def test_an_items_identity_survives_the_ledger(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["^GSPC"], Kind.BARS)
    [again], [] = ledger.overdue(conn, NOW + timedelta(hours=1), 60, 10)
    assert (again.id, again.kind, again.instrument, again.interval, again.window) == (
        item.id,
        item.kind,
        item.instrument,
        item.interval,
        item.window,
    )


def test_a_damaged_answer_is_not_taken_for_the_real_one(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["AAPL"])
    ledger.fetched(conn, item, ANSWER)
    other = Payload.of("coinbase", "/", 200, {}, b'{"a":2}', NOW)
    conn.execute("UPDATE fintrack.payloads SET body = %s, size = 7", (other.columns()[5],))
    with pytest.raises(StoreError, match="not what its hash says"):
        payloads.get(conn, ANSWER.sha256)
    conn.execute("UPDATE fintrack.payloads SET body = %s", (b"rubbish",))
    with pytest.raises(StoreError, match="damaged"):
        payloads.get(conn, ANSWER.sha256)
    with pytest.raises(StoreError, match="not kept"):
        payloads.get(conn, b"\0" * 32)
