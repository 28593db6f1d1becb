"""Worker processes of a test's own over the shared servers; database, Redis database and market are its own as well."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from fintrack_tasks.sandbox import Running, running
from fintrack_tasks.settings import Settings
from tests.e2e.harness import ROOT, clean_environment

REDIS_DATABASE = 9
"""Not the one that the other tests of a run use at the same time."""


class Workers:
    """Celery workers as ``celery -A fintrack_tasks worker`` starts them, and what a test asks of them."""

    def __init__(
        self, environment: dict[str, str], folder: Path, client: redis.Redis, conn: psycopg.Connection
    ) -> None:
        self.environment, self.folder, self.client, self.conn = environment, folder, client, conn
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, queues: str, *pool: str, **more: str) -> subprocess.Popen[bytes]:
        """A worker; it needs some seconds until it works."""
        name = f"w{len(self.processes)}@%h"
        command = [sys.executable, "-m", "celery", "-A", "fintrack_tasks", "worker", "--loglevel", "WARNING"]
        with (self.folder / f"{name}.log").open("wb") as log:
            made = subprocess.Popen(
                [*command, "-Q", queues, "-n", name, *pool],
                env={**clean_environment(), **self.environment, **more},
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(made)
        return made

    def await_living(self, queue: str, number: int) -> None:
        """Until so many workers have said that they serve a queue."""
        self.until(lambda: self.client.zcard(f"fintrack:fleet:{queue}") >= number, 90, f"{number} workers of {queue}")

    def until(self, condition: Callable[[], Any], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            dead = [each for each in self.processes if each.poll() not in (None, -9)]
            if dead or time.monotonic() > deadline:
                logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.log"))
                pytest.fail(f"no {what} after {seconds:g} s\n{logs}")
            time.sleep(0.05)

    def quotes(self, symbols: list[str]) -> str:
        """Plan and enqueue a run from a process of its own, as any program would; returns the run's id."""
        code = (
            "import json, sys; from fintrack_tasks.tasks import fetch_market_data as job;"
            "print(json.dumps(job(json.load(sys.stdin))))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**clean_environment(), **self.environment},
            cwd=ROOT,
            input=json.dumps(symbols),
            capture_output=True,
            text=True,
            check=True,
        )
        return str(json.loads(done.stdout.splitlines()[-1])["run_id"])

    def seconds_of(self, run: str) -> list[float | None]:
        """For each item of a run the seconds from its creation to its end."""
        rows = self.conn.execute(
            "SELECT extract(epoch FROM finished_at - created_at)::float8 FROM fintrack.run_items WHERE run_id = %s",
            (run,),
        )
        return [seconds for (seconds,) in rows]

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait(10)


@pytest.fixture
def market() -> Iterator[Running]:
    """A market that enforces 10 a second for yahoo_finance and counts."""
    with running(seed=7, quotas={"yahoo_finance": "10/s"}) as sandbox:
        yield sandbox


@pytest.fixture
def workers(
    stack: dict[str, str], database_settings: Settings, conn: psycopg.Connection, market: Running, tmp_path: Path
) -> Iterator[Workers]:
    conn.autocommit = True
    url = re.sub(r"/\d+$", f"/{REDIS_DATABASE}", stack["REDIS_URL"])
    environment = {
        **stack,
        **market.environment,
        "DB_NAME": database_settings.db_name,
        "REDIS_URL": url,
        "FINTRACK_HOME": str(tmp_path),
        "MONITORING_ENABLED": "false",
    }
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        made = Workers(environment, tmp_path, client, conn)
        try:
            yield made
        finally:
            made.stop()
            client.flushdb()
