"""A fleet of worker processes keeps a provider's quota whoever joins or dies, and a slow provider holds nobody up."""

from __future__ import annotations

import signal
import time

import pytest

from fintrack_tasks.sandbox import Running
from tests.integration.conftest import Workers

pytestmark = [pytest.mark.integration, pytest.mark.chaos, pytest.mark.timeout(240)]

LIMIT = 10
QUEUE = "fetch.yahoo_finance"
FETCH = ("-P", "threads", "-c", "8")


def test_the_quota_is_held_and_used_while_one_worker_joins_and_another_is_killed(
    workers: Workers, market: Running
) -> None:
    workers.environment["YAHOO_FINANCE_QUOTA"] = f"{LIMIT}/s"
    victim, *_ = [workers.start(QUEUE, *FETCH) for _ in range(3)]
    workers.await_living(QUEUE, 3)
    workers.quotes([f"S{number}" for number in range(300)])
    workers.until(lambda: market.control.requests(listed=False)["total"] >= 20, 30, "20 requests")
    workers.start(QUEUE, *FETCH)
    workers.await_living(QUEUE, 4)
    began = time.time()
    time.sleep(3)
    victim.send_signal(signal.SIGKILL)
    time.sleep(6)
    report = market.control.requests([1.0])
    assert report["total"] < 300, "there was always more to do"
    assert report["status_429"] == 0
    assert max(report["max_in_window"]["1"].values()) <= LIMIT
    served = sum(at >= began for at, *_ in report["requests"])
    # Whoever is left uses what the dead one had; benchmarks/quota.py measures how much of a quota is used.
    assert served > 2 * LIMIT


def test_a_provider_that_is_used_up_does_not_hold_up_another_ones_items(workers: Workers) -> None:
    """One worker serves both; 50 stocks wait for a provider that takes one a minute."""
    workers.environment["YAHOO_FINANCE_QUOTA"] = "1/m"
    workers.start(f"{QUEUE},fetch.coinbase", *FETCH)
    workers.start("etl", "-P", "prefork", "-c", "1")
    workers.await_living(QUEUE, 1)
    coins = [f"{name}-USD" for name in ("BTC", "ETH", "SOL", "ADA", "XRP", "DOGE", "DOT", "LTC")]
    for _ in range(2):  # the first ones open the processes' connections
        idle = workers.quotes(coins)
        workers.until(lambda run=idle: None not in workers.seconds_of(run), 60, "coins")  # type: ignore[misc]
    stocks = workers.quotes([f"S{number}" for number in range(50)])
    workers.until(lambda: any(workers.seconds_of(stocks)), 30, "stock")
    time.sleep(3)
    busy = workers.quotes(coins)
    workers.until(lambda: None not in workers.seconds_of(busy), 60, "coins while stocks wait")
    assert sum(seconds is None for seconds in workers.seconds_of(stocks)) == 49
    without, beside = max(map(float, workers.seconds_of(idle))), max(map(float, workers.seconds_of(busy)))  # type: ignore[arg-type]
    assert beside < without + 1.0, f"{beside:.2f} s beside the waiting stocks, {without:.2f} s without them"
