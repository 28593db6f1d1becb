"""After a worker's death the items that have no message are found, and no others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import redis
from celery import Celery
from kombu import Queue

from fintrack_tasks.domain import Item, Kind
from fintrack_tasks.tasks import base, orphaned_items, unacknowledged
from tests.store.items import make_run

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("process")]

OLD = timedelta(minutes=1)


@pytest.fixture
def app(celery_app: Celery, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """An application with a prefix of its own, whose workers' holders and deaths no other test sees."""
    prefix = f"test:{uuid4().hex[:12]}:"
    celery_app.conf.broker_transport_options = {"global_keyprefix": prefix, "priority_steps": [0, 5]}
    celery_app.conf.task_queues = [Queue("etl", exchange="etl", routing_key="etl")]
    monkeypatch.setattr(unacknowledged, "HOLDERS", f"{prefix}holders")
    monkeypatch.setattr(orphaned_items, "_DEATH", f"{prefix}death")
    monkeypatch.setattr(orphaned_items, "_BETWEEN", 0.0)
    yield celery_app
    for key in broker.scan_iter(f"{prefix}*"):
        broker.delete(key)


def send(app: Celery, arguments: list[Any], named: dict[str, Any] | None = None, priority: int = 5) -> None:
    with app.connection_for_write() as connection:
        queue = app.conf.task_queues[0]
        connection.Producer().publish(
            [arguments, named or {}, {}], exchange="etl", routing_key="etl", declare=[queue], priority=priority,
            headers={"id": str(uuid4()), "task": "fintrack.validate"},
        )  # fmt: skip


def hold_one(app: Celery, client: redis.Redis) -> Any:
    """A living worker's connection takes one message; it is returned so that it stays open."""
    holder = unacknowledged.name_holder("living@here")
    client.zadd(unacknowledged.HOLDERS, {holder: 1})
    options = {**app.conf.broker_transport_options, **unacknowledged.key_names(holder)}
    connection = app.connection_for_read(transport_options=options)
    taken: list[Any] = []
    with connection.Consumer(app.conf.task_queues, on_message=taken.append):
        while not taken:
            connection.drain_events(timeout=5)
    return connection


def die(client: redis.Redis) -> None:
    client.set(orphaned_items._DEATH, 1)


def test_what_waits_or_is_held_is_left_alone_and_what_nobody_has_comes_again(
    app: Celery, broker: redis.Redis, conn: psycopg.Connection
) -> None:
    _, [held, waiting, first, lost] = make_run(
        conn, ["AAPL", "MSFT", "IBM", "GE"], Kind.QUOTE, now=base.utc_now() - OLD
    )
    send(app, [[held.to_message(), {}, "signature"]])
    connection = hold_one(app, broker)
    send(app, [[waiting.to_message(), {}, "signature"]])
    send(app, [first.to_message(), "signature"], priority=0)
    prefix = app.conf.broker_transport_options["global_keyprefix"]
    broker.lpush(f"{prefix}etl", b"no message", b"{}", json.dumps([1]))
    [holder] = broker.zrange(unacknowledged.HOLDERS, 0, -1)
    key = f"{prefix}{unacknowledged.key_names(holder.decode())['unacked_key']}"
    broker.hset(key, mapping={"1": b"no message", "2": b"{}", "3": b"[]", "4": b"5"})
    die(broker)
    [found] = orphaned_items.seek(app, broker, 120.0)
    assert (found.id, found.generation, found.resume) == (lost.id, 1, True)
    assert conn.execute("SELECT losses FROM fintrack.run_items WHERE id = %s", (lost.id,)).fetchone() == (0,)
    connection.close()


def test_without_a_death_nobody_looks_and_one_death_is_looked_at_once(
    app: Celery, broker: redis.Redis, conn: psycopg.Connection
) -> None:
    make_run(conn, ["AAPL"], Kind.QUOTE, now=base.utc_now() - OLD)
    assert orphaned_items.seek(app, broker, 120.0) == []
    die(broker)
    assert len(orphaned_items.seek(app, broker, 120.0)) == 1
    assert orphaned_items.seek(app, broker, 120.0) == []


def test_a_run_whose_dispatch_is_on_its_way_and_what_is_just_planned_or_deferred_are_left_alone(
    app: Celery, broker: redis.Redis, conn: psycopg.Connection
) -> None:
    run, _ = make_run(conn, ["AAPL"], Kind.QUOTE, now=base.utc_now() - OLD)
    make_run(conn, ["MSFT"], Kind.QUOTE, now=base.utc_now())
    _, [later] = make_run(conn, ["IBM"], Kind.QUOTE, now=base.utc_now() - OLD)
    conn.execute("UPDATE fintrack.run_items SET deferred = true WHERE id = %s", (later.id,))
    send(app, [], {"symbols": ["AAPL"], "run_id": str(run)})
    die(broker)
    assert orphaned_items.seek(app, broker, 120.0) == []


def test_a_death_brings_the_next_reconcile_at_once_and_only_one(
    app: Celery, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(app, "send_task", sent.append)
    for _ in range(3):
        orphaned_items.note_death(app, broker)
    assert sent == ["fintrack.reconcile"]


def test_more_open_items_than_can_be_looked_for_are_left_to_their_deadlines(
    app: Celery, broker: redis.Redis, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphaned_items, "_MOST_ITEMS", 1)
    items: list[Item] = make_run(conn, ["AAPL", "MSFT"], Kind.QUOTE, now=base.utc_now() - OLD)[1]
    die(broker)
    assert orphaned_items.seek(app, broker, 120.0) == []
    assert {generation for (generation,) in conn.execute("SELECT generation FROM fintrack.run_items")} == {0}
    assert len(items) == 2
