"""Rejected rows are kept once, each with its rule, and counted on their item."""

from __future__ import annotations

import psycopg
import pytest

from fintrack_tasks.domain import Finding, Kind
from fintrack_tasks.store import ledger, quarantine
from tests.store.items import NOW, bars, make_run

pytestmark = pytest.mark.integration


def test_rejected_rows_are_kept_once_with_their_content(conn: psycopg.Connection) -> None:
    run, [item] = make_run(conn, ["AAPL"], Kind.BARS)
    batch = bars(item, ["1", "-2", "3"])
    findings = [
        Finding("value_ranges", "reject", 1, "close is not positive"),
        Finding("ohlc", "reject", 1, "low above close"),
        Finding("timestamps", "flag", 2, "late"),
    ]
    for _ in range(2):
        assert quarantine.add(conn, item, batch, findings, NOW) == 1
    kept = conn.execute("SELECT rule, status, content ->> 'close' FROM fintrack.quarantine ORDER BY rule").fetchall()
    assert kept == [("ohlc", "held", "-2"), ("value_ranges", "held", "-2")]
    summary = ledger.run_summary(conn, run)
    assert summary is not None
    assert summary.quarantined_rows == 1


def test_two_bad_rows_of_one_time_are_both_kept(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["AAPL"], Kind.BARS)
    batch = bars(item, ["1", "2"]).with_columns(timestamp=[0, 0])
    findings = [Finding("duplicates", "reject", row, "conflicting") for row in (0, 1)]
    assert quarantine.add(conn, item, batch, findings, NOW) == 2
    assert conn.execute("SELECT count(*) FROM fintrack.quarantine").fetchone() == (2,)
