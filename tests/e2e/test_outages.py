"""What the commands say when a part of the running pipeline is gone; each test mends what it broke."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fintrack_tasks.embedded.state import StackState
from tests.e2e.harness import ROOT, Pipeline, clean_environment, fintrack, parse_env

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(300)]

QUICK = {"FINTRACK_ITEM_DEADLINE_SECONDS": "5"}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A pipeline that is going to be hurt."""
    home = tmp_path_factory.mktemp("outages")
    fintrack(home, "up", "--detach", "--no-restart", environment=QUICK)
    try:
        yield Pipeline(home, {**QUICK, **parse_env(fintrack(home, "env").stdout)})
    finally:
        fintrack(home, "down", check=False)


def kill(home: Path, name: str, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a server or a process of the stack, with all that it has started."""
    state = StackState.read(home / "stack.json")
    known = {each.name: each for each in state.processes} | {n: s.process for n, s in state.servers.items()}
    os.killpg(os.getpgid(known[name].pid), number)
    if number == signal.SIGKILL:
        assert until(lambda: not known[name].running, 10)


def until(condition: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def mend(pipeline: Pipeline) -> str:
    """Start what is missing, in the environment that the pipeline was first started in."""
    return fintrack(pipeline.home, "up", "--detach", "--no-restart", environment=QUICK).stdout


def checks(pipeline: Pipeline) -> dict[str, dict[str, object]]:
    finished = pipeline.fintrack("health", "--json", check=False)
    found = json.loads(finished.stdout.splitlines()[-1])
    assert finished.returncode == (0 if found["healthy"] else 4)
    return dict(found["checks"])


def unwell(pipeline: Pipeline) -> set[str]:
    return {name for name, check in checks(pipeline).items() if not check["healthy"]}


def test_a_second_up_over_a_running_stack_changes_nothing(pipeline: Pipeline) -> None:
    before = parse_env(fintrack(pipeline.home, "env").stdout)
    said = mend(pipeline)
    assert f"Flower: http://127.0.0.1:{before['FLOWER_PORT']};" in said
    assert parse_env(fintrack(pipeline.home, "env").stdout) == before
    assert unwell(pipeline) == set()


def test_queues_that_nobody_serves_are_named_and_nothing_is_enqueued(pipeline: Pipeline) -> None:
    kill(pipeline.home, "fetch1")
    found = checks(pipeline)["workers"]
    assert found["healthy"] is False
    assert "the queues fetch.coinbase, fetch.ecb, fetch.yahoo_finance; start it with" in str(found["detail"])
    of_commands = "SELECT count(*) AS runs FROM runs WHERE uuid_extract_version(id) = 7"
    before = pipeline.query(of_commands)
    refused = pipeline.fintrack("run", "market-data", "--symbols", "AAPL", check=False)
    assert refused.returncode == 4
    [line] = refused.stderr.splitlines()
    assert "fetch.yahoo_finance" in line
    assert refused.stdout == ""
    mend(pipeline)
    assert pipeline.run("market-data", "--symbols", "AAPL")["jobs"]["fetch_market_data"]["loaded"] == 1
    [after] = pipeline.query(of_commands)
    assert after["runs"] == before[0]["runs"] + 1


@pytest.mark.parametrize(("worker", "queue"), [("ops", "ops"), ("etl1", "etl")])
def test_one_queue_without_a_worker_is_enough(pipeline: Pipeline, worker: str, queue: str) -> None:
    kill(pipeline.home, worker)
    refused = pipeline.fintrack("run", "market-data", "--symbols", "AAPL", check=False)
    assert refused.returncode == 4
    assert f"a Celery worker does not answer at the queue {queue};" in refused.stderr
    mend(pipeline)
    assert unwell(pipeline) == set()


def test_a_dead_beat_is_unwell(pipeline: Pipeline) -> None:
    kill(pipeline.home, "beat")
    assert until(lambda: unwell(pipeline) == {"beat", "local_stack"}, 40)  # it may have renewed its lock just before
    mend(pipeline)
    assert until(lambda: unwell(pipeline) == set(), 60)  # the lock of the dead one has to expire first


def test_beat_outlives_a_killed_redis(pipeline: Pipeline) -> None:
    kill(pipeline.home, "valkey")
    assert unwell(pipeline) == {"redis", "workers", "beat", "local_stack"}
    log = pipeline.home / "logs" / "beat.log"
    assert until(lambda: "schedule_waits_for_redis" in log.read_text(), 30)
    mend(pipeline)
    assert until(lambda: "schedule_goes_on" in log.read_text(), 30)
    assert until(lambda: unwell(pipeline) == set(), 60)
    assert "Traceback" not in log.read_text()


def test_events_that_wait_for_kafka_end_the_command_and_go_out_later(pipeline: Pipeline) -> None:
    kill(pipeline.home, "kafka")
    finished = pipeline.fintrack("run", "market-data", "--symbols", "AAPL,BTC-USD", "--json", check=False)
    assert finished.returncode == 4
    result = json.loads(finished.stdout.splitlines()[-1])
    assert result["jobs"]["fetch_market_data"]["loaded"] == 2
    assert result["events"] == {"market-data": 0, "notifications": 0}
    assert result["seconds"] < 240  # against waiting for as long as Kafka is away
    [line] = finished.stderr.splitlines()
    assert re.fullmatch(
        rf"fintrack: Kafka does not answer at {pipeline.environment['KAFKA_BOOTSTRAP_SERVERS']};"
        r" \d events wait in the outbox and go out when it is back; start it with: fintrack up --detach",
        line,
    )
    mend(pipeline)
    sent = "SELECT count(*) AS n FROM outbox WHERE run_id = %s AND published_at IS NOT NULL"
    assert until(lambda: pipeline.query(sent, result["run_id"]) == [{"n": 3}], 60)  # two quotes, and the run's end


def test_up_in_the_foreground_tells_which_server_ended_and_leaves_with_the_stack(tmp_path: Path) -> None:
    home, said = tmp_path / "home", tmp_path / "said"
    with said.open("wb") as file:
        command = subprocess.Popen(
            [sys.executable, "-m", "fintrack_tasks.cli", "up"],
            env={**clean_environment(), "FINTRACK_HOME": str(home), "FLOWER_PORT": "0"},
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        assert until(lambda: "press Ctrl-C" in said.read_text(), 120), said.read_text()
        for name in ("kafka", "etl1"):
            kill(home, name)
            assert until(lambda n=name: re.search(rf"^{n} .*has ended; its log: ", said.read_text(), re.M), 20)  # type: ignore[misc]  # bound now
        fintrack(home, "down")
        assert command.wait(30) == 0
        lines = said.read_text().splitlines()
        assert lines[-1] == "the stack was stopped"
        assert len([line for line in lines if "has ended" in line]) == 2  # what was stopped in order is not told
    finally:
        command.kill()
        command.wait(30)
        fintrack(home, "down", check=False)


def test_a_demo_whose_kafka_dies_shows_what_was_loaded_and_names_kafka(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = subprocess.Popen(
        [sys.executable, "-m", "fintrack_tasks.cli", "demo", "--json"],
        env={**clean_environment(), "FINTRACK_HOME": str(home)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stderr is not None
    try:
        for line in command.stderr:
            if "starting the workers" in line:
                break
        kill(home, "kafka")
        out, err = command.communicate(timeout=200)
    finally:
        command.kill()
        fintrack(home, "down", check=False)
    assert command.returncode == 4
    result = json.loads(out.splitlines()[-1])
    assert result["jobs"]["fetch_market_data"]["loaded"] == 12
    assert result["events"] == {"market-data": 0, "notifications": 0}
    last = err.splitlines()[-1]
    assert "Kafka does not answer at 127.0.0.1:" in last
    assert "events wait in the outbox and go out when it is back; start it with: fintrack up --detach" in last
