"""One folder in both modes, on real servers: what one leaves behind is nowhere to be seen in the other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fintrack_tasks.domain import Mode
from fintrack_tasks.embedded import Stack
from fintrack_tasks.embedded.process import kill
from fintrack_tasks.embedded.state import StackState
from fintrack_tasks.errors import UsageError

OTHER = {Mode.LIVE: Mode.SIMULATED, Mode.SIMULATED: Mode.LIVE}


def test_each_mode_has_a_database_and_a_broker_database_that_the_other_never_sees(home: Path, clients: Any) -> None:
    stack, seen = Stack(home), {}
    for mode in (Mode.SIMULATED, Mode.LIVE):
        environment = stack.start(mode=mode)
        assert environment["DB_NAME"] == f"financial_tracker_{mode}"
        assert stack.mode is mode
        with pytest.raises(UsageError, match=f"a {mode} stack runs in .*; before a {OTHER[mode]} one starts there"):
            stack.start(mode=OTHER[mode])
        clients(environment).write()  # fails where the row is there already
        seen[mode] = environment["REDIS_URL"].rpartition("/")[2]
        if mode is Mode.SIMULATED:
            stack.stop()
            assert stack.mode is None
    assert len(set(seen.values())) == 2

    # Killed in between: nothing of it runs, so that either may start, over its own data.
    state = StackState.read(stack.home / "stack.json")
    kill([known.process.pid for known in state.servers.values()])
    environment = stack.start(mode=Mode.SIMULATED)
    assert clients(environment).kept() == ("row", ["first", "second", "third"])
    with psycopg.connect(
        host=environment["DB_HOST"], port=environment["DB_PORT"], dbname=environment["DB_NAME"],
        user=environment["DB_USER"], password=environment["DB_PASSWORD"],
    ) as conn:  # fmt: skip
        names = {row[0] for row in conn.execute("SELECT datname FROM pg_database WHERE datname LIKE 'financial%'")}
    assert names == {"financial_tracker_simulated", "financial_tracker_live"}


def test_bare_servers_take_a_mode_and_then_keep_it(home: Path) -> None:
    stack = Stack(home)
    assert stack.start()["DB_NAME"] == "financial_tracker"
    assert stack.mode is None
    assert stack.start(mode=Mode.LIVE)["DB_NAME"] == "financial_tracker_live"
    with pytest.raises(UsageError, match="a live stack runs"):
        stack.start(mode=Mode.SIMULATED)
    assert stack.start()["DB_NAME"] == "financial_tracker_live"


def test_a_worker_that_nobody_knows_of_any_more_does_not_outlive_the_next_start(home: Path) -> None:
    stack = Stack(home)
    stack.start(mode=Mode.LIVE)
    left = stack.spawn("fetch9", [sys.executable, "-c", "import time; time.sleep(120)"], env={})
    (home / "stack.json").unlink()
    stack.start(mode=Mode.SIMULATED)
    assert not left.running
    assert stack.mode is Mode.SIMULATED
