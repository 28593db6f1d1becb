"""The gate before a provider, on a real Redis-protocol server and an injected clock."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fintrack_tasks.domain import Budget
from fintrack_tasks.embedded import process
from fintrack_tasks.embedded.ports import choose_port
from fintrack_tasks.embedded.process import ProcessState
from fintrack_tasks.embedded.valkey import Valkey
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
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest, KeyUse, Quota
from fintrack_tasks.fetch.quota.gate import Gate
from fintrack_tasks.fetch.quota.keys import PUBLIC, KeyRing
from fintrack_tasks.fetch.quota.permits import PATIENCE, Permit, Reservation, Wait
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

    def ask(self, facts: Facts, request: HttpRequest = PRICE, **options: Any) -> Permit:
        """A request that is sent and answered at once."""
        permit = self.grant(facts, request, **options)
        self.gate.release(permit, "answered")
        return permit

    def grant(self, facts: Facts, request: HttpRequest = PRICE, **options: Any) -> Permit:
        permit = self.gate.acquire(facts, request, **options)
        assert isinstance(permit, Permit)
        return permit

    def wait(self, facts: Facts, request: HttpRequest = PRICE, budget: Budget = Budget.REAL_TIME) -> float:
        """Seconds until a request would be granted; takes nothing."""
        found = self.worker(asleep=0).acquire(facts, request, budget, longest=LONG)
        if isinstance(found, Permit):
            self.gate.release(found, "unsent")
            return 0.0
        self.gate.cancel(facts, request, budget, found.reservation)
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
    permit = fleet.grant(facts)
    fleet.now += 99
    assert fleet.wait(facts) > 0
    fleet.gate.release(permit, "answered")
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


def test_holders_of_reservation_who_come_late_do_not_exceed_their_class_cap(fleet: Fleet) -> None:
    """Of 2 in a minute, backfill holds 1. The first holder comes when the second one's turn is."""
    facts, backfill = venue(Quota(2, 10.0)), {"budget": Budget.DEEP_BACKFILL, "longest": LONG}
    fleet.ask(facts, **backfill)
    waits = [fleet.gate.acquire(facts, PRICE, **backfill) for _ in range(2)]
    assert isinstance(waits[0], Wait)
    assert isinstance(waits[1], Wait)
    assert waits[1].seconds > waits[0].seconds + 9
    fleet.now += waits[1].seconds
    fleet.ask(facts, reservation=waits[1].reservation, **backfill)
    late = fleet.gate.acquire(facts, PRICE, reservation=waits[0].reservation, **backfill)
    assert isinstance(late, Wait)
    fleet.ask(facts)


# --- the circuit -----------------------------------------------------------------------------------------------------


def fail(fleet: Fleet, facts: Facts, times: int) -> None:
    for _ in range(times):
        fleet.gate.release(fleet.grant(facts), "failed")


def test_five_failures_in_a_row_open_the_circuit_for_the_whole_fleet(fleet: Fleet) -> None:
    facts = venue()
    fail(fleet, facts, 4)
    fleet.ask(facts)  # not in a row
    fail(fleet, facts, 5)
    with pytest.raises(TransientError, match="it failed repeatedly") as caught:
        fleet.worker().acquire(facts, PRICE)
    assert (caught.value.retry_after, caught.value.asked) == (pytest.approx(15), False)
    [standing] = fleet.gate.standing(facts)
    assert standing.circuit == "open"
    assert standing.circuit_until == datetime.fromtimestamp(START + 15, tz=UTC)


def test_an_open_circuit_lets_one_probe_through_and_closes_when_it_is_answered(fleet: Fleet) -> None:
    facts = venue()
    fail(fleet, facts, 5)
    fleet.now += 15
    assert fleet.gate.standing(facts)[0].circuit == "half-open"
    probe = fleet.grant(facts)
    with pytest.raises(TransientError):
        fleet.grant(facts)
    fleet.gate.release(probe, "answered")
    fleet.grant(facts)
    assert fleet.gate.standing(facts)[0].circuit == "closed"


def test_each_failed_probe_doubles_the_pause_up_to_four_minutes(fleet: Fleet) -> None:
    facts = venue()
    fail(fleet, facts, 5)
    pauses = []
    for _ in range(6):
        with pytest.raises(TransientError) as caught:
            fleet.grant(facts)
        assert caught.value.retry_after is not None
        pauses.append(round(caught.value.retry_after))
        fleet.now += caught.value.retry_after + 0.001
        fail(fleet, facts, 1)
    assert pauses == [15, 30, 60, 120, 240, 240]


def test_a_killed_probe_is_followed_by_another_one(fleet: Fleet) -> None:
    facts = venue()
    fail(fleet, facts, 5)
    fleet.now += 15
    fleet.grant(facts)
    fleet.now += 29
    with pytest.raises(TransientError):
        fleet.grant(facts)
    fleet.now += 1.001
    fleet.grant(facts)


def test_who_must_wait_for_a_slot_is_not_refused_by_the_probe_that_it_would_have_been(fleet: Fleet) -> None:
    facts = venue(Quota(5, 20.0))
    fail(fleet, facts, 5)
    fleet.now += 15
    wait = fleet.gate.acquire(facts, PRICE, longest=LONG)
    assert isinstance(wait, Wait)
    fleet.now += wait.seconds
    fleet.ask(facts, reservation=wait.reservation)
    assert fleet.gate.standing(facts)[0].circuit == "closed"


def test_what_was_never_sent_says_nothing_of_the_provider(fleet: Fleet) -> None:
    facts = venue(Quota(1, 60.0))
    for _ in range(10):
        fleet.gate.release(fleet.grant(facts), "unsent")
    fleet.gate.release(fleet.grant(facts), "failed")
    fleet.now += 61
    fleet.gate.release(fleet.grant(facts), "unsent")
    assert fleet.gate.standing(facts)[0].circuit == "closed, 1 failures"


# --- what answers teach ----------------------------------------------------------------------------------------------


def learn(fleet: Fleet, facts: Facts, error: ProviderError, request: HttpRequest = PRICE) -> Permit:
    permit = fleet.ask(facts, request)
    fleet.gate.learn(permit, error)
    return permit


def test_a_429_closes_the_provider_for_its_retry_after(fleet: Fleet) -> None:
    facts = venue(Quota(100, 60.0))
    learn(fleet, facts, QuotaError("429", retry_after=7.0))
    with pytest.raises(QuotaError, match="it closed itself") as caught:
        fleet.worker().acquire(facts, PRICE, longest=LONG)
    assert (caught.value.retry_after, caught.value.asked) == (pytest.approx(7), False)
    assert fleet.gate.standing(facts)[0].closed_until == datetime.fromtimestamp(START + 7, tz=UTC)
    fleet.now += 7
    fleet.grant(facts)


@pytest.mark.parametrize(
    ("quotas", "seconds"),
    [
        ((Quota(5, 60.0), Quota(25, 86_400.0)), 60),
        ((Quota(10, 1.0),), 1),
        ((Quota(9, 1.0), Quota(90, 3_600.0)), 3_600),
        ((Quota(25, 86_400.0),), 60),
        ((), 60),
    ],
)
@pytest.mark.parametrize("said", [None, 0.0])
def test_a_429_that_says_no_time_closes_it_for_one_window_and_for_no_day(
    fleet: Fleet, quotas: tuple[Quota, ...], seconds: int, said: float | None
) -> None:
    facts = venue(*quotas)
    learn(fleet, facts, QuotaError("429", retry_after=said))
    with pytest.raises(QuotaError) as caught:
        fleet.grant(facts)
    assert caught.value.retry_after == pytest.approx(seconds)


def test_a_day_that_is_used_up_is_not_opened_by_a_later_answer_that_names_a_minute(fleet: Fleet) -> None:
    """Two were in flight: one was told of the daily limit, the other of the burst."""
    facts = venue(Quota(5, 60.0))
    first, second = fleet.grant(facts), fleet.grant(facts)
    for permit, seconds in ((first, 20_000.0), (second, 60.0)):
        fleet.gate.release(permit, "answered")
        fleet.gate.learn(permit, QuotaError("used up", retry_after=seconds))
    fleet.now += 10_000
    with pytest.raises(QuotaError) as caught:
        fleet.grant(facts)
    assert caught.value.retry_after == pytest.approx(10_000)


def test_a_plan_is_learnt_per_endpoint_and_key_for_a_day(make_gate: Callable[..., Gate]) -> None:
    fleet = Fleet(make_gate, **TWO_KEYS)
    facts = venue(keyed=True)
    barred = {learn(fleet, facts, EntitlementError("premium")).key.name}
    assert {fleet.ask(facts).key.name for _ in range(20)}.isdisjoint(barred)  # the other key still works
    assert {fleet.ask(facts, NEWS).key.name for _ in range(40)} > barred  # and this one elsewhere
    learn(fleet, facts, EntitlementError("premium"))
    with pytest.raises(EntitlementError, match="price is not in the plan of its key") as caught:
        fleet.grant(facts)
    assert caught.value.retry_after == pytest.approx(86_400)
    assert caught.value.asked is False
    fleet.ask(facts, NEWS)
    assert [set(standing.entitlements) for standing in fleet.gate.standing(facts)] == [{"price"}, {"price"}]
    fleet.now += 86_401
    fleet.ask(facts)


def test_a_refused_key_is_set_aside_for_a_day_and_said_once(make_gate: Callable[..., Gate]) -> None:
    fleet = Fleet(make_gate, **TWO_KEYS)
    facts = venue(keyed=True)
    permit = fleet.ask(facts)
    said = [fleet.worker().learn(permit, KeyRejectedError("Invalid API key")) for _ in range(3)]
    assert said == [True, False, False]
    others = {fleet.ask(facts).key.name for _ in range(20)}
    assert permit.key.name not in others
    assert len(others) == 1
    assert fleet.gate.learn(fleet.ask(facts), KeyRejectedError("Invalid API key")) is True
    with pytest.raises(KeyRejectedError, match="set aside") as caught:
        fleet.grant(facts)
    assert (caught.value.retry_after, caught.value.asked) == (pytest.approx(86_400), False)


def test_a_changed_key_starts_anew_and_a_ticket_of_the_old_one_is_forgotten(make_gate: Callable[..., Gate]) -> None:
    before, after = Fleet(make_gate, API_KEY_FINNHUB="old"), Fleet(make_gate, API_KEY_FINNHUB="new")
    facts = venue(Quota(1, 60.0), keyed=True)
    refused = before.ask(facts)
    wait = before.gate.acquire(facts, PRICE, longest=LONG)
    assert isinstance(wait, Wait)
    before.gate.learn(refused, KeyRejectedError("Invalid API key"))
    permit = after.grant(facts, reservation=wait.reservation)
    assert permit.reservation.id != wait.reservation.id
    [standing] = after.gate.standing(facts)
    assert (standing.rejected_until, standing.used) == (None, ((1, 60.0, 1),))


@pytest.mark.parametrize(
    "error", [KeyRejectedError("Invalid API key"), EntitlementError("premium"), QuotaError("429", retry_after=900.0)]
)
def test_who_waited_for_a_key_that_is_barred_meanwhile_is_let_in_with_another(
    make_gate: Callable[..., Gate], error: ProviderError
) -> None:
    fleet, facts = Fleet(make_gate, **TWO_KEYS), venue(Quota(1, 60.0), keyed=True)
    first, second = fleet.ask(facts), fleet.ask(facts)
    wait = fleet.gate.acquire(facts, PRICE, longest=LONG)
    assert isinstance(wait, Wait)
    barred, other = (first, second) if wait.reservation.key == first.key.name else (second, first)
    fleet.gate.learn(barred, error)
    fleet.now += 61
    permit = fleet.ask(facts, reservation=wait.reservation)
    assert permit.key == other.key
    wait = fleet.gate.acquire(facts, PRICE, longest=LONG)
    assert isinstance(wait, Wait)
    fleet.gate.learn(other, error)
    with pytest.raises(type(error)):
        fleet.gate.acquire(facts, PRICE, reservation=wait.reservation)


@pytest.mark.parametrize("error", [KeyRejectedError("401"), EntitlementError("403")])
def test_a_provider_without_keys_is_not_barred_by_a_refusal(fleet: Fleet, error: ProviderError) -> None:
    facts = venue()
    assert fleet.gate.learn(fleet.ask(facts), error) is False
    fleet.ask(facts)


@pytest.mark.parametrize("error", [TransientError("502"), ProviderError("?")])
def test_other_errors_teach_nothing(make_gate: Callable[..., Gate], error: ProviderError) -> None:
    fleet, facts = Fleet(make_gate, API_KEY_FINNHUB="one"), venue(keyed=True)
    assert fleet.gate.learn(fleet.ask(facts), error) is False
    fleet.ask(facts)


def test_where_every_key_is_barred_the_reason_that_passes_first_is_told(make_gate: Callable[..., Gate]) -> None:
    """A quota is waited for; a refused key is not."""
    fleet, facts = Fleet(make_gate, **TWO_KEYS), venue(Quota(100, 60.0), keyed=True)
    learn(fleet, facts, KeyRejectedError())
    learn(fleet, facts, QuotaError("429", retry_after=30.0))
    with pytest.raises(QuotaError) as caught:
        fleet.grant(facts)
    assert caught.value.retry_after == pytest.approx(30)


def test_a_provider_without_quotas_has_no_windows_and_still_honours_its_closing(fleet: Fleet) -> None:
    facts = venue()
    for _ in range(200):
        fleet.ask(facts)
    [standing] = fleet.gate.standing(facts)
    assert (standing.used, standing.waiting, fleet.slept) == ((), 0, [])
    learn(fleet, facts, QuotaError("429", retry_after=9.0))
    with pytest.raises(QuotaError):
        fleet.grant(facts)


def test_quotas_that_the_operator_lifted_are_not_held(make_gate: Callable[..., Gate]) -> None:
    facts = replace(provider("yahoo_finance").facts, name="lifted", quotas=(Quota(1, 60.0),))
    fleet = Fleet(make_gate, LIFTED_QUOTA="unlimited", API_RATE_LIMIT="0")
    for _ in range(50):
        fleet.ask(facts)
    assert fleet.gate.standing(facts)[0].used == ()


# --- spacing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quota", "at_once", "then"),
    [
        (Quota(60, 60.0), 6, 6.0),  # a tenth
        (Quota(10, 60.0), 10, 60.0),  # so few may go out together
        (Quota(20, 60.0, burst=20), 20, 60.0),
        (Quota(10, 60.0, burst=1), 1, 6.0),
        (Quota(100, 86_400.0), 100, 86_400.0),  # a day is nobody's burst
    ],
)
def test_so_many_go_out_at_once_and_the_next_one_after_their_part_of_the_window(
    fleet: Fleet, quota: Quota, at_once: int, then: float
) -> None:
    facts = venue(quota)
    for _ in range(at_once):
        fleet.ask(facts)
    assert (fleet.now, fleet.slept) == (START, [])
    assert then <= fleet.wait(facts) < then * 1.01


def test_a_spaced_quota_is_nearly_fully_used(fleet: Fleet) -> None:
    """By one who asks again and again and whose answers take a tenth of a second: 97% at least."""
    facts, asked = venue(Quota(60, 60.0)), []
    reservation = None
    while fleet.now < START + 240:
        found = fleet.gate.acquire(facts, PRICE, reservation=reservation, longest=LONG)
        reservation = found.reservation if isinstance(found, Wait) else None
        if isinstance(found, Wait):
            fleet.now += found.seconds
        else:
            fleet.now += 0.1
            fleet.gate.release(found, "answered")
            asked.append(fleet.now)
    steady = [at for at in asked if at > START + 60]
    assert 0.97 * 180 <= len(steady) <= 180


# --- waiting ---------------------------------------------------------------------------------------------------------


def test_a_short_wait_is_slept(fleet: Fleet) -> None:
    facts = venue(Quota(1, 1.5))
    fleet.ask(facts)
    fleet.ask(facts)
    assert fleet.slept == [pytest.approx(1.5, abs=0.001)]
    assert fleet.slept[0] < PATIENCE


def test_a_long_wait_is_a_reservation_and_who_comes_back_in_time_is_let_in(fleet: Fleet) -> None:
    facts = venue(Quota(1, 60.0))
    fleet.ask(facts)
    wait = fleet.gate.acquire(facts, PRICE, longest=LONG)
    assert isinstance(wait, Wait)
    assert wait.seconds == pytest.approx(60, abs=0.001)
    assert fleet.slept == []
    fleet.now += wait.seconds
    permit = fleet.worker().acquire(facts, PRICE, reservation=wait.reservation)  # any worker may take it up
    assert isinstance(permit, Permit)
    assert permit.reservation == wait.reservation


def test_who_comes_too_early_keeps_the_place(fleet: Fleet) -> None:
    facts = venue(Quota(1, 60.0))
    fleet.ask(facts)
    wait = fleet.gate.acquire(facts, PRICE, longest=LONG)
    assert isinstance(wait, Wait)
    fleet.now += 10
    again = fleet.gate.acquire(facts, PRICE, reservation=wait.reservation, longest=LONG)
    assert isinstance(again, Wait)
    assert (again.reservation, again.seconds) == (wait.reservation, pytest.approx(wait.seconds - 10, abs=0.001))


def test_reservation_stand_in_a_row_and_nobody_overtakes_them(fleet: Fleet) -> None:
    facts = venue(Quota(1, 60.0))
    fleet.ask(facts)
    waits = [fleet.gate.acquire(facts, PRICE, longest=LONG) for _ in range(3)]
    assert [round(wait.seconds) for wait in waits if isinstance(wait, Wait)] == [60, 120, 180]
    fleet.now += 65  # its holder is late
    assert fleet.wait(facts) == pytest.approx(175, abs=1)
    assert isinstance(waits[0], Wait)
    fleet.ask(facts, reservation=waits[0].reservation)


def test_quotes_go_before_the_reservation_of_backfill(fleet: Fleet) -> None:
    facts = venue(Quota(1, 60.0))
    fleet.ask(facts)
    waits = [fleet.gate.acquire(facts, PRICE, Budget.DEEP_BACKFILL, longest=LONG) for _ in range(3)]
    assert all(isinstance(wait, Wait) for wait in waits)
    assert fleet.wait(facts) == pytest.approx(60, abs=0.001)


def test_a_reservation_whose_holder_never_comes_is_free_after_fifteen_seconds(fleet: Fleet) -> None:
    facts = venue(Quota(1, 60.0))
    fleet.ask(facts)
    wait = fleet.gate.acquire(facts, PRICE, longest=LONG)
    assert isinstance(wait, Wait)
    fleet.now += wait.seconds + 14.9
    assert fleet.wait(facts) > 40
    assert fleet.gate.standing(facts)[0].waiting == 1
    fleet.now += 0.2
    assert fleet.gate.standing(facts)[0].waiting == 0
    fleet.ask(facts)


def test_the_reservation_of_a_worker_that_is_killed_in_its_sleep_is_free_after_a_second(fleet: Fleet) -> None:
    class KilledError(Exception):
        pass

    def killed(_: float) -> None:
        raise KilledError

    facts = venue(Quota(1, 1.5))
    fleet.ask(facts)
    with pytest.raises(KilledError):
        fleet.worker(sleep=killed).acquire(facts, PRICE)
    fleet.now += 1.5 + 0.9
    assert fleet.wait(facts) > 0
    fleet.now += 0.2
    assert fleet.wait(facts) == 0


def test_a_reservation_that_is_given_back_is_the_next_ones(fleet: Fleet) -> None:
    facts = venue(Quota(1, 60.0))
    fleet.ask(facts)
    wait = fleet.gate.acquire(facts, PRICE, longest=LONG)
    assert isinstance(wait, Wait)
    assert fleet.wait(facts) > 100
    fleet.gate.cancel(facts, PRICE, Budget.REAL_TIME, wait.reservation)
    assert fleet.wait(facts) == pytest.approx(60, abs=0.001)


def test_who_would_not_wait_so_long_is_told_when_and_holds_nothing(fleet: Fleet) -> None:
    facts = venue(Quota(1, 60.0))
    fleet.ask(facts)
    with pytest.raises(QuotaError, match="the next free slot is 60 s away") as caught:
        fleet.gate.acquire(facts, PRICE, longest=59.0)
    assert (caught.value.retry_after, caught.value.asked) == (pytest.approx(60, abs=0.001), False)
    assert fleet.gate.standing(facts)[0].waiting == 0
    fleet.now += 60.001
    fleet.ask(facts)


def test_no_more_threads_of_a_process_sleep_than_there_are_beds(fleet: Fleet) -> None:
    """The others keep the process' other providers going: their message comes back."""
    facts, seen = venue(Quota(1, 1.5)), []

    def sleep(seconds: float) -> None:
        seen.append((gate.waiting(facts.name), gate.acquire(facts, PRICE, longest=LONG)))
        fleet.sleep(seconds)

    gate = fleet.worker(asleep=1, sleep=sleep)
    fleet.ask(facts)
    assert isinstance(gate.acquire(facts, PRICE), Permit)
    [(waiting, second)] = seen
    assert waiting == 1
    assert isinstance(second, Wait)
    assert second.seconds == pytest.approx(3, abs=0.1)
    assert gate.waiting(facts.name) == 0


def test_a_bed_is_left_also_when_the_sleep_is_broken_off(fleet: Fleet) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    facts = venue(Quota(1, 1.5))
    gate = fleet.worker(asleep=1, sleep=interrupted)
    fleet.ask(facts)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            gate.acquire(facts, PRICE)
        fleet.now += 2.6
        assert gate.waiting(facts.name) == 0
        fleet.ask(facts)


# --- what uses the quota ---------------------------------------------------------------------------------------------


def test_a_heavy_request_uses_as_much_as_it_weighs(fleet: Fleet) -> None:
    facts = venue(Quota(8, 60.0))
    fleet.ask(facts, replace(PRICE, weight=5))
    assert fleet.wait(facts, replace(PRICE, weight=4)) > 0
    fleet.ask(facts, replace(PRICE, weight=3))
    assert fleet.wait(facts) > 0
    assert fleet.gate.standing(facts)[0].used == ((8, 60.0, 8),)


def test_a_request_that_weighs_more_than_the_quota_is_a_mistake_of_the_settings(fleet: Fleet) -> None:
    with pytest.raises(ConfigurationError, match="weighs 9, more than 8 in 60 s"):
        fleet.gate.acquire(venue(Quota(8, 60.0)), replace(PRICE, weight=9))


@pytest.mark.parametrize(("outcome", "used"), [("answered", 1), ("failed", 1), ("unsent", 0)])
def test_a_request_counts_from_its_answer_for_one_window(fleet: Fleet, outcome: str, used: int) -> None:
    facts = venue(Quota(1, 10.0))
    permit = fleet.grant(facts)
    fleet.now += 25  # a slow answer; the provider may have counted it just now
    fleet.gate.release(permit, outcome)
    assert fleet.gate.standing(facts)[0].used == ((1, 10.0, used),)
    assert fleet.wait(facts) == pytest.approx(10 * used, abs=0.001)


def test_all_windows_hold_at_once(fleet: Fleet) -> None:
    facts = venue(Quota(5, 60.0), Quota(25, 86_400.0))
    for _ in range(5):
        for _ in range(5):
            fleet.ask(facts)
        assert fleet.wait(facts) > 0
        fleet.now += 60.001
    assert fleet.wait(facts) == pytest.approx(86_400 - 300, abs=1)


def test_several_keys_are_used_evenly_and_each_has_its_own_quota(make_gate: Callable[..., Gate]) -> None:
    fleet, facts = Fleet(make_gate, API_KEY_FINNHUB="one,two,three"), venue(Quota(4, 60.0), keyed=True)
    used = [fleet.ask(facts).key.name for _ in range(12)]
    assert sorted(used.count(name) for name in set(used)) == [4, 4, 4]
    assert all(len(set(used[n : n + 3])) == 3 for n in range(0, 12, 3))
    assert fleet.wait(facts) == pytest.approx(60, abs=0.001)


def test_a_permit_carries_the_key_and_its_repr_does_not(make_gate: Callable[..., Gate]) -> None:
    fleet = Fleet(make_gate, API_KEY_FINNHUB="first-secret")
    permit = fleet.grant(venue(keyed=True))
    assert permit.key.secret is not None
    assert permit.key.secret.get_secret_value() == "first-secret"
    assert "first-secret" not in repr(permit)


def test_providers_do_not_share_a_quota(fleet: Fleet) -> None:
    one, two = venue(Quota(1, 60.0)), venue(Quota(1, 60.0))
    fleet.ask(one)
    fleet.ask(two)


def test_a_request_takes_one_call_before_it_and_one_after(fleet: Fleet) -> None:
    facts = venue(Quota(2, 1.0))
    fleet.ask(facts)
    assert fleet.gate.calls == 2
    fleet.ask(facts)
    fleet.ask(facts)  # this one waits: two before it
    assert fleet.gate.calls == 7


# --- what is not there -----------------------------------------------------------------------------------------------


def test_a_missing_key_is_said_before_redis_is_asked(fleet: Fleet) -> None:
    with pytest.raises(MissingKeyError, match="API_KEY_FINNHUB"):
        fleet.gate.acquire(venue(keyed=True), PRICE)
    assert fleet.gate.calls == 0


def test_redis_that_does_not_answer_is_an_outage_with_its_address_and_without_its_password() -> None:
    url = "redis://:hidden-away@127.0.0.1:1/0"
    settings = Settings.from_mapping({"REDIS_URL": url})
    with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as nobody:
        gate, facts = Gate(nobody, settings, KeyRing(settings)), venue(Quota(1, 60.0))
        permit = Permit(facts, PRICE, Budget.REAL_TIME, Reservation("0", PUBLIC.name), PUBLIC)
        for call in (
            lambda: gate.acquire(facts, PRICE),
            lambda: gate.release(permit, "answered"),
            lambda: gate.learn(permit, QuotaError("429")),
            lambda: gate.cancel(facts, PRICE, Budget.REAL_TIME, permit.reservation),
            lambda: gate.standing(facts),
        ):
            with pytest.raises(OutageError, match=r"Redis does not answer at redis://127\.0\.0\.1:1/0") as caught:
                call()
            assert "hidden-away" not in str(caught.value)


@pytest.fixture
def own_server(stack: dict[str, str]) -> Iterator[Callable[[], redis.Redis]]:
    """Starts an embedded server of the test's own; called again, it kills it (-9) and starts it over its file.

    It is killed once the file holds what the client wrote: of the last second before a kill some may be lost.
    ``stack`` skips where there are no servers.
    """
    home = Path(tempfile.mkdtemp(prefix="fintrack-gate-"))
    server, clients, running = Valkey(home, "p"), list[redis.Redis](), list[ProcessState]()
    port = choose_port(None)

    def start() -> redis.Redis:
        if clients:
            assert clients[-1].waitaof(1, 0, 5_000)[0] == 1
        process.kill(each.pid for each in running)
        server.prepare(lambda _: None)
        running.append(server.launch(port))
        server.wait(running[-1], port, 20)
        clients.append(redis.Redis(port=port, password="p"))
        return clients[-1]

    yield start
    for client in clients:
        client.close()
    process.kill(each.pid for each in running)
    shutil.rmtree(home)


def test_a_restart_of_redis_and_all_workers_does_not_grant_a_second_daily_quota(
    own_server: Callable[[], redis.Redis],
) -> None:
    settings, facts = Settings.from_mapping({}), venue(Quota(25, 86_400.0))

    def fleet() -> Gate:
        return Gate(own_server(), settings, KeyRing(settings), sleep=lambda _: None)

    def use_all(gate: Gate) -> int:
        for used in range(26):
            try:
                permit = gate.acquire(facts, PRICE)
            except QuotaError:
                return used
            assert isinstance(permit, Permit)
            if used % 2:  # the other half is in flight when everything dies
                gate.release(permit, "answered")
        return 26

    gate = fleet()
    permit = [gate.acquire(facts, PRICE) for _ in range(12)]
    for each in permit[:6]:
        assert isinstance(each, Permit)
        gate.release(each, "answered")
    gate = fleet()
    assert gate.standing(facts)[0].used == ((25, 86_400.0, 12),)
    assert use_all(gate) == 13
    gate = fleet()
    assert use_all(gate) == 0
    last = gate.standing(facts)[0]
    assert last.used == ((25, 86_400.0, 25),)


def test_a_closing_survives_a_restart_of_redis(own_server: Callable[[], redis.Redis]) -> None:
    settings, facts = Settings.from_mapping({}), venue(Quota(25, 86_400.0))
    gate = Gate(own_server(), settings, KeyRing(settings))
    permit = gate.acquire(facts, PRICE)
    assert isinstance(permit, Permit)
    gate.learn(permit, QuotaError("the daily limit", retry_after=20_000.0))
    gate = Gate(own_server(), settings, KeyRing(settings))
    with pytest.raises(QuotaError) as caught:
        gate.acquire(facts, PRICE, longest=LONG)
    assert caught.value.retry_after == pytest.approx(20_000, abs=30)
