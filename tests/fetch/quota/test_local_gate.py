"""A gate without Redis holds the quotas of one process."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.errors import (
    ConfigurationError,
    EntitlementError,
    KeyRejectedError,
    MissingKeyError,
    ProviderError,
    QuotaError,
)
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest, KeyUse, Quota
from fintrack_tasks.fetch.quota.keys import KeyRing
from fintrack_tasks.fetch.quota.local_gate import LocalGate
from fintrack_tasks.fetch.quota.permits import PATIENCE, Permit
from fintrack_tasks.settings import Settings

ASK: Final = HttpRequest("/price")


def venue(*quotas: Quota, keyed: bool = False) -> Facts:
    key = KeyUse("API_KEY_FINNHUB", header="X-Token") if keyed else None
    return replace(provider("yahoo_finance").facts, name="venue", quotas=quotas, key=key)


class Process:
    """A process over a clock of its own, which its sleeps move on."""

    def __init__(self, **variables: str) -> None:
        self.now, self.slept = 1_000.0, list[float]()
        settings = Settings.from_mapping(variables)
        self.gate = LocalGate(settings, KeyRing(settings), sleep=self.sleep, clock=lambda: self.now)

    def sleep(self, seconds: float) -> None:
        if seconds:
            self.slept.append(seconds)
        self.now += seconds

    def ask(self, facts: Facts, request: HttpRequest = ASK, outcome: str = "answered", **options: Any) -> Permit:
        permit = self.gate.acquire(facts, request, **options)
        self.gate.release(permit, outcome)
        return permit


def test_a_short_wait_is_slept() -> None:
    process, facts = Process(), venue(Quota(2, 1.5))
    for _ in range(3):
        process.ask(facts)
    assert process.slept == [pytest.approx(1.5)]


def test_a_wait_longer_than_the_callers_patience_is_a_quota_error_and_the_gate_stays_open() -> None:
    process, facts = Process(), venue(Quota(1, 60.0))
    process.ask(facts)
    for longest, patience in ((0.0, PATIENCE), (59.0, 59.0)):
        assert patience < 60
        with pytest.raises(QuotaError, match="the next free slot is 60 s away") as caught:
            process.ask(facts, longest=longest)
        assert (caught.value.retry_after, caught.value.asked) == (pytest.approx(60), False)
    process.ask(facts, longest=61.0)
    assert process.slept == [pytest.approx(60)]


@pytest.mark.parametrize(("outcome", "slept"), [("answered", 1), ("failed", 1), ("unsent", 0)])
def test_a_request_counts_from_its_answer_unless_it_was_never_sent(outcome: str, slept: int) -> None:
    process, facts = Process(), venue(Quota(1, 1.0))
    permit = process.gate.acquire(facts, ASK)
    process.now += 20
    process.gate.release(permit, outcome)
    process.ask(facts)
    assert process.slept == [pytest.approx(1.0)] * slept


def test_all_windows_hold_and_a_heavy_request_uses_more() -> None:
    process, facts = Process(), venue(Quota(8, 60.0), Quota(12, 3_600.0))
    process.ask(facts, replace(ASK, weight=8))
    process.now += 60
    process.ask(facts, replace(ASK, weight=4))
    with pytest.raises(QuotaError) as caught:
        process.ask(facts)
    assert caught.value.retry_after == pytest.approx(3_540)


@pytest.mark.parametrize("answered", [0, 1, 7])
def test_a_request_that_weighs_more_than_the_quota_is_a_mistake_of_the_settings(answered: int) -> None:
    process, facts = Process(), venue(Quota(8, 60.0))
    for _ in range(answered):
        process.ask(facts)
    with pytest.raises(ConfigurationError, match="weighs 9, more than 8"):
        process.ask(facts, replace(ASK, weight=9))
    process.ask(facts)  # the gate is not left shut


def test_a_large_quota_is_held_too() -> None:
    process, facts = Process(), venue(Quota(20_000, 86_400.0))
    for _ in range(20):
        process.ask(facts, replace(ASK, weight=1_000))
    with pytest.raises(QuotaError):
        process.ask(facts)


def test_the_key_that_is_free_first_is_used() -> None:
    process, facts = Process(API_KEY_FINNHUB="one,two"), venue(Quota(1, 60.0), keyed=True)
    assert process.ask(facts).key != process.ask(facts).key
    assert process.slept == []
    with pytest.raises(QuotaError):
        process.ask(facts)


def test_a_missing_key_is_said_and_the_gate_stays_open() -> None:
    process = Process()
    with pytest.raises(MissingKeyError, match="API_KEY_FINNHUB"):
        process.ask(venue(keyed=True))
    process.ask(venue())


@pytest.mark.parametrize(("said", "seconds"), [(30.0, 30), (None, 60)])
def test_a_provider_that_closed_itself_is_left_alone_until_its_time(said: float | None, seconds: int) -> None:
    process, facts = Process(), venue()
    assert process.gate.learn(process.ask(facts), QuotaError("429", retry_after=said)) is False
    with pytest.raises(QuotaError) as caught:
        process.ask(facts)
    assert (caught.value.retry_after, caught.value.asked) == (pytest.approx(seconds), False)
    process.now += seconds
    process.ask(facts)
    assert process.slept == []


def test_of_two_closings_the_later_time_holds() -> None:
    process, facts = Process(), venue()
    permit = process.ask(facts)
    process.gate.learn(permit, QuotaError("the day", retry_after=20_000.0))
    process.gate.learn(permit, QuotaError("the burst", retry_after=60.0))
    process.now += 61
    with pytest.raises(QuotaError):
        process.ask(facts)


@pytest.mark.parametrize("error", [EntitlementError(), KeyRejectedError(), ProviderError()])
def test_nothing_else_is_learnt(error: ProviderError) -> None:
    process = Process(API_KEY_FINNHUB="one")
    assert process.gate.learn(process.ask(venue(keyed=True)), error) is False
    process.ask(venue(keyed=True))


def test_a_sleep_that_is_broken_off_leaves_the_gate_open() -> None:
    settings = Settings.from_mapping({})

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    gate = LocalGate(settings, KeyRing(settings), sleep=interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            gate.acquire(venue(), ASK)


def test_threads_take_turns() -> None:
    settings, inside, most = Settings.from_mapping({}), list[int](), list[int]()
    gate = LocalGate(settings, KeyRing(settings))

    def work() -> None:
        for _ in range(50):
            permit = gate.acquire(venue(), ASK)
            inside.append(1)
            most.append(len(inside))
            inside.pop()
            gate.release(permit, "answered")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (len(most), max(most)) == (200, 1)


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 3), st.integers(1, 3)), max_size=60),
    st.sampled_from([(Quota(3, 1.0),), (Quota(4, 1.5), Quota(10, 20.0)), (Quota(3, 2.0, burst=1),)]),
)
def test_no_window_is_exceeded_whenever_a_request_was_counted(
    steps: list[tuple[float, float, int]], quotas: tuple[Quota, ...]
) -> None:
    """Between its grant and its answer, that is."""
    process, facts = Process(), venue(*quotas)
    sent: list[tuple[float, float, int]] = []
    for pause, latency, weight in steps:
        process.now += pause
        permit = process.gate.acquire(facts, replace(ASK, weight=weight), longest=100.0)
        for quota in quotas:
            inside = sum(used for _, ends, used in sent if ends > process.now - quota.seconds + 1e-6)
            assert inside + weight <= quota.limit
        begun = process.now
        process.now += latency
        process.gate.release(permit, "answered")
        sent.append((begun, process.now, weight))
