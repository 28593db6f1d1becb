"""The gate against a plain model of what a provider may have counted, over random lives of a fleet.

Several workers ask with several keys under several quotas at once, in three budget classes and with weights. Answers
come after random times, fail, or never come because the worker was killed; who was given a wait comes back in time,
late, or never. The provider may have counted a request at any moment between its grant and its answer, so the model
keeps that whole span for each of them, and the provider is permit to have chosen the worst moments of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fintrack_tasks.domain import Budget
from fintrack_tasks.errors import QuotaError
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest, KeyUse, Quota
from fintrack_tasks.fetch.quota.gate import Gate
from fintrack_tasks.fetch.quota.permits import PATIENCE, Permit, Reservation, Wait

pytestmark = pytest.mark.integration

SECOND: Final = 1_000_000
HOUR: Final = 3_600 * SECOND
LEASE: Final = 30 * SECOND
"""A request of a killed worker may be counted until then, by what ``lua/gate.lua`` says of leases."""
SLOWEST: Final = 29 * SECOND
"""By then every answer has come or is given up."""
GRACE: Final = 15 * SECOND
FLOORS: Final = (0.25, 0.15)
"""The settings' own: what is kept for real time, and for gap repair besides."""
FACTS: Final = replace(provider("yahoo_finance").facts, key=KeyUse("API_KEY_FINNHUB", header="X-Token"))
EXACT: Final = [
    (Quota(5, 60.0), Quota(25, 86_400.0)),
    (Quota(1, 60.0),),
    (Quota(2, 1.0), Quota(10, 60.0)),
    (Quota(8, 60.0, burst=8), Quota(20, 3_600.0, burst=20)),
    (Quota(20, 1.0, burst=20),),
]
"""Quotas of which all may go out at once: the gate's times are then the model's, to the microsecond."""
SPACED: Final = [(Quota(60, 60.0),), (Quota(30, 1.0), Quota(60, 60.0)), (Quota(10, 1.0, burst=1),)]
EXAMPLES: Final = 150
numbers = count()


@dataclass(eq=False)
class Sent:
    """A request that the provider may have counted between ``granted`` and ``ends``; ``None`` while it flies."""

    key: str
    budget: Budget
    weight: int
    granted: int
    ends: int | None = None


@dataclass(eq=False)
class Held:
    """A wait that its holder may still claim."""

    reservation: Reservation
    budget: Budget
    weight: int
    forfeited: int


class Model:
    """What a provider may have counted, and what follows for the next request. Times are microseconds."""

    def __init__(self, quotas: tuple[Quota, ...]) -> None:
        self.quotas = quotas
        self.sent: list[Sent] = []

    def caps(self, limit: int, weight: int) -> list[int]:
        """The most that requests of each class and the lower ones may hold together."""
        shares = (1.0, 1 - FLOORS[0], 1 - sum(FLOORS))
        return [max(1, weight, int(limit * share + 1e-9)) for share in shares]

    def rooms(self, key: str, budget: Budget, weight: int) -> Iterator[tuple[int, int, list[Sent]]]:
        """For each limit that holds for a request: so many of these may be within so long."""
        mine = [each for each in self.sent if each.key == key]
        for quota in self.quotas:
            caps = self.caps(quota.limit, weight)
            for least in range(budget + 1):
                yield caps[least], int(quota.seconds * SECOND), [s for s in mine if s.budget >= least]

    def counted(self, sent: list[Sent], span: int, now: int, margin: int = 0) -> int:
        """How much of a window that ends now the provider may have counted."""
        return sum(s.weight for s in sent if s.ends is None or s.ends + span + margin > now)

    def fits(self, key: str, budget: Budget, weight: int, now: int) -> bool:
        """Whether there is room with certainty. The gate leaves a microsecond between."""
        return all(
            self.counted(sent, span, now, 1) + weight <= limit for limit, span, sent in self.rooms(key, budget, weight)
        )

    def earliest(self, key: str, budget: Budget, weight: int, now: int) -> int | None:
        """The first microsecond with room; ``None`` while that hangs on answers which have not come."""
        if any(s.ends is None or s.ends > now for s in self.sent if s.key == key):
            return None
        rooms = list(self.rooms(key, budget, weight))
        ends = {s.ends + span + 1 for _, span, sent in rooms for s in sent if s.ends is not None}
        return next(at for at in (now, *sorted(end for end in ends if end > now)) if self.fits(key, budget, weight, at))

    def next_end(self, now: int) -> int | None:
        """When the next request leaves a window."""
        spans = [int(quota.seconds * SECOND) for quota in self.quotas]
        ends = (s.ends + span for s in self.sent for span in spans if s.ends is not None)
        return min((end for end in ends if end > now), default=None)

    def only_history(self, weight: int, now: int) -> bool:
        """Whether nothing but backfill and gap repair is in the windows, and the floor is as large as the weight."""
        span = int(max(quota.seconds for quota in self.quotas) * SECOND)
        quotes = [s for s in self.sent if s.budget is Budget.REAL_TIME]
        heaviest = max((s.weight for s in self.sent), default=1)
        floors = [quota.limit - self.caps(quota.limit, heaviest)[1] for quota in self.quotas]
        return self.counted(quotes, span, now, 1) == 0 and min(floors) >= weight


class Fleet(RuleBasedStateMachine):
    """Three workers, each with a gate of its own, over one clock."""

    make_gate: Callable[..., Gate]

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000 * SECOND
        self.flying: list[tuple[Permit, Sent]] = []
        self.waits: list[Held] = []

    @initialize(quotas=st.sampled_from(EXACT + SPACED), keys=st.sampled_from(["one", "one,two"]))
    def begin(self, quotas: tuple[Quota, ...], keys: str) -> None:
        self.exact = quotas in EXACT
        self.facts: Facts = replace(FACTS, name=f"venue{next(numbers)}", quotas=quotas)
        variables = {"API_KEY_FINNHUB": keys}
        options = {"clock": lambda: (self.now + 0.5) / SECOND, "sleep": self.pass_time, "asleep": 0}
        self.gates = [type(self).make_gate(variables, **options) for _ in range(3)]
        self.names = [standing.key for standing in self.gates[0].standing(self.facts)]
        self.model = Model(quotas)

    # --- time --------------------------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    @rule(
        micros=st.one_of(
            st.integers(0, SECOND),
            st.integers(0, 20 * SECOND),
            st.integers(0, 3 * HOUR),
            st.sampled_from([SECOND, LEASE, 60 * SECOND, HOUR, 24 * HOUR]),
        )
    )
    def time_passes(self, micros: int) -> None:
        """Nobody waits for an answer longer than its time-out."""
        until = self.now + micros
        for permit, sent in list(self.flying):
            if sent.granted + SLOWEST <= until:
                self.now = max(self.now, sent.granted + SLOWEST)
                self.release(permit, sent, "answered", 0)
        self.now = max(self.now, until)

    @rule(beside=st.integers(-1, 2))
    def time_passes_to_the_edge_of_a_window(self, beside: int) -> None:
        end = self.model.next_end(self.now)
        if end is not None:
            self.time_passes(max(0, end + beside - self.now))

    # --- what workers do ---------------------------------------------------------------------------------------------

    @rule(
        worker=st.integers(0, 2),
        budget=st.sampled_from(Budget),
        weight=st.sampled_from([1, 1, 1, 2, 5]),
        patient=st.booleans(),
        times=st.integers(1, 6),
    )
    def asks(self, worker: int, budget: Budget, weight: int, patient: bool, times: int) -> None:
        weight = min(weight, *(quota.limit for quota in self.model.quotas))
        for _ in range(times):
            before = self.now
            barred = any(p.forfeited > before for p in self.waits if budget or not p.budget)
            fitting = [key for key in self.names if self.model.fits(key, budget, weight, before)]
            only_history = self.model.only_history(weight, before)
            moments = [self.model.earliest(key, budget, weight, before) for key in self.names]
            result = self.acquire(worker, budget, weight, patient, None)
            if not self.exact or barred:
                continue
            if fitting:
                assert result == 0, "there was room with certainty"
            elif None not in moments:
                assert result == min(at for at in moments if at) - before, "the wait is the model's"
            if budget is Budget.REAL_TIME and only_history:
                assert result == 0, "backfill alone kept a quote waiting"

    @precondition(lambda self: self.waits)
    @rule(worker=st.integers(0, 2), number=st.integers(0, 20), in_time=st.booleans())
    def comes_back(self, worker: int, number: int, in_time: bool) -> None:
        wait = self.waits[number % len(self.waits)]
        if in_time and wait.forfeited - GRACE > self.now:
            self.time_passes(wait.forfeited - GRACE - self.now)
        self.waits.remove(wait)
        key, before = wait.reservation.key, self.now
        fits = self.model.fits(key, wait.budget, wait.weight, before)
        earliest = self.model.earliest(key, wait.budget, wait.weight, before)
        result = self.acquire(worker, wait.budget, wait.weight, True, wait.reservation)
        if self.exact and fits:
            assert result == 0, "there was room with certainty"
        elif self.exact and earliest is not None:
            assert result == earliest - before, "the wait is the model's"

    def acquire(self, worker: int, budget: Budget, weight: int, patient: bool, reservation: Reservation | None) -> int:
        """Ask the gate; returns the microseconds of the wait that it had or was told of."""
        before, request = self.now, HttpRequest("/", weight=weight)
        try:
            longest = 1e9 if patient else 0.0
            result = self.gates[worker].acquire(self.facts, request, budget, reservation=reservation, longest=longest)
        except QuotaError as error:
            wait = error.retry_after or 0.0
            assert (patient, error.asked, wait > PATIENCE) == (False, False, True)  # noqa: PT017  one of three outcomes
            return self.now - before + round(wait * SECOND)
        if isinstance(result, Wait):
            wait = round(result.seconds * SECOND)
            grace = GRACE if patient else SECOND
            self.waits.append(Held(result.reservation, budget, weight, self.now + wait + grace))
            return self.now - before + wait
        self.granted(result, budget, weight)
        return self.now - before

    def granted(self, permit: Permit, budget: Budget, weight: int) -> None:
        key = permit.reservation.key
        for limit, span, sent in self.model.rooms(key, budget, weight):
            counted = self.model.counted(sent, span, self.now)
            assert counted + weight <= limit, f"{counted} + {weight} may be counted in {span} us, of {limit}"
        sent = Sent(key, budget, weight, self.now)
        self.model.sent.append(sent)
        self.flying.append((permit, sent))

    # --- how requests and waits end ---------------------------------------------------------------------------------

    @precondition(lambda self: self.flying)
    @rule(worker=st.integers(0, 2), number=st.integers(0, 20), outcome=st.sampled_from(["answered"] * 3 + ["unsent"]))
    def is_over(self, worker: int, number: int, outcome: str) -> None:
        self.release(*self.flying[number % len(self.flying)], outcome, worker)

    @rule(worker=st.integers(0, 2))
    def all_are_answered(self, worker: int) -> None:
        for permit, sent in list(self.flying):
            self.release(permit, sent, "answered", worker)

    def release(self, permit: Permit, sent: Sent, outcome: str, worker: int) -> None:
        self.flying.remove((permit, sent))
        self.gates[worker].release(permit, outcome)
        if outcome == "unsent":
            self.model.sent.remove(sent)
        else:
            sent.ends = self.now

    @precondition(lambda self: self.flying)
    @rule(number=st.integers(0, 20))
    def a_worker_is_killed(self, number: int) -> None:
        _, sent = self.flying.pop(number % len(self.flying))
        sent.ends = sent.granted + LEASE

    @precondition(lambda self: self.waits)
    @rule(worker=st.integers(0, 2), number=st.integers(0, 20))
    def gives_a_place_back(self, worker: int, number: int) -> None:
        wait = self.waits.pop(number % len(self.waits))
        self.gates[worker].cancel(self.facts, HttpRequest("/", weight=wait.weight), wait.budget, wait.reservation)


@pytest.mark.timeout(300)
def test_no_window_is_ever_exceeded_and_no_slot_is_left_unused(make_gate: Callable[..., Gate]) -> None:
    machine = type("Lives", (Fleet,), {"make_gate": staticmethod(make_gate)})
    run_state_machine_as_test(
        machine, settings=hypothesis_settings(max_examples=EXAMPLES, stateful_step_count=50, deadline=None)
    )
