"""Counts of the main tables and the summary of each instrument, from a real database."""

from __future__ import annotations

import psycopg
import pytest

from fintrack_tasks.domain import Kind
from fintrack_tasks.queries.overview import by_instrument, totals
from tests.store.items import DAY, NOW, make_run

pytestmark = pytest.mark.integration


def test_an_instrument_without_data_is_left_out_and_others_have_their_newest_quote(conn: psycopg.Connection) -> None:
    _, [own, _] = make_run(conn, ["AAPL", "MSFT"], Kind.QUOTE)
    for price, at in ((1, NOW - DAY), (2, NOW)):
        conn.execute(
            "INSERT INTO fintrack.quotes (instrument_id, timestamp, source, price, currency, item_id, received_at)"
            " VALUES (%s, %s, 'finnhub', %s, 'USD', %s, %s)",
            (own.instrument_id, at, price, own.id, NOW),
        )

    assert totals(conn) == {"quotes": 2, "bars": 0, "index_indicators": 0}
    [row] = by_instrument(conn)
    assert (row["symbol"], row["price"], row["quoted_at"], row["source"]) == ("AAPL", 2, NOW, "finnhub")
    assert (row["daily_bars"], row["first_bar"], row["indicators"]) == (0, None, 0)
