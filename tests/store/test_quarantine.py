"""Rejected rows are kept once, each with its rule, and counted on the item that brought them last."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from fintrack_tasks.domain import Batch, Finding, Interval, Item, Kind
from fintrack_tasks.queries.quarantine import newest_rows
from fintrack_tasks.store import Database, quality, quarantine, runs
from tests.store.items import NOW, bars, make_run

pytestmark = pytest.mark.integration

LATER = NOW + timedelta(hours=1)


def item_at(conn: psycopg.Connection, now: Any = NOW, symbol: str = "AAPL") -> Item:
    _, [item] = make_run(conn, [symbol], Kind.BARS, now=now)
    return item


def two(item: Item) -> tuple[Batch, list[Finding]]:
    """Two rows, of which the second broke two rules."""
    return bars(item, ["1", "2"]), [
        Finding("ohlc", "reject", 1, "low above close"),
        Finding("stale_repeat", "reject", 1, "as before"),
    ]


def decide(conn: psycopg.Connection, status: str) -> None:
    with conn.transaction():
        [row] = newest_rows(conn, "held", None, None, 10)
        claimed = quarantine.claim(conn, row.id)
        assert claimed is not None
        quarantine.decide(conn, claimed, status, "ada", NOW)


def counted(conn: psycopg.Connection, item: Item) -> int:
    row = conn.execute("SELECT rows_quarantined FROM fintrack.run_items WHERE id = %s", (item.id,)).fetchone()
    assert row is not None
    return int(row[0])


def test_rejected_rows_are_kept_once_with_their_content(conn: psycopg.Connection) -> None:
    run, [item] = make_run(conn, ["AAPL"], Kind.BARS)
    batch = bars(item, ["1", "-2", "3"])
    findings = [
        Finding("value_ranges", "reject", 1, "close is not positive"),
        Finding("value_ranges", "reject", 1, "nor is open"),
        Finding("ohlc", "reject", 1, "low above close"),
        Finding("timestamps", "flag", 2, "late"),
    ]
    for _ in range(2):
        assert quarantine.add(conn, item, batch, findings, NOW) == 1
    kept = conn.execute("SELECT rule, status, content ->> 'close', detail FROM fintrack.quarantine ORDER BY id")
    assert kept.fetchall() == [
        ("value_ranges", "held", "-2", "close is not positive"),
        ("ohlc", "held", "-2", "low above close"),
    ]
    summary = runs.run_summary(conn, run)
    assert summary is not None
    assert summary.quarantined_rows == 1


def test_two_bad_rows_of_one_time_are_both_kept(conn: psycopg.Connection) -> None:
    item = item_at(conn)
    batch = bars(item, ["1", "2"]).with_columns(timestamp=[0, 0])
    findings = [Finding("duplicates", "reject", row, "conflicting") for row in (0, 1)]
    assert quarantine.add(conn, item, batch, findings, NOW) == 2
    assert conn.execute("SELECT count(*) FROM fintrack.quarantine").fetchone() == (2,)


def test_of_two_bad_rows_that_are_alike_one_is_kept_and_both_are_counted(conn: psycopg.Connection) -> None:
    item = item_at(conn)
    batch = bars(item, ["1", "1"]).with_columns(timestamp=[0, 0])
    assert quarantine.add(conn, item, batch, [Finding("ohlc", "reject", None, "all of it")], NOW) == 2
    assert conn.execute("SELECT row_key FROM fintrack.quarantine").fetchall() == [("AAPL|0|0",)]


def test_a_row_that_comes_again_goes_with_the_item_that_brought_it(conn: psycopg.Connection) -> None:
    first, second = item_at(conn), item_at(conn, LATER)
    batch, findings = two(first)
    quarantine.add(conn, first, replace(batch, meta={"adjusted_to": "2024-05-05"}), findings, NOW)
    [was] = newest_rows(conn, None, None, None, 10)
    assert (was.item_id, was.seen_at, was.meta) == (first.id, NOW, {"adjusted_to": "2024-05-05"})
    again = replace(batch.take([1]), meta={"adjusted_to": "2024-05-06"})
    moved = [replace(finding, row=0) for finding in findings]
    assert quarantine.add(conn, second, again, moved, LATER) == 1
    [now] = newest_rows(conn, None, None, None, 10)
    key = f"AAPL|{batch.columns['timestamp'][1]}|0"
    assert now == replace(was, item_id=second.id, row_key=key, seen_at=LATER, meta={"adjusted_to": "2024-05-06"})
    assert quality.findings(conn, [first.id, second.id]) == {second.id: {"ohlc": {key}, "stale_repeat": {key}}}
    assert (counted(conn, first), counted(conn, second)) == (1, 1)


@pytest.mark.parametrize(("status", "count"), [("released", 0), ("discarded", 1)])
def test_a_row_that_comes_again_keeps_what_was_decided_also_where_it_breaks_one_rule_more(
    conn: psycopg.Connection, status: str, count: int
) -> None:
    first, second = item_at(conn), item_at(conn, LATER)
    batch, findings = two(first)
    quarantine.add(conn, first, batch, findings, NOW)
    decide(conn, status)
    more = [*findings, Finding("unit_error", "reject", 1, "a hundred times")]
    assert quarantine.add(conn, second, batch, more, LATER) == count
    [row] = newest_rows(conn, None, None, None, 10)
    assert (row.status, row.decided_by, row.decided_at, row.item_id) == (status, "ada", NOW, second.id)
    assert row.rules == ["ohlc", "stale_repeat", "unit_error"]
    assert counted(conn, second) == count
    assert len(quality.findings(conn, [second.id]).get(second.id, {})) == 3 * count


def test_a_row_is_the_same_only_in_its_instrument_interval_and_currency(conn: psycopg.Connection) -> None:
    item = item_at(conn)
    batch, findings = two(item)
    quarantine.add(conn, item, batch, findings, NOW)
    decide(conn, "discarded")
    other = item_at(conn, LATER, "MSFT")
    hourly = item_at(conn, LATER)
    conn.execute("UPDATE fintrack.run_items SET interval = '1h' WHERE id = %s", (hourly.id,))
    pence = item_at(conn, LATER)
    for each, told in ((other, batch), (replace(hourly, interval=Interval.H1), batch), (pence, None)):
        quarantine.add(conn, each, told or replace(batch, currency="GBp"), findings, LATER)
    rows = newest_rows(conn, None, None, None, 10)
    assert {row.item_id for row in rows if row.status == "held"} == {other.id, hourly.id, pence.id}
    assert [row.item_id for row in rows if row.status == "discarded"] == [item.id]


def test_an_item_that_has_ended_and_is_delivered_again_does_not_take_a_row_back(conn: psycopg.Connection) -> None:
    first, second = item_at(conn), item_at(conn, LATER)
    batch, findings = two(first)
    for item, now in ((first, NOW), (second, LATER), (first, LATER + timedelta(hours=1))):
        assert quarantine.add(conn, item, batch, findings, now) == 1
        conn.execute("UPDATE fintrack.run_items SET state = 'loaded', finished_at = %s WHERE id = %s", (now, item.id))
    [row] = newest_rows(conn, None, None, None, 10)
    assert (row.item_id, row.seen_at) == (second.id, LATER)


def test_an_item_that_waited_for_days_takes_the_row_that_it_brings(conn: psycopg.Connection) -> None:
    waited, later = item_at(conn), item_at(conn, LATER)
    batch, findings = two(waited)
    for item in (later, waited):
        assert quarantine.add(conn, item, batch, findings, LATER) == 1
    assert [row.item_id for row in newest_rows(conn, None, None, None, 10)] == [waited.id]


def test_what_was_decided_on_one_entry_of_a_row_holds_for_all_when_it_comes_again(conn: psycopg.Connection) -> None:
    """Two items found one rule each before entries moved, and a person saw one of them."""
    first, second, third = (item_at(conn) for _ in range(3))
    batch, findings = two(first)
    quarantine.add(conn, first, batch, findings, NOW)
    conn.execute(
        "UPDATE fintrack.quarantine SET item_id = %s, status = 'discarded', decided_at = %s, decided_by = 'ada'"
        " WHERE rule = 'ohlc'",
        (second.id, NOW),
    )
    assert quarantine.add(conn, third, batch, findings, LATER) == 1
    [row] = newest_rows(conn, None, None, None, 10)
    assert (row.item_id, row.rules, row.status, row.decided_by) == (
        third.id,
        ["ohlc", "stale_repeat"],
        "discarded",
        "ada",
    )


def test_rows_that_were_kept_more_than_once_do_not_stand_in_the_way(conn: psycopg.Connection) -> None:
    """As before entries moved: the same row held by two items, and discarded with a third."""
    items = [item_at(conn) for _ in range(3)]
    batch, findings = two(items[0])
    quarantine.add(conn, items[0], batch, findings[:1], NOW)
    for item, status in ((items[1], "held"), (items[2], "discarded")):
        conn.execute(
            "INSERT INTO fintrack.quarantine (item_id, row_key, rule, detail, content, currency, created_at, seen_at,"
            " status) SELECT %s, row_key, rule, detail, content, currency, created_at, seen_at, %s"
            " FROM fintrack.quarantine WHERE item_id = %s",
            (item.id, status, items[0].id),
        )
    for item in (*items, item_at(conn, LATER)):
        assert quarantine.add(conn, item, batch, findings[:1], LATER) == 1
    newest = conn.execute("SELECT status FROM fintrack.quarantine WHERE item_id = %s", (item.id,)).fetchall()
    assert newest == [("discarded",)]
    assert conn.execute("SELECT count(*) FROM fintrack.quarantine").fetchone() == (3,)


def test_items_that_bring_the_same_rows_at_once_keep_them_once(database: Database, conn: psycopg.Connection) -> None:
    items = [item_at(conn) for _ in range(4)]
    batch = bars(items[0], [str(n) for n in range(1, 51)])
    findings = [Finding(rule, "reject", None, "all of it") for rule in ("ohlc", "stale_repeat")]
    sizes: list[int] = []

    def bring(item: Item) -> None:
        with database.connection() as own:
            sizes.append(quarantine.add(own, item, batch, findings, NOW))

    threads = [threading.Thread(target=bring, args=(item,)) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [50] * 4
    assert conn.execute("SELECT count(*), count(DISTINCT item_id) FROM fintrack.quarantine").fetchone() == (100, 1)


def test_a_thousand_bad_rows_come_again_among_as_many_of_others(conn: psycopg.Connection) -> None:
    findings = [Finding("ohlc", "reject", None, "all of it")]
    for symbol in ("MSFT", "AAPL"):
        for hour in range(3):
            item = item_at(conn, NOW + timedelta(hours=hour), symbol)
            batch = bars(item, [str(n) for n in range(1, 1001)])
            assert quarantine.add(conn, item, batch, findings, NOW) == 1000
    assert conn.execute("SELECT count(*) FROM fintrack.quarantine").fetchone() == (2000,)
