"""Corporate actions as a person sees them, from a real database."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import psycopg
import pytest

from fintrack_tasks.domain import Kind
from fintrack_tasks.queries.corporate_actions import factors_after, splits_between
from tests.store.items import NOW, make_run

pytestmark = pytest.mark.integration


def add(conn: psycopg.Connection, instrument_id: int, day: str, kind: str, **values: object) -> None:
    given = {"numerator": None, "denominator": None, "amount": None, "currency": None, **values}
    conn.execute(
        "INSERT INTO fintrack.corporate_actions (instrument_id, ex_date, kind, effective_at, numerator, denominator,"
        " amount, currency, source, item_id, first_seen, changed_at) SELECT %(instrument)s, %(day)s::date, %(kind)s,"
        " %(day)s::date, %(numerator)s, %(denominator)s, %(amount)s, %(currency)s, 'yahoo_finance', id, %(now)s,"
        " %(now)s FROM fintrack.run_items WHERE instrument_id = %(instrument)s",
        {"instrument": instrument_id, "day": day, "kind": kind, "now": NOW, **given},
    )


def test_splits_come_by_ex_date_without_the_first_day_and_with_the_last(conn: psycopg.Connection) -> None:
    _, [own, other] = make_run(conn, ["AAPL", "MSFT"], Kind.QUOTE)
    for day in ("2020-08-31", "2014-06-09", "2005-02-28"):
        add(conn, own.instrument_id, day, "split", numerator=2, denominator=1)
    add(conn, own.instrument_id, "2015-01-02", "dividend", amount=1, currency="USD")
    add(conn, other.instrument_id, "2015-01-05", "split", numerator=2, denominator=1)

    found = splits_between(conn, own.instrument_id, date(2005, 2, 28), date(2020, 8, 31))

    assert found == [date(2014, 6, 9), date(2020, 8, 31)]


def test_actions_after_a_day_come_with_their_factors(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["AAPL"], Kind.QUOTE)
    add(conn, item.instrument_id, "2020-08-31", "split", numerator=4, denominator=1)
    add(conn, item.instrument_id, "2014-06-09", "split", numerator=7, denominator=1)

    [split] = factors_after(conn, item.instrument_id, date(2014, 6, 9))

    assert (split["ex_date"], split["split_factor"], split["dividend_factor"]) == (
        date(2020, 8, 31),
        Decimal("0.25"),
        1,
    )
