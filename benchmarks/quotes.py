"""Quotes end to end: HTTP to committed row and acknowledged event, against four empty Celery tasks per symbol.

Both halves run on the same machine in the same run, one after the other, with the same pools: a fetch worker with
threads, an etl worker with two processes (and an ops worker for the pipeline). The sandbox's quotas are lifted. The
last line is a JSON object: ``symbols_per_s``, ``empty_chain_per_s``, ``ratio``.

    .venv/bin/python benchmarks/quotes.py [--symbols 2000] [--workers 1]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fintrack-bench-") as home:
        os.environ.update(
            FINTRACK_HOME=home,
            LOG_LEVEL="WARNING",
            YAHOO_FINANCE_QUOTA="unlimited",
            COINBASE_QUOTA="unlimited",
            MONITORING_ENABLED="false",
        )
        figures = measure(Path(home), arguments.symbols, arguments.workers)
    print(json.dumps(figures))


def measure(home: Path, symbols: int, workers: int) -> dict[str, float]:
    from fintrack_tasks.cli import stack as stacks
    from fintrack_tasks.embedded import Stack

    stack = Stack(home)
    try:
        environment = stacks.boot(stack, live=False, seed=7)
        empty = empty_chain(symbols, {**os.environ, **environment})
        print(f"four empty tasks per symbol: {empty:.1f} symbols/s")
        stacks.start_workers(stack, environment, workers=workers)
        stacks.wait_for_workers(stack)
        pipeline(50)  # connections, caches and calendars are warm, as they are in a fleet that runs
        full, committed = pipeline(symbols)
        print(f"the pipeline: {full:.1f} symbols/s to the acknowledged event, {committed:.1f} to the committed row")
    finally:
        stack.stop()
    return {
        "symbols_per_s": round(full, 1),
        "committed_per_s": round(committed, 1),
        "empty_chain_per_s": round(empty, 1),
        "ratio": round(full / empty, 3),
    }


def empty_chain(count: int, environment: dict[str, str]) -> float:
    """Symbols per second through four empty tasks."""
    import empty_chain as peer

    command = [sys.executable, "-m", "celery", "-A", "empty_chain", "worker", "--loglevel", "WARNING"]
    pools = (["-Q", "empty.fetch", "-P", "threads", "-c", "16", "-n", "empty-fetch@%h"],
             ["-Q", "empty.etl", "-P", "prefork", "-c", "2", "-n", "empty-etl@%h"])  # fmt: skip
    processes = [
        subprocess.Popen([*command, *pool], env=environment, cwd=Path(__file__).parent, stderr=subprocess.DEVNULL)
        for pool in pools
    ]
    try:
        while len(peer.app.control.broadcast("ping", reply=True, timeout=1.0) or ()) < len(pools):
            pass
        client = peer.app.connection_for_write().default_channel.client
        send(peer, 50)
        while int(client.get(peer.DONE) or 0) < 50:
            time.sleep(0.02)
        client.delete(peer.DONE)
        began = time.perf_counter()
        send(peer, count)
        while int(client.get(peer.DONE) or 0) < count:
            time.sleep(0.02)
        return count / (time.perf_counter() - began)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def send(peer, count: int) -> None:
    chain = [peer.load.s(), peer.transform.s(), peer.validate.s()]
    for number in range(count):
        peer.fetch.apply_async(({"id": number, "symbol": f"S{number}"},), chain=chain)


def pipeline(count: int) -> tuple[float, float]:
    """Symbols per second through the pipeline, to the acknowledged event and to the committed row."""
    from fintrack_tasks.cli.context import open_connections
    from fintrack_tasks.cli.run import enqueue_job
    from fintrack_tasks.store import outbox, runs

    with open_connections() as connections:
        began = time.perf_counter()
        run = enqueue_job("fetch_market_data", symbols=[f"S{count}X{n}" for n in range(count)])
        committed = None
        while True:
            with connections.database.connection() as conn:
                summary = runs.run_summary(conn, run)
                if (
                    summary
                    and summary.items
                    and committed is None
                    and summary.loaded + summary.failed + summary.empty == summary.items
                ):
                    committed = time.perf_counter() - began
                if committed and not outbox.lag(conn):
                    break
            time.sleep(0.05)
        seconds = time.perf_counter() - began
        if summary.loaded != count:
            raise SystemExit(f"only {summary.loaded} of {count} items were loaded: {summary}")
    return count / seconds, count / committed


if __name__ == "__main__":
    main()
