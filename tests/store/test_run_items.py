"""An item ends once, older messages of it are stale, and nothing of its attempts is forgotten."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from fintrack_tasks.domain import ItemState, Kind
from fintrack_tasks.queries import runs
from fintrack_tasks.store import lost_items, outbox, payloads, run_items
from fintrack_tasks.store.payloads import Payload
from fintrack_tasks.store.quotes import load_quote
from fintrack_tasks.store.runs import finish_runs
from tests.store.items import NOW, event, make_run, quote

pytestmark = pytest.mark.integration

ANSWER = Payload.of("coinbase", "/products/BTC-USD/ticker", 200, {"content-type": "application/json"}, b'{"a":1}', NOW)


def state(conn: psycopg.Connection, item_id: object) -> tuple[object, ...]:
    row = conn.execute("SELECT state, reason, generation FROM fintrack.run_items WHERE id = %s", (item_id,)).fetchone()
    assert row is not None
    return tuple(row)


def test_a_message_works_on_its_item_until_it_ended_or_a_newer_one_was_sent(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["AAPL"])
    assert not run_items.begin(conn, item).stale
    [again], [] = lost_items.overdue(conn, NOW + timedelta(hours=1), 60, 10)
    assert again.generation == 1
    assert run_items.begin(conn, item).stale
    assert not run_items.begin(conn, again).stale
    assert load_quote(conn, again, quote(again), event(again), NOW)
    assert run_items.begin(conn, again).stale


def test_a_kept_answer_is_found_again_by_the_message_that_resumes(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["BTC-USD"])
    run_items.keep_answer(conn, item, ANSWER)
    assert run_items.begin(conn, item).payload is None
    [again], [] = lost_items.overdue(conn, NOW + timedelta(hours=1), 60, 10)
    begin = run_items.begin(conn, again)
    assert begin.payload is not None
    assert (begin.payload.body, begin.payload.status, begin.provider) == (b'{"a":1}', 200, "coinbase")


def test_an_attempt_without_rows_forgets_the_answer_for_resuming_but_keeps_it_in_the_log(
    conn: psycopg.Connection,
) -> None:
    run, [item] = make_run(conn, ["BTC-USD"])
    run_items.keep_answer(conn, item, ANSWER)
    until = NOW + timedelta(seconds=40)
    said = run_items.note_attempt(conn, item, "coinbase", "quota", "429 Too Many Requests", NOW, until)
    run_items.extend_deadline(conn, item, NOW, 300)
    [row] = runs.items_of_run(conn, run)
    assert (row["state"], row["payload"], row["attempts"]) == ("queued", None, 1)
    assert row["attempt_log"][0]["reason"] == "quota"
    assert row["attempt_log"][0]["payload"] == ANSWER.sha256.hex()
    assert row["attempt_log"][0]["until"] == until.isoformat()
    assert said == row["attempt_log"]
    assert lost_items.overdue(conn, NOW + timedelta(seconds=299), 60, 10) == ([], [])
    assert payloads.get(conn, ANSWER.sha256).body == ANSWER.body


def test_an_item_ends_once_and_a_failed_one_is_a_dead_letter_with_its_event(conn: psycopg.Connection) -> None:
    run, [item] = make_run(conn, ["UNKNOWN1"])
    told = event(item)
    assert run_items.finish(conn, item, ItemState.FAILED, "unknown_symbol", "not known", "yahoo_finance", NOW, told)
    assert not run_items.finish(conn, item, ItemState.FAILED, "internal_error", "later", None, NOW, event(item))
    assert not load_quote(conn, item, quote(item), event(item), NOW)
    assert state(conn, item.id) == ("failed", "unknown_symbol", 0)
    assert conn.execute("SELECT reason FROM fintrack.dead_letters").fetchall() == [("unknown_symbol",)]
    assert [e.id for _, e in outbox.pending(conn, 10)] == [told.id]
    [closed] = finish_runs(conn, NOW)
    assert (closed.run_id, closed.state, closed.failed) == (run, "failed", 1)


def test_an_items_identity_survives_the_ledger(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["^GSPC"], Kind.BARS)
    [again], [] = lost_items.overdue(conn, NOW + timedelta(hours=1), 60, 10)
    assert (again.id, again.kind, again.instrument, again.interval, again.window) == (
        item.id,
        item.kind,
        item.instrument,
        item.interval,
        item.window,
    )
