"""Raw answers are kept whole under the hash of their content."""

from __future__ import annotations

import psycopg
import pytest

from fintrack_tasks.errors import StoreError
from fintrack_tasks.store import payloads, run_items
from fintrack_tasks.store.payloads import Payload
from tests.store.items import NOW, make_run

pytestmark = pytest.mark.integration

ANSWER = Payload.of("coinbase", "/products/BTC-USD/ticker", 200, {"content-type": "application/json"}, b'{"a":1}', NOW)


def test_a_damaged_answer_is_not_taken_for_the_real_one(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["AAPL"])
    run_items.keep_answer(conn, item, ANSWER)
    other = Payload.of("coinbase", "/", 200, {}, b'{"a":2}', NOW)
    conn.execute("UPDATE fintrack.payloads SET body = %s, size = 7", (other.columns()[5],))
    with pytest.raises(StoreError, match="not what its hash says"):
        payloads.get(conn, ANSWER.sha256)
    conn.execute("UPDATE fintrack.payloads SET body = %s", (b"rubbish",))
    with pytest.raises(StoreError, match="damaged"):
        payloads.get(conn, ANSWER.sha256)
    with pytest.raises(StoreError, match="not kept"):
        payloads.get(conn, b"\0" * 32)
