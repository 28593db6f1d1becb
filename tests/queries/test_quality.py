"""The history of quality metrics and the flagged rows, from a real database."""

from __future__ import annotations

from datetime import date, timedelta

import psycopg
import pytest

from fintrack_tasks.domain import Finding, Interval, Item, Kind
from fintrack_tasks.queries.quality import flagged_rows, flags_by_instrument, metrics_history
from fintrack_tasks.store import anomalies, flags, quality
from tests.store.items import DAY, NOW, bars, make_run, quote

pytestmark = pytest.mark.integration


def item_of(conn: psycopg.Connection, kind: Kind = Kind.BARS, symbol: str = "AAPL") -> Item:
    return make_run(conn, [symbol], kind)[1][0]


def found(*rules: str, row: int | None = 0) -> list[Finding]:
    return [Finding(rule, "flag", row, f"{rule} of {row}") for rule in rules]


def test_a_day_of_a_metric_is_one_row_with_its_lowest_and_its_newest_value(conn: psycopg.Connection) -> None:
    day = date(2024, 5, 6)
    for hours, value in ((0, "0.5"), (1, "0.9"), (2, "0.7")):
        item = item_of(conn)
        measure = (item.instrument_id, "completeness", value, {"value": value})
        quality.save(conn, item.run_id, day, [measure], NOW + timedelta(hours=hours))

    [row] = metrics_history(conn, ["completeness"], day, "AAPL")

    assert (float(row["lowest"]), float(row["newest"]), row["detail"]) == (0.5, 0.7, {"value": "0.7"})
    assert (row["run_id"], row["measured_at"]) == (item.run_id, NOW + timedelta(hours=2))
    assert metrics_history(conn, ["completeness"], day + timedelta(days=1)) == []
    assert metrics_history(conn, ["completeness"], day, "' OR true --") == []
    assert metrics_history(conn, [], day) == []


def test_flagged_rows_are_the_newest_of_a_symbol_and_a_rule_up_to_the_limit(conn: psycopg.Connection) -> None:
    for symbol in ("AAPL", "MSFT"):
        item = item_of(conn, symbol=symbol)
        flags.add(conn, item, bars(item, ["1", "2"]), [*found("a", row=0), *found("b", row=1)], NOW)
    every = [(row["symbol"], row["rule"]) for row in flagged_rows(conn)]

    assert sorted(every) == [("AAPL", "a"), ("AAPL", "b"), ("MSFT", "a"), ("MSFT", "b")]
    for limit in range(1, 6):
        assert [(row["symbol"], row["rule"]) for row in flagged_rows(conn, limit=limit)] == every[:limit]
    assert [row["rule"] for row in flagged_rows(conn, "AAPL", "b")] == ["b"]
    assert flagged_rows(conn, rule="%") == []


def test_what_several_marked_counts_once_and_what_was_marked_before_the_day_does_not(conn: psycopg.Connection) -> None:
    item = item_of(conn)
    batch = bars(item, ["1", "2", "3"])
    flags.add(conn, item, batch, [*found("a", "b"), *found("a", row=1)], NOW)
    flags.add(conn, item, batch, found("a", row=2), NOW - 3 * DAY)
    asked = item_of(conn, Kind.QUOTE)
    flags.add(conn, asked, quote(asked), found("stale_quote", "price_jump"), NOW)
    for version in ("1", "2"):
        anomalies.save_model(conn, item.instrument_id, Interval.D1, {"fingerprint": version}, {}, NOW)
    conn.execute(
        "INSERT INTO fintrack.anomalies (instrument_id, interval, timestamp, version, detectors, score, detail,"
        " flagged_at) SELECT instrument_id, interval, timestamp + n * interval '1 day', v, '{robust}', 1, '{}', %s"
        " FROM fintrack.flags, (VALUES (0, 1), (0, 2), (7, 2)) AS given(n, v) WHERE rule = 'b'",
        (NOW,),
    )
    # Two bars that rules marked, one of them a model as well; another that the model alone flagged; and the quote.
    assert flags_by_instrument(conn, NOW.date()) == {item.instrument_id: 4}
