"""The local market of a test module, at the time that the module calls ``NOW``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from fintrack_tasks.fetch import providers
from fintrack_tasks.sandbox import Running, running


class MarketClock:
    """The market's time, which a test may move."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def clock(request: pytest.FixtureRequest) -> MarketClock:
    return MarketClock(request.module.NOW)


@pytest.fixture(scope="module")
def whole_market(clock: MarketClock) -> Iterator[Running]:
    with running(seed=7, clock=clock) as sandbox:
        yield sandbox


@pytest.fixture
def market(whole_market: Running, clock: MarketClock, request: pytest.FixtureRequest) -> Iterator[Running]:
    """The market; what a test does to its time, faults, quotas and counts ends with the test."""
    yield whole_market
    clock.now = request.module.NOW
    whole_market.control.clear_faults()
    whole_market.control.set_quotas(**dict.fromkeys(providers.names(), "unlimited"))
    whole_market.control.reset()
