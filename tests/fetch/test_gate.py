"""The gate before a provider, on a real Redis-protocol server and an injected clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

import pytest
import redis

from fintrack_tasks.domain import Budget
from fintrack_tasks.errors import (
    ConfigurationError,
    EntitlementError,
    KeyRejectedError,
    MissingKeyError,
    OutageError,
    ProviderError,
    QuotaError,
    TransientError,
)
from fintrack_tasks.fetch.gate import PATIENCE, Gate, Pass, Place
from fintrack_tasks.fetch.keys import KeyRing
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest, KeyUse, Quota
from fintrack_tasks.settings import Settings

pytestmark = pytest.mark.integration

START: Final = 1_700_000_000.0
LONG: Final = 1_000_000.0
PRICE: Final = HttpRequest("/price", endpoint="price")
NEWS: Final = HttpRequest("/news", endpoint="news")
TWO_KEYS: Final = {"API_KEY_FINNHUB": "first-secret,second-secret"}
numbers = count()


def venue(*quotas: Quota, keyed: bool = False) -> Facts:
    """A provider of the test's own."""
    key = KeyUse("API_KEY_FINNHUB", header="X-Token") if keyed else None
    return replace(provider("yahoo_finance").facts, name=f"venue{next(numbers)}", quotas=quotas, key=key)


class Fleet:
    """Workers over one clock. A worker that sleeps moves it on."""

    def __init__(self, make_gate: Callable[..., Gate]) -> None:
        self._make, self.now, self.slept = make_gate, START, list[float]()
        self.gate = self.worker()

    def worker(self, variables: dict[str, str] | None = None, **options: Any) -> Gate:
        return self._make(variables, **{"clock": lambda: self.now, "sleep": self.sleep, **options})

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds + 1e-6  # a real sleep is never too short

    def ask(self, facts: Facts, request: HttpRequest = PRICE, **options: Any) -> Pass:
        """A request that is sent and answered at once."""
        taken = self.grant(facts, request, **options)
        self.gate.leave(taken, "answered")
        return taken

    def grant(self, facts: Facts, request: HttpRequest = PRICE, **options: Any) -> Pass:
        taken = self.gate.enter(facts, request, **options)
        assert isinstance(taken, Pass)
        return taken

    def wait(self, facts: Facts, request: HttpRequest = PRICE, budget: Budget = Budget.REAL_TIME) -> float:
        """Seconds until a request would be granted; takes nothing."""
        try:
            found = self.gate.enter(facts, request, budget, longest=LONG)
        except QuotaError as error:
            return error.retry_after or 0.0
        if isinstance(found, Pass):
            self.gate.leave(found, "unsent")
            return 0.0
        self.gate.cancel(facts, request, budget, found.ticket)
        return found.seconds


@pytest.fixture
def fleet(make_gate: Callable[..., Gate]) -> Fleet:
    return Fleet(make_gate)


# --- what is counted, and for how long -------------------------------------------------------------------------------


def test_what_a_heavy_request_used_is_used_for_a_light_one_and_the_other_way_round(fleet: Fleet) -> None:
    """A heavy request has no spacing of its own; its quotas are the same ones nevertheless."""
    facts = venue(Quota(20, 60.0), Quota(40, 3_600.0, burst=40))
    heavy = replace(PRICE, weight=20)
    for _ in range(2):
        fleet.ask(facts, heavy)
        fleet.now += 61
    assert fleet.wait(facts, PRICE) == pytest.approx(3_600 - 122, abs=1)
    assert fleet.wait(facts, heavy) == pytest.approx(3_600 - 122, abs=1)
    [standing] = fleet.gate.standing(facts)
    assert standing.used == ((20, 60.0, 0), (40, 3_600.0, 40))
    facts = venue(Quota(20, 60.0), Quota(40, 3_600.0, burst=40))
    for _ in range(30):
        fleet.now += 6
        fleet.ask(facts, PRICE)
    assert fleet.wait(facts, heavy) == pytest.approx(3_600 - 20 * 6, abs=1)


@pytest.mark.parametrize("silent", [0.0, 20.0, 29.0, 31.0, 50.0])
def test_a_killed_workers_request_is_counted_until_its_lease_and_its_window_end(fleet: Fleet, silent: float) -> None:
    """Whether somebody asks meanwhile or nobody does: the provider may have counted it as late as 30 s after."""
    facts = venue(Quota(1, 60.0))
    fleet.grant(facts)
    fleet.now += silent
    fleet.wait(facts)
    fleet.now = START + 89
    assert fleet.wait(facts) == pytest.approx(1, abs=0.01)
    fleet.now = START + 91
    assert fleet.wait(facts) == 0


def test_a_request_is_counted_as_long_as_the_http_time_out_lets_it_wait(make_gate: Callable[..., Gate]) -> None:
    fleet = Fleet(make_gate)
    fleet.gate = fleet.worker({"FINTRACK_HTTP_TIMEOUT_SECONDS": "100"})
    facts = venue(Quota(1, 1.0))
    taken = fleet.grant(facts)
    fleet.now += 99
    assert fleet.wait(facts) > 0
    fleet.gate.leave(taken, "answered")
    assert fleet.wait(facts) == pytest.approx(1, abs=0.01)
