"""The times that ``fintrack explain`` names where nothing is stored; what it shows is tested with the command."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from fintrack_tasks.domain import Kind
from fintrack_tasks.queries.explain import explain_values, nearest_time
from tests.store.items import DAY, NOW, make_run

pytestmark = pytest.mark.integration


def test_the_nearest_time_is_before_or_after_and_none_where_nothing_is_stored(conn: psycopg.Connection) -> None:
    _, [item, other] = make_run(conn, ["AAPL", "MSFT"], Kind.QUOTE)
    for at in (NOW, NOW + DAY):
        conn.execute(
            "INSERT INTO fintrack.quotes (instrument_id, timestamp, source, price, item_id, received_at)"
            " VALUES (%s, %s, 'finnhub', 1, %s, %s)",
            (item.instrument_id, at, item.id, NOW),
        )

    assert nearest_time(conn, item.instrument_id, NOW - 9 * DAY) == NOW
    assert nearest_time(conn, item.instrument_id, NOW + timedelta(hours=11)) == NOW
    assert nearest_time(conn, item.instrument_id, NOW + timedelta(hours=13)) == NOW + DAY
    assert nearest_time(conn, other.instrument_id, NOW) is None
    assert explain_values(conn, other.instrument_id, other.instrument, NOW) == {"bars": [], "quotes": []}
