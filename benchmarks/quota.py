"""A provider's quota held by the whole fleet: how much of it is used, and whether it is ever exceeded.

The sandbox enforces and counts; the fetch workers are plain Celery processes under the same quota. For each quota and
each number of workers there is one run, in the middle of which a worker joins and another one is killed. The counts are
the server's own, of every request by its time of arrival. Beside it, in the same run, Celery's ``rate_limit`` alone.

    .venv/bin/python benchmarks/quota.py [--workers 1,2,4,8] [--quotas 20/s,600/m] [--quick]

The last line is a JSON object: ``runs`` (``workers window_s limit use max_in_window
status_429 redis_calls_per_request``)
and ``celery_only_overshoot``, the largest number of requests in a window over the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROVIDER = "yahoo_finance"
QUEUE = f"fetch.{PROVIDER}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,2,4,8", help="how many fetch workers, one run each")
    parser.add_argument("--quotas", default="20/s,600/m")
    parser.add_argument("--quick", action="store_true", help="shorter runs, for a look")
    arguments = parser.parse_args()
    workers = [int(text) for text in arguments.workers.split(",")]
    with tempfile.TemporaryDirectory(prefix="fintrack-bench-") as home:
        os.environ.update(FINTRACK_HOME=home, LOG_LEVEL="WARNING", MONITORING_ENABLED="false")
        print(json.dumps(measure(Path(home), workers, arguments.quotas.split(","), quick=arguments.quick)))


def measure(home: Path, workers: list[int], quotas: list[str], *, quick: bool) -> dict[str, Any]:
    from fintrack_tasks.cli import stack as stacks
    from fintrack_tasks.embedded import Stack
    from fintrack_tasks.fetch.quota.limits import parse_quotas
    from fintrack_tasks.sandbox import Control

    stack = Stack(home)
    try:
        environment = {**os.environ, **stacks.boot(stack, live=False, seed=7)}
        control = Control(environment[f"{PROVIDER.upper()}_BASE_URL"].rpartition("/")[0])
        runs = []
        for text in quotas:
            [quota] = parse_quotas(text)
            for number in workers:
                run = Run(stack, control, {**environment, f"{PROVIDER.upper()}_QUOTA": text}, text, number)
                runs.append(run.measure(quota.limit, quota.seconds, quick=quick))
                print("  ".join(f"{name} {value}" for name, value in runs[-1].items()), flush=True)
        overshoot = celery_only(control, environment, quick=quick)
        print(f"Celery's rate_limit alone, 3 workers at 20/s each: {overshoot:.2f} times the quota")
    finally:
        stack.stop()
    return {"runs": runs, "celery_only_overshoot": round(overshoot, 2)}


class Run:
    """One quota, one number of workers."""

    def __init__(self, stack: Any, control: Any, environment: Mapping[str, str], quota: str, workers: int) -> None:
        self.stack, self.control, self.environment = stack, control, dict(environment)
        self.quota, self.workers = quota, workers
        self.processes: list[subprocess.Popen[bytes]] = []

    def measure(self, limit: int, window: float, *, quick: bool) -> dict[str, Any]:
        """Warm up for one window (5 s at least), then count while there is always more to do."""
        warm = max(5.0, window)
        span = (15.0 if quick else 30.0) if window < 10 else (30.0 if quick else 80.0)
        self.control.set_quotas(**{PROVIDER: self.quota})
        self._fresh_state()
        try:
            others = [self._worker("ops", "-P", "threads", "-c", "2"), self._worker("etl", "-P", "prefork", "-c", "1")]
            for _ in range(self.workers):
                self._fetch_worker()
            self._await_workers(self.workers + len(others))
            self.control.reset()
            began, calls = time.time(), self._script_calls()
            self._enqueue(int(limit / window * (warm + span) * 1.5) + 200)
            self._sleep_until(began + warm + span / 3)
            self._fetch_worker()  # one joins
            self._sleep_until(began + warm + 2 * span / 3)
            self.processes[len(others)].send_signal(signal.SIGKILL)  # and one of the first ones is gone
            self._sleep_until(began + warm + span)
            return self._figures(limit, window, began + warm, began + warm + span, calls)
        finally:
            self._stop()

    def _figures(self, limit: int, window: float, start: float, end: float, calls: int) -> dict[str, Any]:
        calls = self._script_calls() - calls
        report = self.control.requests([window])
        served = [at for at, provider, _, _, status in report["requests"] if provider == PROVIDER and status != 429]
        inside = [at for at in served if start <= at < end]
        return {
            "workers": self.workers,
            "window_s": window,
            "limit": limit,
            "use": round(len(inside) / (limit / window * (end - start)), 4),
            "max_in_window": max(report["max_in_window"][f"{window:g}"].values()),
            "status_429": report["status_429"],
            "redis_calls_per_request": round(calls / max(1, len(served)), 2),
        }

    def _fresh_state(self) -> None:
        """No queue, no run and no reservation of the run before."""
        import psycopg
        import redis

        from fintrack_tasks.settings import Settings

        with redis.Redis.from_url(self.environment["REDIS_URL"]) as client:
            client.flushdb()
        with psycopg.connect(**Settings.from_mapping(self.environment).conninfo, autocommit=True) as conn:
            conn.execute(
                "UPDATE fintrack.run_items SET state = 'failed', finished_at = now() WHERE finished_at IS NULL"
            )

    def _script_calls(self) -> int:
        import redis

        with redis.Redis.from_url(self.environment["REDIS_URL"]) as client:
            return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])

    def _fetch_worker(self) -> None:
        self._worker(QUEUE, "-P", "threads", "-c", "8")

    def _worker(self, queue: str, *pool: str) -> subprocess.Popen[bytes]:
        name = f"{queue}-{len(self.processes)}@%h"
        command = [sys.executable, "-m", "celery", "-A", "fintrack_tasks", "worker", "--loglevel", "WARNING"]
        made = subprocess.Popen([*command, "-Q", queue, "-n", name, *pool], env=self.environment)
        self.processes.append(made)
        return made

    def _await_workers(self, number: int) -> None:
        from fintrack_tasks.app import app

        deadline = time.monotonic() + 90
        while len(app.control.broadcast("ping", reply=True, timeout=1.0, limit=number) or ()) < number:
            if time.monotonic() > deadline:
                raise SystemExit("the workers did not start")

    def _enqueue(self, count: int) -> None:
        from fintrack_tasks.cli.run import enqueue_job

        enqueue_job("fetch_market_data", symbols=[f"Q{number}" for number in range(count)], asset_class="stock")

    def _sleep_until(self, moment: float) -> None:
        time.sleep(max(0.0, moment - time.time()))

    def _stop(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait(10)


def celery_only(control: Any, environment: Mapping[str, str], *, quick: bool) -> float:
    """Three workers, each of which keeps 20 a second: the fleet's largest second, over 20."""
    sys.path.insert(0, str(HERE))
    import celery_only as peer

    control.set_quotas(**{PROVIDER: "unlimited"})
    environment = {**environment, "CELERY_ONLY_RATE": "20/s"}
    command = [sys.executable, "-m", "celery", "-A", "celery_only", "worker", "--loglevel", "WARNING", "-P", "threads"]
    processes = [
        subprocess.Popen([*command, "-c", "8", "-n", f"only{number}@%h"], env=environment, cwd=HERE)
        for number in range(3)
    ]
    try:
        while len(peer.app.control.broadcast("ping", reply=True, timeout=1.0) or ()) < len(processes):
            pass
        control.reset()
        for number in range(400 if quick else 900):
            peer.fetch.apply_async((f"Q{number}",))
        time.sleep(7 if quick else 15)
        return float(max(control.requests([1.0])["max_in_window"]["1"].values())) / 20
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait(10)


if __name__ == "__main__":
    main()
