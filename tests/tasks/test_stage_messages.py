"""Whoever can write to the broker invents no price: what no stage of ours handed on is told, and stores nothing."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from fintrack_tasks.connections import Connections
from fintrack_tasks.domain import Item, Kind
from fintrack_tasks.store import lost_items
from fintrack_tasks.tasks import base, ingest, stage_messages
from tests.store import items as made

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("outgoing")]

STAGES = {"fintrack.validate": ingest.validate, "fintrack.transform": ingest.transform, "fintrack.load": ingest.load}


@pytest.fixture
def item(process: Connections, conn: psycopg.Connection) -> Item:
    [one] = made.make_run(conn, ["BTC-USD"], now=base.utc_now())[1]
    return one


def forged(item: Item, price: str = "666.66") -> list[Any]:
    return [item.to_message(), made.quote(item, price, base.utc_now()).to_message()]


def stored(conn: psycopg.Connection) -> list[tuple[Any, ...]]:
    return conn.execute("SELECT price::text FROM fintrack.quotes").fetchall()


def state(conn: psycopg.Connection, item: Item) -> str:
    row = conn.execute("SELECT state FROM fintrack.run_items WHERE id = %s", (item.id,)).fetchone()
    assert row is not None
    return str(row[0])


def alerts(conn: psycopg.Connection) -> list[tuple[str, str]]:
    return conn.execute("SELECT subject, detail FROM fintrack.alerts WHERE rule = 'forged_message'").fetchall()


def refusals(logs: Any) -> list[Any]:
    return [each for each in logs if (each["event"], each.get("reason")) == ("message_refused", "forged_message")]


EARLIER = {"fintrack.validate": "fintrack.load", "fintrack.transform": "fintrack.validate"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_forged_message_stores_nothing_and_is_told_and_leaves_the_true_item_alone(
    process: Connections, conn: psycopg.Connection, item: Item, stage: str
) -> None:
    link = forged(item)
    of_another_stage = process.signer.sign(EARLIER.get(stage, "fintrack.transform"), *link)
    for more in ([], [None], [""], ["00" * 32], [of_another_stage]):
        with capture_logs() as logs:
            outcome = STAGES[stage].apply(args=([*link, *more],))
        assert outcome.state == "FAILURE"
        [told] = refusals(logs)
        assert told["task"] == stage
        assert "666.66" not in repr(logs)
    assert stored(conn) == []
    assert state(conn, item) == "queued"
    assert conn.execute("SELECT count(*) FROM fintrack.quarantine").fetchone() == (0,)
    letters = "SELECT item_id, task, reason, message LIKE '%%666.66%%' FROM fintrack.dead_letters"
    assert conn.execute(letters).fetchall() == [(None, stage, "forged_message", True)] * 5
    [(subject, detail)] = alerts(conn)
    assert subject == stage
    assert f"item {item.id}" in detail
    assert "666.66" not in detail
    assert conn.execute("SELECT value::jsonb->>'rule' FROM fintrack.outbox").fetchall() == [("forged_message",)]


SHAPES: list[tuple[Any, ...]] = [
    (),
    ([],),
    ({},),
    ([{}],),
    (None,),
    ("text",),
    ([None, None, None],),
    ([[], {}, "x"],),
    ({"id": "\x00\x1b[2J", "symbol": "\ud800"}, "00" * 32),
    ([{"id": 1}, {}, "00" * 32], 2, 3),
]


def test_arguments_of_any_shape_end_as_told_and_never_in_the_handler(
    process: Connections, conn: psycopg.Connection
) -> None:
    tasks = (*STAGES.values(), ingest.fetch_tasks["yahoo_finance"])
    for arguments in SHAPES:
        for task in tasks:
            assert task.apply(args=arguments).state == "FAILURE"
    letters = conn.execute("SELECT task, count(*) FROM fintrack.dead_letters GROUP BY task").fetchall()
    assert sorted(letters) == sorted((task.name, len(SHAPES)) for task in tasks)
    assert stored(conn) == []


def test_a_fetch_that_nobody_sent_asks_no_provider(process: Connections, conn: psycopg.Connection, item: Item) -> None:
    """The item's symbol, instrument and window are those of the ledger: whoever changes one of them is told."""
    task = ingest.fetch_tasks["coinbase"]
    message = item.to_message()
    right = stage_messages.signature_of(message)
    for forgery in ({**message, "symbol": "ETH-USD"}, {**message, "instrument_id": 2}, {**message, "window": [0, 1]}):
        assert task.apply(args=(forgery, right)).state == "FAILURE"
    assert task.apply(args=(message,)).state == "FAILURE"  # as an older version sent it
    assert state(conn, item) == "queued"
    assert conn.execute("SELECT count(*) FROM fintrack.payloads").fetchone() == (0,)


def test_a_message_that_is_ours_goes_through_all_stages_and_a_repeat_of_each_changes_nothing(
    process: Connections, conn: psycopg.Connection, item: Item
) -> None:
    batch = made.quote(item, "246.28000000", base.utc_now(), volume="12.5")
    first = stage_messages.handed_on("fintrack.validate", item.to_message(), batch)
    second = ingest.validate.apply(args=(first,)).result
    third = ingest.transform.apply(args=(second,)).result
    ended = ingest.load.apply(args=(third,)).result
    assert ended["state"] == "loaded"
    assert len(stored(conn)) == 1
    for stage, link in ((ingest.validate, first), (ingest.transform, second), (ingest.load, third)):
        assert stage.apply(args=(link,)).state == "SUCCESS"  # somebody sends again what was there
    assert ingest.load.apply(args=(third,)).result["state"] == "stale"
    assert len(stored(conn)) == 1
    assert conn.execute("SELECT count(*) FROM fintrack.outbox").fetchone() == (1,)
    assert alerts(conn) == []


def test_a_batch_of_one_item_cannot_be_moved_to_another_or_past_the_checks(
    process: Connections, conn: psycopg.Connection, item: Item
) -> None:
    [other] = made.make_run(conn, ["ETH-USD"], now=base.utc_now())[1]
    message, batch, signature = stage_messages.handed_on(
        "fintrack.validate", item.to_message(), made.quote(item, "246.28", base.utc_now())
    )
    for task, link in (
        (ingest.validate, [other.to_message(), batch, signature]),
        (ingest.validate, [message, {**batch, "columns": {**batch["columns"], "price": ["666.66"]}}, signature]),
        (ingest.transform, [message, batch, signature]),
        (ingest.load, [message, batch, signature]),
    ):
        assert task.apply(args=(link,)).state == "FAILURE"
    assert stored(conn) == []
    assert [state(conn, each) for each in (item, other)] == ["queued", "queued"]


def test_no_addition_to_a_true_message_ends_its_item(
    process: Connections, conn: psycopg.Connection, item: Item
) -> None:
    """Somebody sends a message again with an argument of his own, on which the task fails."""
    message, batch = item.to_message(), made.quote(item, "246.28", base.utc_now(), volume="1")
    fetch, signature = ingest.fetch_tasks["coinbase"], stage_messages.signature_of(message)
    for args, kwargs in (
        ((message, signature), {"ticket": "abc"}),
        ((message, signature), {"ticket": ["a", "b"]}),
        ((message, signature), {"more": 1}),
        ((message, signature, ["a", "b"], 4), {}),
    ):
        assert fetch.apply(args=args, kwargs=kwargs).state == "FAILURE"
    link = stage_messages.handed_on("fintrack.load", message, batch)
    for args, kwargs in (((link,), {"more": 1}), ((link, 2), {})):
        assert ingest.load.apply(args=args, kwargs=kwargs).state == "FAILURE"
    assert state(conn, item) == "queued"
    assert {subject for subject, _ in alerts(conn)} == {"fintrack.fetch.coinbase", "fintrack.load"}
    placed = stage_messages.signature_of(message, ["id", "key"])
    assert stage_messages.are_ours("fintrack.fetch.coinbase", [message, placed], {"ticket": ["id", "key"]})


def test_a_failure_without_a_look_at_the_message_does_not_end_the_item_either(
    process: Connections, conn: psycopg.Connection, item: Item
) -> None:
    """A worker's child that was killed, or a time limit, before the body has looked at anything."""
    ingest.load.on_failure(TimeoutError("1 ms"), "forged-2", [forged(item)], {}, None)
    assert state(conn, item) == "queued"
    assert [subject for subject, _ in alerts(conn)] == ["fintrack.load"]


def test_many_forged_messages_are_all_in_the_log_and_few_in_the_table(
    process: Connections, conn: psycopg.Connection, item: Item
) -> None:
    with capture_logs() as logs:
        for _ in range(30):
            ingest.load.apply(args=(forged(item),))
    assert len(refusals(logs)) == 30
    assert len(alerts(conn)) == 1


def test_an_item_whose_message_was_refused_goes_on_by_reconcile(
    process: Connections, conn: psycopg.Connection, item: Item
) -> None:
    """A rolling upgrade: what an older version had sent is refused, and comes again as this version sends it."""
    ingest.fetch_tasks["coinbase"].apply(args=(item.to_message(),))
    again, given_up = lost_items.overdue(conn, base.utc_now() + 10 * made.DAY, 120, 10)
    assert [each.id for each in again] == [item.id]
    assert given_up == []
    assert item.kind is Kind.QUOTE
