"""What several providers said of one item is kept until it is combined."""

from __future__ import annotations

import threading
from dataclasses import replace

import psycopg
import pytest

from fintrack_tasks.domain import Batch
from fintrack_tasks.store import Database, provider_quotes
from tests.store.items import make_run, quote

pytestmark = pytest.mark.integration


def said(batch: Batch, source: str, price: str) -> Batch:
    return replace(batch.with_columns(price=[price]), source=source)


def test_opinions_come_back_as_they_were_by_the_providers_names(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["BTC-USD"])
    batch = quote(item, "75.0875015258789", bid="0.000000059", volume=None)
    assert provider_quotes.held(conn, item) == []
    assert provider_quotes.add(conn, item, said(batch, "yahoo_finance", "246.28000000")) == [
        said(batch, "yahoo_finance", "246.28000000")
    ]
    both = [said(batch, "coinbase", "246.3"), said(batch, "yahoo_finance", "246.28000000")]
    assert provider_quotes.add(conn, item, both[0]) == both
    assert provider_quotes.held(conn, item) == both


def test_a_provider_that_is_asked_twice_has_one_opinion_its_newest(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["BTC-USD"])
    batch = quote(item)
    provider_quotes.add(conn, item, said(batch, "coinbase", "1"))
    assert provider_quotes.add(conn, item, said(batch, "coinbase", "2")) == [said(batch, "coinbase", "2")]


def test_items_do_not_share_opinions_and_take_theirs_with_them(conn: psycopg.Connection) -> None:
    _, [first, second] = make_run(conn, ["BTC-USD", "ETH-USD"])
    provider_quotes.add(conn, first, quote(first))
    provider_quotes.add(conn, second, quote(second))
    conn.execute("DELETE FROM fintrack.run_items WHERE id = %s", (first.id,))
    assert provider_quotes.held(conn, first) == []
    assert provider_quotes.held(conn, second) == [quote(second)]


def test_two_that_answer_at_once_are_both_heard(database: Database) -> None:
    with database.connection() as conn:
        _, [item] = make_run(conn, ["BTC-USD"])
    most: list[int] = []

    def work(source: str) -> None:
        with database.connection() as mine:
            most.append(len(provider_quotes.add(mine, item, said(quote(item), source, "1"))))

    threads = [threading.Thread(target=work, args=(f"p{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.connection() as conn:
        assert len(provider_quotes.held(conn, item)) == 4
    assert max(most) == 4
