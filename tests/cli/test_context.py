"""Commands that only read log in as a reader, and those that change something as a writer."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from fintrack_tasks.domain import Finding, Kind
from fintrack_tasks.store import flags, fx_rates
from fintrack_tasks.store.bars import load_bars
from tests.e2e.harness import fintrack
from tests.store.items import NOW, bars, event, make_run
from tests.store.test_fx_rates import rate

pytestmark = pytest.mark.integration

DAY = datetime(2024, 5, 6, tzinfo=UTC)
"""A Monday."""

READING = [
    "runs list",
    "runs show {run}",
    "quality",
    "quarantine list",
    "quarantine flags",
    "instruments list",
    "fx show EUR/USD --at {now}",
    "backfill status",
    "explain AAPL 2024-05-06",
    "aggregate AAPL --to 1w --from 1d",
    "chart AAPL -o {folder}/chart.html",
]


def test_a_command_that_reads_needs_no_login_but_the_readers(
    conn: psycopg.Connection, database_variables: dict[str, str], tmp_path: Path
) -> None:
    run, [item] = make_run(conn, ["AAPL"], Kind.BARS)
    load_bars(conn, item, bars(item, ["10", "11", "12"], first=DAY), event(item), NOW, [True] * 3)
    flags.add(conn, item, bars(item, ["10"], first=DAY), [Finding("volume_anomaly", "flag", 0, "a lot")], NOW)
    fx_rates.add(conn, [rate("EUR", "USD", "1.08")], NOW)
    reader_alone = {**database_variables, "DB_USER": "nobody_of_that_name", "DB_PASSWORD": "none"}
    for words in READING:
        command = words.format(run=run, folder=tmp_path, now=NOW.isoformat()).split()
        shown = fintrack(tmp_path, *command, environment=reader_alone, check=False)
        assert shown.returncode == 0, f"{words}: {shown.stdout}{shown.stderr}"
    refused = fintrack(tmp_path, "instruments", "add", "IBM", environment=reader_alone, check=False)
    assert refused.returncode == 4
    assert "DB_USER" in refused.stderr


def test_a_login_that_may_not_do_it_is_told_in_one_line(tmp_path: Path, database_variables: dict[str, str]) -> None:
    as_reader = {
        **database_variables,
        "DB_USER": database_variables["DB_READER_USER"],
        "DB_PASSWORD": database_variables["DB_READER_PASSWORD"],
    }
    refused = fintrack(tmp_path, "instruments", "add", "IBM", environment=as_reader, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("fintrack: DB_USER: fintrack_reader_login may not do this (permission denied for")
    assert len(refused.stderr.splitlines()) == 1
