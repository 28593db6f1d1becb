"""A Redis that others use too: a login of its own that may touch the keys and channels of one prefix alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import requests

from fintrack_tasks.embedded.ports import choose_port
from tests.e2e.harness import ROOT, clean_environment
from tests.integration.conftest import REDIS_DATABASE, Workers

pytestmark = pytest.mark.integration

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


def documented_rule() -> list[str]:
    """The rule as docs/operations.md has it, word by word."""
    [rule] = re.findall(r"^ACL SETUSER fintrack ((?:.+\\\n)*.+)$", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    words = [word for word in rule.replace("\\\n", " ").split() if not word.startswith(">")]
    return [word.replace("/0.", f"/{REDIS_DATABASE}.") for word in words]


@pytest.fixture
def login(workers: Workers) -> Iterator[None]:
    """The documented login, in place of the administrator's."""
    name, password = f"fintrack-{time.monotonic_ns()}", "a-word-for-it"
    workers.client.execute_command("ACL", "SETUSER", name, f">{password}", *documented_rule())
    workers.client.acl_log_reset()
    url = re.sub(r"//:[^@]*@", f"//{name}:{password}@", workers.environment["REDIS_URL"])
    workers.environment = {**workers.environment, "REDIS_URL": url, "MONITORING_ENABLED": "true"}
    yield
    workers.client.execute_command("ACL", "DELUSER", name)


def refused(client: redis.Redis) -> list[str]:
    return [f"{entry['reason']} {entry['object']}" for entry in client.acl_log()]


@pytest.mark.usefixtures("login")
def test_workers_live_and_work_with_a_login_that_is_limited_to_their_prefix(workers: Workers) -> None:
    workers.start("fetch.yahoo_finance,fetch.coinbase", "-P", "threads", "-c", "2")
    workers.start("etl,ops", "-P", "threads", "-c", "2")
    workers.await_living("etl", 1)
    workers.await_living("fetch.yahoo_finance", 1)
    run = workers.quotes(["AAPL", "MSFT"])
    workers.until(lambda: None not in workers.seconds_of(run), 60, "end of the run")
    assert refused(workers.client) == []


@pytest.mark.usefixtures("login")
def test_beat_flower_and_the_commands_work_with_that_login_too(workers: Workers, tmp_path: Path) -> None:
    port = choose_port(None)
    words = [["beat"], ["flower", f"--port={port}", "--address=127.0.0.1"]]
    environment = {**clean_environment(), **workers.environment, "FLOWER_BASIC_AUTH": "person:a-word-for-it"}
    started = []
    try:
        for command in words:
            with (tmp_path / f"{command[0]}.log").open("wb") as log:
                argv = [sys.executable, "-m", "celery", "-A", "fintrack_tasks", *command]
                started.append(subprocess.Popen(argv, env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT))
        workers.start("ops", "-P", "threads", "-c", "2")
        workers.await_living("ops", 1)
        workers.until(lambda: workers.client.exists("fintrack:redbeat::lock"), 60, "lock of beat")
        url = f"http://127.0.0.1:{port}/api/queues/length"
        workers.until(lambda: answers(url), 60, "answer of Flower")
        done = subprocess.run(
            [sys.executable, "-m", "fintrack_tasks.cli", "health", "--json"],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        checks = json.loads(done.stdout.splitlines()[-1])["checks"]
        assert checks["redis"]["healthy"], checks
        assert checks["beat"]["healthy"], checks
        assert refused(workers.client) == []
    finally:
        for each in started:
            each.kill()
            each.wait(10)


def answers(url: str) -> bool:
    try:
        return requests.get(url, auth=("person", "a-word-for-it"), timeout=10).status_code == 200
    except requests.ConnectionError:
        return False
