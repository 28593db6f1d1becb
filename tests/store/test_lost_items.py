"""Items that are overdue are enqueued again, once each, and given up in the end."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from fintrack_tasks.store import Database, lost_items, run_items
from fintrack_tasks.store.payloads import Payload
from tests.store.items import NOW, make_run

pytestmark = pytest.mark.integration

ANSWER = Payload.of("coinbase", "/products/BTC-USD/ticker", 200, {"content-type": "application/json"}, b'{"a":1}', NOW)


def test_a_deferred_item_comes_when_its_time_has_come_and_does_not_count_as_lost(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["AAPL"])
    now = NOW
    for _ in range(lost_items.MOST_LOSSES + 2):
        run_items.defer(conn, item, now + timedelta(hours=20))
        assert lost_items.overdue(conn, now + timedelta(hours=19), 60, 10) == ([], [])
        now += timedelta(hours=21)
        [again], given_up = lost_items.overdue(conn, now, 60, 10)
        assert given_up == []
        assert again.generation > item.generation
        item = again


def test_overdue_items_are_given_out_once_with_doubling_deadlines_and_then_given_up(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["AAPL"])
    now = NOW + timedelta(seconds=61)
    for generation in range(1, lost_items.MOST_LOSSES + 1):
        [again], [] = lost_items.overdue(conn, now, 60, 10)
        assert again.generation == generation
        assert again.resume
        assert lost_items.overdue(conn, now, 60, 10) == ([], [])
        wait = timedelta(seconds=60 * 2**generation)
        assert lost_items.overdue(conn, now + wait - timedelta(seconds=1), 60, 10) == ([], [])
        now += wait + timedelta(seconds=1)
    [], [given_up] = lost_items.overdue(conn, now, 60, 10)
    assert given_up.id == item.id


def test_two_reconcilers_at_once_get_different_items(database: Database) -> None:
    with database.connection() as one, database.connection() as two:
        _, items = make_run(one, [f"S{n}" for n in range(6)])
        later = NOW + timedelta(hours=1)
        with one.transaction():
            first, _ = lost_items.overdue(one, later, 60, 4)
            second, _ = lost_items.overdue(two, later, 60, 4)
        assert len(first) == 4
        assert {i.id for i in first}.isdisjoint(i.id for i in second)
        assert {i.id for i in (*first, *second)} == {i.id for i in items}
