"""A worker that is told to end is gone within its container's grace, also while Redis hangs."""

from __future__ import annotations

import os
import signal
import subprocess
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
