"""Processes and servers die in the middle of a run; every item still ends, with one row and one event each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest

from tests.e2e.harness import ROOT, Pipeline, fintrack, parse_env
from tests.e2e.test_pipeline import messages

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


@pytest.fixture
def pipeline(tmp_path: Any) -> Any:
    """A pipeline of this test's own, for it is going to be hurt; items are called lost after five seconds."""
    quick = {"FINTRACK_ITEM_DEADLINE_SECONDS": "5", "FLOWER_PORT": "0", "YAHOO_FINANCE_QUOTA": "40/s"}
    home = tmp_path / "home"
    fintrack(home, "up", "--detach", environment=quick)
    try:
        yield Pipeline(home, {**quick, **parse_env(fintrack(home, "env").stdout)})
    finally:
        fintrack(home, "down", check=False)


def start_run(pipeline: Pipeline, symbols: list[str]) -> str:
    code = (
        "import json, sys; from fintrack_tasks.tasks import fetch_market_data;"
        "print(fetch_market_data.delay(json.load(sys.stdin)).id)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": "/usr/bin:/bin", **pipeline.environment},
        cwd=ROOT,
        input=json.dumps(symbols),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def states(pipeline: Pipeline, run: str) -> Counter[str]:
    rows = pipeline.query("SELECT state, count(*) AS n FROM run_items WHERE run_id = %s GROUP BY state", run)
    return Counter({row["state"]: row["n"] for row in rows})


def wait_until(condition: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def kill(pipeline: Pipeline, name: str) -> None:
    """SIGKILL a process of the stack with all its children, as a machine that goes down would."""
    state = json.loads((pipeline.home / "stack.json").read_text())
    pid = (
        next(p["pid"] for p in state["processes"] if p["name"] == name)
        if isinstance(state["processes"], list)
        else state["processes"][name]["pid"]
    )
    os.killpg(os.getpgid(pid), signal.SIGKILL)


def assert_nothing_lost_nothing_doubled(pipeline: Pipeline, run: str, symbols: list[str]) -> None:
    assert states(pipeline, run) == Counter({"loaded": len(symbols)})
    # Only what the run asked for: a tick of the schedule may load the registered instruments meanwhile.
    rows = pipeline.query(
        "SELECT symbol, count(*) AS n FROM market_data WHERE symbol = ANY(%s) GROUP BY symbol", symbols
    )
    assert {row["symbol"]: row["n"] for row in rows} == dict.fromkeys(symbols, 1)
    assert wait_until(
        lambda: pipeline.query("SELECT count(*) AS n FROM outbox WHERE published_at IS NULL")[0]["n"] == 0, 60
    )
    events = [event for event in messages(pipeline.environment, "market-data") if event["run_id"] == run]
    ids, items = Counter(event["event_id"] for event in events), Counter(event["item_id"] for event in events)
    assert len(ids) == len(items) == len(symbols)
    assert set(items.values()) == {1}


@pytest.mark.parametrize("victim", ["fetch1", "etl1"])
def test_a_worker_killed_in_the_middle_of_a_run_loses_nothing_and_doubles_nothing(
    pipeline: Pipeline, victim: str
) -> None:
    symbols = [f"S{number}" for number in range(200)]
    run = start_run(pipeline, symbols)
    assert wait_until(lambda: states(pipeline, run)["loaded"] >= 20, 30)
    kill(pipeline, victim)
    assert states(pipeline, run)["loaded"] < 200
    # What a supervisor does: the worker starts again; the ledger's reconcile finds what died with the first one.
    fintrack(pipeline.home, "up", "--detach", environment=pipeline.environment)
    assert wait_until(lambda: states(pipeline, run)["loaded"] == 200, 180), states(pipeline, run)
    assert_nothing_lost_nothing_doubled(pipeline, run, symbols)


def test_a_broker_that_forgets_everything_loses_no_item(pipeline: Pipeline) -> None:
    import redis

    symbols = [f"S{number}" for number in range(120)]
    run = start_run(pipeline, symbols)
    assert wait_until(lambda: states(pipeline, run)["loaded"] >= 10, 30)
    client = redis.Redis.from_url(pipeline.environment["REDIS_URL"])
    client.flushall()
    client.close()
    assert states(pipeline, run)["loaded"] < 120
    # The schedule was in Redis as well: beat writes it anew when it starts.
    kill(pipeline, "beat")
    fintrack(pipeline.home, "up", "--detach", environment=pipeline.environment)
    assert wait_until(lambda: states(pipeline, run)["loaded"] == 120, 180), states(pipeline, run)
    assert_nothing_lost_nothing_doubled(pipeline, run, symbols)
