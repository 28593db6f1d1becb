"""What is told to end is gone within its container's grace, also while Redis hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest
import redis

from tests.integration.conftest import Workers

pytestmark = [pytest.mark.integration, pytest.mark.chaos, pytest.mark.timeout(180)]

GRACE: Final = 40.0
"""``stop_grace_period`` of docker-compose.yml."""


def test_every_worker_leaves_within_the_grace_while_redis_hangs(
    workers: Workers, small_redis: redis.Redis, tmp_path: Path
) -> None:
    port = small_redis.connection_pool.connection_kwargs["port"]
    url = {"REDIS_URL": f"redis://:secret@127.0.0.1:{port}/0"}
    workers.start("fetch.yahoo_finance,fetch.ecb", "-P", "threads", "-c", "8", **url)
    workers.start("etl", "-P", "prefork", "-c", "2", **url)
    workers.start("ops,publish", "-P", "threads", "-c", "2", **url)
    served = ("fetch.ecb", "etl", "ops")
    workers.until(
        lambda: all(small_redis.zcard(f"fintrack:fleet:{queue}") == 1 for queue in served), 90, "three workers"
    )
    server = int(small_redis.info("server")["process_id"])
    os.kill(server, signal.SIGSTOP)
    try:
        began = time.monotonic()
        for process in workers.processes:
            process.send_signal(signal.SIGTERM)
        for process in workers.processes:
            try:
                process.wait(max(0.1, GRACE - (time.monotonic() - began)))
            except subprocess.TimeoutExpired:
                pytest.fail(f"{process.args} had not left after {GRACE} s")
    finally:
        os.kill(server, signal.SIGCONT)


def test_flower_leaves_within_the_grace_while_redis_hangs(small_redis: redis.Redis, tmp_path: Path) -> None:
    port = small_redis.connection_pool.connection_kwargs["port"]
    variables = {"REDIS_URL": f"redis://:secret@127.0.0.1:{port}/0", "FINTRACK_HOME": str(tmp_path)}
    celery = [sys.executable, "-P", "-m", "fintrack_tasks.celery_command", "-A", "fintrack_tasks"]
    said = tmp_path / "flower.log"
    with said.open("wb") as log:
        flower = subprocess.Popen(
            [*celery, "flower", "--port=0"], cwd=tmp_path, env={**os.environ, **variables}, stdout=log, stderr=log
        )
    server = int(small_redis.info("server")["process_id"])
    try:
        until = time.monotonic() + 60
        while "Connected to redis" not in said.read_text():
            assert time.monotonic() < until, said.read_text()
            time.sleep(0.1)
        os.kill(server, signal.SIGSTOP)
        time.sleep(6)  # its threads ask every few seconds
        flower.terminate()
        assert flower.wait(GRACE) == 0
    finally:
        os.kill(server, signal.SIGCONT)
        flower.kill()
        flower.wait(30)
