"""Redis dies, fills up and comes back while items are on their way; nobody types a command, and all of them end."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from fintrack_tasks.embedded import Stack, supervise
from fintrack_tasks.embedded.state import StackState
from tests.chaos.test_killed_worker import assert_nothing_lost_nothing_doubled, start_run, states, wait_until
from tests.e2e.harness import Pipeline, fintrack, parse_env

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline of this test's own, with the deadlines of every day: waiting for them would not do."""
    quick = {"FLOWER_PORT": "0", "YAHOO_FINANCE_QUOTA": "200/s"}
    home = tmp_path / "home"
    fintrack(home, "up", "--detach", environment=quick)
    try:
        yield Pipeline(home, {**quick, **parse_env(fintrack(home, "env").stdout)})
    finally:
        fintrack(home, "down", check=False)


def workers_of(stack: Stack) -> dict[str, int]:
    names = ("fetch", "etl", "ops", "publish")
    return {one.name: one.pid for one in stack.processes() if one.running and one.name.startswith(names)}


def test_redis_killed_ten_times_in_two_thousand_items_costs_no_item_and_no_worker(pipeline: Pipeline) -> None:
    stack = Stack(pipeline.home)
    before = workers_of(stack)
    symbols = [f"S{number}" for number in range(2000)]
    run = start_run(pipeline, symbols)
    assert wait_until(lambda: sum(states(pipeline, run).values()) == len(symbols), 60)
    for _ in range(10):
        time.sleep(3)  # some work between two kills
        server = StackState.read(pipeline.home / "stack.json").servers["valkey"].process
        os.kill(server.pid, signal.SIGKILL)
        assert wait_until(lambda s=server: not s.running, 10)  # type: ignore[misc]  # bound now
        assert wait_until(lambda: stack.health()["valkey"].running, 90)  # by the supervisor alone
    assert wait_until(lambda: states(pipeline, run)["loaded"] == len(symbols), 500), states(pipeline, run)
    assert_nothing_lost_nothing_doubled(pipeline, run, symbols)
    assert workers_of(stack) == before
    [told] = supervise.restarts(stack)
    assert (told.name, told.count) == ("valkey", 10)


def test_a_full_redis_costs_no_item_and_no_worker_and_is_told_by_name(pipeline: Pipeline) -> None:
    stack = Stack(pipeline.home)
    before = workers_of(stack)
    symbols = [f"S{number}" for number in range(400)]
    run = start_run(pipeline, symbols)
    assert wait_until(lambda: states(pipeline, run)["loaded"] >= 20, 60)
    with redis.Redis.from_url(pipeline.environment["REDIS_URL"]) as client:
        client.config_set("maxmemory", 1)
        told = pipeline.fintrack("health", "--json", check=False).stdout.splitlines()[-1]
        assert "its memory is full" in json.loads(told)["checks"]["redis"]["detail"]
        time.sleep(20)  # as long as the workers were seen to end in
        client.config_set("maxmemory", 0)
    assert wait_until(lambda: states(pipeline, run)["loaded"] == len(symbols), 200), states(pipeline, run)
    assert_nothing_lost_nothing_doubled(pipeline, run, symbols)
    assert workers_of(stack) == before


def test_all_workers_killed_are_back_by_themselves_and_take_up_what_they_held(pipeline: Pipeline) -> None:
    stack = Stack(pipeline.home)
    symbols = [f"S{number}" for number in range(200)]
    run = start_run(pipeline, symbols)
    assert wait_until(lambda: states(pipeline, run)["loaded"] >= 20, 60)
    for pid in workers_of(stack).values():
        os.killpg(os.getpgid(pid), signal.SIGKILL)
    # Below the deadline of 120 s, for which everything that they held waited before.
    assert wait_until(lambda: states(pipeline, run)["loaded"] == len(symbols), 100), states(pipeline, run)
    assert_nothing_lost_nothing_doubled(pipeline, run, symbols)
    assert {one.name for one in supervise.restarts(stack)} == set(workers_of(stack))
