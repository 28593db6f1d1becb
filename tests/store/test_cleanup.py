"""Cleaning removes what has served its time and nothing that can still be replayed."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from fintrack_tasks.domain import ItemState
from fintrack_tasks.store import outbox, payloads, run_items
from fintrack_tasks.store.cleanup import clean
from fintrack_tasks.store.payloads import Payload
from fintrack_tasks.store.quotes import load_quote
from tests.store.items import NOW, event, make_run, quote

pytestmark = pytest.mark.integration


def test_published_events_and_old_answers_go_and_those_of_failed_items_stay(conn: psycopg.Connection) -> None:
    _, [loaded, failed] = make_run(conn, ["AAPL", "MSFT"])
    good, bad = (Payload.of("p", "/", 200, {}, body, NOW) for body in (b"good", b"bad"))
    run_items.keep_answer(conn, loaded, good)
    run_items.keep_answer(conn, failed, bad)
    load_quote(conn, loaded, quote(loaded), event(loaded), NOW)
    run_items.finish(conn, failed, ItemState.FAILED, "malformed", "", None, NOW, event(failed))
    [(first, _), _] = outbox.pending(conn, 10)
    outbox.mark_published(conn, [first], NOW)

    assert clean(conn, NOW + timedelta(days=1)) == {"outbox": 0, "payloads": 0}
    assert clean(conn, NOW + timedelta(days=100)) == {"outbox": 1, "payloads": 1}
    assert outbox.lag(conn) == 1
    assert payloads.get(conn, bad.sha256).body == b"bad"
    assert conn.execute("SELECT count(*) FROM market_data").fetchone() == (1,)
