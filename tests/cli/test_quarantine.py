"""``fintrack quarantine`` as a person types it, over a real database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fintrack_tasks.domain import Finding, Kind
from fintrack_tasks.queries.quarantine import newest_rows
from fintrack_tasks.store import flags, quarantine
from tests.e2e.harness import fintrack
from tests.store.items import NOW, bars, make_run


@pytest.fixture
def where(database_variables: dict[str, str]) -> dict[str, str]:
    return {
        **database_variables,
        "REDIS_URL": "redis://127.0.0.1:1/0",  # away: the event waits in the outbox for the schedule's drain
    }


@pytest.fixture
def numbers(conn: psycopg.Connection) -> list[int]:
    """Two rows in quarantine: one that broke two rules that a person may overrule, one without a price."""
    _, [item] = make_run(conn, ["AAPL"], Kind.BARS)
    batch = bars(item, ["100", "101", "-1", "103"])
    findings = [
        Finding("outside_session", "reject", 1, "Saturday is no session"),
        Finding("stale_repeat", "reject", 1, "repeats the bar before it"),
        Finding("value_ranges", "reject", 2, "close is not above zero: -1"),
        Finding("price_jump", "flag", 3, "a log return of +0.3000"),
    ]
    quarantine.add(conn, item, batch, findings, NOW)
    flags.add(conn, item, batch, findings[3:], NOW)
    return [row.id for row in newest_rows(conn, "held", None, None, 10)][::-1]


def told(home: Path, where: dict[str, str], *words: str, code: int = 0) -> dict[str, Any]:
    finished = fintrack(home, "quarantine", *words, "--json", check=False, environment=where)
    assert finished.returncode == code, finished.stderr
    return dict(json.loads(finished.stdout.splitlines()[-1]))


@pytest.mark.integration
def test_a_person_looks_and_decides(tmp_path: Path, where: dict[str, str], numbers: list[int]) -> None:
    good, bad = numbers
    rows = told(tmp_path, where, "list")["rows"]
    assert [(row["id"], row["symbol"], row["rules"]) for row in rows] == [
        (bad, "AAPL", ["value_ranges"]),
        (good, "AAPL", ["outside_session", "stale_repeat"]),
    ]
    assert told(tmp_path, where, "list", "--rule", "stale_repeat")["rows"][0]["id"] == good
    assert told(tmp_path, where, "show", str(good + 1))["content"]["close"] == "101"  # an entry means its row
    shown = fintrack(tmp_path, "quarantine", "show", str(good), environment=where).stdout
    assert "Saturday is no session" in shown

    decided = told(tmp_path, where, "release", str(good), str(bad), "--by", "ada", code=3)["decisions"]
    assert [(one["id"], one["outcome"]) for one in decided] == [(good, "released"), (bad, "refused")]
    assert told(tmp_path, where, "discard", str(bad), "--by", "ada")["decisions"][0]["outcome"] == "discarded"
    assert told(tmp_path, where, "release", str(good), "--by", "bob")["decisions"][0]["outcome"] == "unchanged"
    assert told(tmp_path, where, "list")["rows"] == []
    everything = told(tmp_path, where, "list", "--status", "all", "--symbol", "aapl")["rows"]
    assert [(row["status"], row["decided_by"]) for row in everything] == [("discarded", "ada"), ("released", "ada")]
    marks = told(tmp_path, where, "flags", "--symbol", "AAPL")["flags"]
    assert [mark["rule"] for mark in marks] == ["stale_repeat", "outside_session", "price_jump"]
    assert told(tmp_path, where, "flags", "--rule", "price_jump")["flags"][0]["detail"] == "a log return of +0.3000"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "999"], "nothing in quarantine has the number 999"),
        (["release", "998", "999"], "the number 998, 999; nothing was decided"),
        (["list", "--rule", "nonsense"], "no rule 'nonsense'"),
        (["list", "--status", "nonsense"], "nonsense"),
        (["release"], "ID"),
        (["discard", "one"], "integer"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, where: dict[str, str], words: list[str], said: str) -> None:
    finished = fintrack(tmp_path, "quarantine", *words, check=False, environment=where)
    assert finished.returncode == 2
    assert said in " ".join(finished.stderr.split())
    assert "Traceback" not in finished.stderr + finished.stdout
