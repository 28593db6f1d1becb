"""``fintrack status``: what runs, since when and where; the schedule's last ticks."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fintrack_tasks.cli.status import _ago, _tick
from fintrack_tasks.embedded import Stack
from tests.conftest import SHARED_HOME
from tests.e2e.harness import fintrack


def test_nothing_is_told_as_nothing(tmp_path: Path) -> None:
    shown = fintrack(tmp_path, "status", check=False)
    assert shown.returncode == 4
    assert shown.stdout == f"nothing runs in {tmp_path}; start it with: fintrack up --detach\n"
    told = json.loads(fintrack(tmp_path, "status", "--json", check=False).stdout.splitlines()[-1])
    assert (told["running"], told["healthy"], told["servers"], told["processes"]) == (False, False, [], [])


@pytest.mark.integration
def test_servers_are_told_with_their_addresses_and_since_when(stack: dict[str, str]) -> None:
    told = json.loads(fintrack(SHARED_HOME, "status", "--json").stdout.splitlines()[-1])
    assert (told["running"], told["healthy"]) == (True, True)
    servers = {one["name"]: one for one in told["servers"]}
    assert set(servers) == {"postgres", "valkey", "kafka"}
    assert servers["postgres"]["address"].endswith(f":{stack['DB_PORT']}")
    for one in servers.values():
        assert one["running"] is True
        assert one["memory_mb"] > 0
        assert datetime.fromisoformat(one["since"]) <= datetime.now(tz=UTC)
    assert set(told["logs"]) >= set(servers)


def test_a_process_that_has_ended_is_told_and_is_no_success(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    try:
        stack.spawn("etl1", [sys.executable, "-c", "import time; time.sleep(60)"], env=dict(os.environ))
        ended = stack.spawn("ops", [sys.executable, "-c", "pass"], env=dict(os.environ))
        while ended.running:
            pass
        shown = fintrack(tmp_path, "status", check=False)
        told = json.loads(fintrack(tmp_path, "status", "--json", check=False).stdout.splitlines()[-1])
    finally:
        stack.stop()
    assert shown.returncode == 4
    assert {one["name"]: one["running"] for one in told["processes"]} == {"etl1": True, "ops": False}
    assert "has ended" in shown.stdout


def test_the_memory_of_a_part_is_counted_once_whoever_started_it(tmp_path: Path) -> None:
    """The supervisor is the parent of what it started again."""
    large = "import time; kept = bytearray(b'x' * 200_000_000); time.sleep(60)"
    parent = (
        "import sys, time; from pathlib import Path; from fintrack_tasks.embedded import Stack;"
        f" Stack(Path({str(tmp_path)!r})).spawn('etl1', [sys.executable, '-c', {large!r}], env={{}}); time.sleep(60)"
    )
    stack = Stack(tmp_path)
    try:
        stack.spawn("supervisor", [sys.executable, "-c", parent], env=dict(os.environ))
        until = datetime.now(tz=UTC) + timedelta(seconds=30)
        while True:
            told = json.loads(fintrack(tmp_path, "status", "--json", check=False).stdout.splitlines()[-1])
            memory = {one["name"]: one["memory_mb"] for one in told["processes"]}
            if (memory.get("etl1") or 0) >= 190:
                break
            assert datetime.now(tz=UTC) < until, memory
    finally:
        stack.stop()
    assert memory["supervisor"] < 150
    assert told["memory_mb"] == sum(memory.values())


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (90_000, "1 d 1 h")]
)
def test_a_span_is_told_in_two_units(seconds: int, text: str) -> None:
    now = datetime(2024, 5, 6, tzinfo=UTC)
    assert _ago(now, datetime.fromtimestamp(now.timestamp() - seconds, tz=UTC)) == text


@pytest.mark.parametrize("count", [0, 5])
def test_a_job_that_was_never_enqueued_has_no_last_time(count: int) -> None:
    at: dict[str, Any] = {"year": 2024, "month": 5, "day": 6, "hour": 15, "minute": 0, "second": 7, "microsecond": 9}
    meta = {"last_run_at": {**at, "__type__": "datetime", "timezone": "UTC"}} | (
        {"total_run_count": 5} if count else {}
    )
    expected = datetime(2024, 5, 6, 15, 0, 7, tzinfo=UTC) if count else None
    assert _tick(meta) == {"last": expected, "count": count}
