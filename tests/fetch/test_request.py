"""The permit of a request is given back with its outcome, whatever the outcome is."""

from __future__ import annotations

from typing import Any, Final

import pytest

from fintrack_tasks.domain import Budget
from fintrack_tasks.errors import ConfigurationError, MalformedError, OutageError, QuotaError, TransientError
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import HttpRequest, HttpResponse
from fintrack_tasks.fetch.quota.keys import PUBLIC
from fintrack_tasks.fetch.quota.permits import Permit, Reservation, Wait
from fintrack_tasks.fetch.request import Answer, ask_provider

FACTS: Final = provider("yahoo_finance").facts
ASK: Final = HttpRequest("/price")
RESERVATION: Final = Reservation("7", "public")


class FakeGate:
    """Gives a permit, or does what it is told to; remembers how requests ended."""

    def __init__(self, instead: Any = None, at_the_end: Exception | None = None) -> None:
        self.instead, self.at_the_end = instead, at_the_end
        self.asked: list[tuple[Any, ...]] = []
        self.left: list[tuple[Permit, str]] = []

    def acquire(self, facts: Any, request: Any, budget: Any, *, reservation: Any, longest: float) -> Any:
        self.asked.append((facts, request, budget, reservation, longest))
        if isinstance(self.instead, Exception):
            raise self.instead
        return self.instead or Permit(facts, request, budget, RESERVATION, PUBLIC)

    def release(self, permit: Permit, outcome: str) -> None:
        self.left.append((permit, outcome))
        if self.at_the_end:
            raise self.at_the_end


class FakeHttp:
    """Answers, or fails."""

    def __init__(self, outcome: HttpResponse | BaseException) -> None:
        self.outcome, self.asked = outcome, 0

    def get(self, *_: Any) -> HttpResponse:
        self.asked += 1
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


def ask(gate: FakeGate, http: FakeHttp, **options: Any) -> Answer | Wait:
    return ask_provider(FACTS, ASK, gate=gate, http=http, **options)  # type: ignore[arg-type]  # of the same shape


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((status, "answered") for status in (200, 301, 401, 404, 429, 499)),
        *((status, "failed") for status in (500, 502, 503, 504)),
    ],
)
def test_an_answer_is_one_unless_the_server_failed(status: int, outcome: str) -> None:
    gate, response = FakeGate(), HttpResponse(status, b"{}")
    answer = ask(gate, FakeHttp(response))
    assert isinstance(answer, Answer)
    assert answer.response is response
    assert gate.left == [(answer.permit, outcome)]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TransientError("no answer in time"), "failed"),
        (MalformedError("no HTTP"), "answered"),
        (ConfigurationError("no address"), "unsent"),
        (KeyboardInterrupt(), "failed"),
        (RuntimeError("a defect"), "failed"),
    ],
)
def test_what_is_raised_goes_on_and_the_permit_is_given_back(error: BaseException, outcome: str) -> None:
    gate = FakeGate()
    with pytest.raises(type(error)) as caught:
        ask(gate, FakeHttp(error))
    assert caught.value is error
    assert [how for _, how in gate.left] == [outcome]


def test_no_permit_yet_asks_nobody() -> None:
    wait = Wait(RESERVATION, 30.0)
    gate, http = FakeGate(wait), FakeHttp(HttpResponse(200, b""))
    assert ask(gate, http) is wait
    assert (http.asked, gate.left) == (0, [])


@pytest.mark.parametrize("error", [QuotaError("far", asked=False), OutageError("Redis", "127.0.0.1")])
def test_who_is_not_let_in_asks_nobody(error: Exception) -> None:
    gate, http = FakeGate(error), FakeHttp(HttpResponse(200, b""))
    with pytest.raises(type(error)):
        ask(gate, http)
    assert (http.asked, gate.left) == (0, [])


def test_reservation_budget_and_patience_reach_the_gate() -> None:
    gate = FakeGate()
    ask(gate, FakeHttp(HttpResponse(200, b"")), budget=Budget.DEEP_BACKFILL, reservation=RESERVATION, longest=9.0)
    assert gate.asked == [(FACTS, ASK, Budget.DEEP_BACKFILL, RESERVATION, 9.0)]


def test_a_good_answer_is_not_thrown_away_because_redis_went_meanwhile() -> None:
    """Its request stays counted until its lease ends."""
    gate = FakeGate(at_the_end=OutageError("Redis", "127.0.0.1"))
    answer = ask(gate, FakeHttp(HttpResponse(200, b"7")))
    assert isinstance(answer, Answer)
    assert answer.response.body == b"7"
