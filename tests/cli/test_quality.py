"""``fintrack quality``: worst first, the newest of each job, the lowest of each day; against a real database."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fintrack_tasks.cli.quality import _detail_text, sparkline, summaries
from fintrack_tasks.domain import Instrument, uuid7
from fintrack_tasks.store import instruments, quality
from tests.e2e.harness import fintrack

TODAY = datetime.now(tz=UTC)


def row(
    symbol: str, metric: str, day: int, newest: float, lowest: float | None = None, job: str = "a"
) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "asset_class": "stock",
        "instrument_id": ord(symbol[0]),
        "metric": metric,
        "job": job,
        "day": date(2024, 5, day),
        "newest": newest,
        "lowest": newest if lowest is None else lowest,
        "detail": {},
        "run_id": None,
    }


# --- what is made of a history


def test_the_worst_instrument_comes_first_and_its_worst_metric_is_its_score() -> None:
    rows = [
        row("A", "accuracy", 6, 1.0),
        row("A", "completeness", 6, 0.9),
        row("B", "accuracy", 6, 0.5),
        row("C", "accuracy", 6, 1.0),
    ]
    found = summaries(rows, {ord("C"): 3})
    assert [(each["symbol"], each["score"], each["flags"]) for each in found] == [
        ("B", 0.5, 0),
        ("A", 0.9, 0),
        ("C", 1.0, 3),
    ]


def test_a_job_that_runs_often_does_not_hide_what_another_found() -> None:
    rows = [
        row("A", "completeness", 5, 0.2, job="history"),
        row("A", "completeness", 6, 0.7, job="history"),
        row("A", "completeness", 6, 1.0, job="quotes"),
        row("A", "completeness", 7, 1.0, 0.4, job="quotes"),
    ]
    [found] = summaries(rows, {})
    metric = found["metrics"]["completeness"]
    assert (metric["value"], metric["job"], metric["day"]) == (0.7, "history", date(2024, 5, 6))
    assert [(each["day"].day, each["value"]) for each in metric["trend"]] == [(5, 0.2), (6, 0.7), (7, 0.4)]


def stored(day: int, job: str, **intervals: tuple[int, int]) -> dict[str, Any]:
    """A measure of what is stored, as a run of that job left it: interval to expected and present bars."""
    span = {"first": "2010-01-04", "last": "2018-12-31"}
    detail = {f"1{name}": {"expected": e, "present": p, **span} for name, (e, p) in intervals.items()}
    share = sum(p for _, p in intervals.values()) / sum(e for e, _ in intervals.values())
    return {**row("A", "completeness", day, share, job=job), "detail": detail}


def test_what_is_stored_is_told_as_each_interval_was_measured_last_whichever_job_did() -> None:
    """The gap that the history's run of the 5th saw was filled by the indices' run of the 6th."""
    rows = [stored(5, "history", d=(100, 40), h=(900, 900)), stored(6, "indices", d=(100, 99))]
    [found] = summaries(rows, {})
    metric = found["metrics"]["completeness"]
    assert metric["value"] == (99 + 900) / 1000
    assert {label: part["present"] for label, part in metric["detail"].items()} == {"1d": 99, "1h": 900}
    assert metric["day"] == date(2024, 5, 6)


def test_a_request_in_vain_is_told_beside_what_is_stored_and_does_not_count_in_the_order() -> None:
    rows = [stored(6, "history", d=(3270, 3270)), row("A", "requested", 6, 0.0, job="history")]
    [found] = summaries(rows, {})
    assert (found["metrics"]["completeness"]["value"], found["metrics"]["requested"]["value"]) == (1.0, 0.0)
    assert found["score"] == 1.0


def test_a_quote_that_did_not_come_is_not_hidden_by_a_long_history() -> None:
    quote = {**row("A", "completeness", 6, 0.0, job="quotes"), "detail": {"quote": {"expected": 1, "present": 0}}}
    [found] = summaries([stored(6, "history", d=(3270, 3270)), quote], {})
    assert (found["metrics"]["completeness"]["value"], found["score"]) == (0.0, 0.0)


def test_a_trend_is_drawn_between_its_lowest_and_one() -> None:
    assert sparkline([1.0, 0.0, 0.5, 1.0]) == "█▁▅█"
    assert sparkline([1.0, 1.0]) == "██"
    assert sparkline([0.999, 1.0]) == "▁█"
    assert sparkline([]) == ""


# --- the command


@pytest.fixture
def where(database_variables: dict[str, str], conn: psycopg.Connection) -> Mapping[str, str]:
    """The variables of a database with two instruments that were measured on two days."""
    known = instruments.ensure(conn, [Instrument.of("AAPL"), Instrument.of("BTC-USD")])
    for ago, shares in ((5, (0.95, 1.0)), (0, (0.99, 1.0))):
        moment = TODAY - timedelta(days=ago)
        run = uuid7(time.time())
        conn.execute(
            "INSERT INTO fintrack.runs (id, job, arguments, state, created_at, finished_at)"
            " VALUES (%s, 'fetch_historical_market_data', '{}', 'finished', %s, %s)",
            (run, moment, moment),
        )
        detail = {"1d": {"expected": 100, "present": 99}}
        rows = [
            (known[symbol][0], metric, share, detail)
            for symbol, share in zip(("AAPL", "BTC-USD"), shares, strict=True)
            for metric in ("completeness", "timeliness")
        ]
        quality.save(conn, run, moment.date(), rows, moment)
    return database_variables


@pytest.mark.integration
def test_the_command_shows_a_table_and_an_object(tmp_path: Path, where: Mapping[str, str]) -> None:
    shown = fintrack(tmp_path, "quality", environment={**where, "COLUMNS": "120"}).stdout
    assert shown.index("AAPL") < shown.index("BTC-USD")
    assert "0.9900" in shown
    assert "▁▇" in shown  # 0.95, and 0.99 between that and 1.0
    told = json.loads(fintrack(tmp_path, "quality", "--json", environment=where).stdout.splitlines()[-1])
    assert [each["symbol"] for each in told["instruments"]] == ["AAPL", "BTC-USD"]
    metric = told["instruments"][0]["metrics"]["completeness"]
    assert metric["value"] == 0.99
    assert metric["detail"] == {"1d": {"expected": 100, "present": 99}}
    assert [each["value"] for each in metric["trend"]] == [0.95, 0.99]
    one = json.loads(fintrack(tmp_path, "quality", "--days", "3", "--json", environment=where).stdout.splitlines()[-1])
    assert [each["value"] for each in one["instruments"][0]["trend"]] == [0.99]


@pytest.mark.integration
def test_one_instrument_is_told_metric_by_metric(tmp_path: Path, where: Mapping[str, str]) -> None:
    shown = " ".join(fintrack(tmp_path, "quality", "aapl", environment={**where, "COLUMNS": "200"}).stdout.split())
    assert "quality of AAPL (stock), 0 flagged rows" in shown
    assert "1d: present 99, expected 100" in shown
    unknown = fintrack(tmp_path, "quality", "NONE", check=False, environment=where)
    assert unknown.returncode == 2
    assert "nothing was measured of NONE" in unknown.stderr


@pytest.mark.integration
def test_a_database_without_measures_says_so(
    tmp_path: Path, where: Mapping[str, str], conn: psycopg.Connection
) -> None:
    conn.execute("DELETE FROM fintrack.quality_metrics")
    assert "nothing was measured" in fintrack(tmp_path, "quality", environment=where).stdout
    told = json.loads(fintrack(tmp_path, "quality", "--json", environment=where).stdout.splitlines()[-1])
    assert told["instruments"] == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["not a symbol"], 2, "not a symbol"),
        (["--days", "0"], 2, "greater than or equal to 1"),
        ([], 4, "PostgreSQL does not answer"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    nowhere = {"DB_HOST": "127.0.0.1", "DB_PORT": "1"}
    finished = fintrack(tmp_path, "quality", *words, check=False, environment=nowhere)
    assert finished.returncode == code
    assert said in " ".join(finished.stderr.split())
    assert "Traceback" not in finished.stderr + finished.stdout


def test_what_no_measure_knows_is_called_unknown() -> None:
    """A series without any bar has no newest one that could be late."""
    assert _detail_text({"detail": {"1d": {"late_bars": None}, "rows": 3}}) == "1d: late_bars unknown; rows 3"
