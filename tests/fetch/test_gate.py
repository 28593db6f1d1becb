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

    def __init__(self, make_gate: Callable[..., Gate], **variables: str) -> None:
        self._make, self._variables, self.now, self.slept = make_gate, variables, START, list[float]()
        self.gate = self.worker()

    def worker(self, **options: Any) -> Gate:
        return self._make(self._variables, **{"clock": lambda: self.now, "sleep": self.sleep, **options})

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
        found = self.worker(asleep=0).enter(facts, request, budget, longest=LONG)
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
    fleet = Fleet(make_gate, FINTRACK_HTTP_TIMEOUT_SECONDS="100")
    facts = venue(Quota(1, 1.0))
    taken = fleet.grant(facts)
    fleet.now += 99
    assert fleet.wait(facts) > 0
    fleet.gate.leave(taken, "answered")
    assert fleet.wait(facts) == pytest.approx(1, abs=0.01)


# --- budget classes --------------------------------------------------------------------------------------------------


def test_backfill_and_gap_repair_together_leave_the_floor_to_quotes(fleet: Fleet) -> None:
    """Of 20, quotes keep 25%, gap repair 15% besides: backfill holds at most 12, both together at most 15."""
    facts = venue(Quota(20, 60.0, burst=20))
    for _ in range(15):
        fleet.ask(facts, budget=Budget.GAP_REPAIR)
    assert fleet.wait(facts, budget=Budget.GAP_REPAIR) > 0
    assert fleet.wait(facts, budget=Budget.DEEP_BACKFILL) > 0
    for _ in range(5):
        fleet.ask(facts)
    assert fleet.wait(facts) > 0


def test_backfill_leaves_gap_repair_its_part(fleet: Fleet) -> None:
    facts = venue(Quota(20, 60.0, burst=20))
    for _ in range(12):
        fleet.ask(facts, budget=Budget.DEEP_BACKFILL)
    assert fleet.wait(facts, budget=Budget.DEEP_BACKFILL) > 0
    for _ in range(3):
        fleet.ask(facts, budget=Budget.GAP_REPAIR)
    assert fleet.wait(facts, budget=Budget.GAP_REPAIR) > 0
    assert fleet.wait(facts) == 0


def test_quotes_may_use_the_whole_quota(fleet: Fleet) -> None:
    facts = venue(Quota(20, 60.0, burst=20))
    for _ in range(20):
        fleet.ask(facts)
    assert fleet.wait(facts) == pytest.approx(60, abs=0.01)


def test_holders_of_places_who_come_late_do_not_exceed_their_class_cap(fleet: Fleet) -> None:
    """Of 2 in a minute, backfill holds 1. The first holder comes when the second one's turn is."""
    facts, backfill = venue(Quota(2, 10.0)), {"budget": Budget.DEEP_BACKFILL, "longest": LONG}
    fleet.ask(facts, **backfill)
    places = [fleet.gate.enter(facts, PRICE, **backfill) for _ in range(2)]
    assert isinstance(places[0], Place)
    assert isinstance(places[1], Place)
    assert places[1].seconds > places[0].seconds + 9
    fleet.now += places[1].seconds
    fleet.ask(facts, ticket=places[1].ticket, **backfill)
    late = fleet.gate.enter(facts, PRICE, ticket=places[0].ticket, **backfill)
    assert isinstance(late, Place)
    fleet.ask(facts)
