"""One request to one provider: a permit from the gate, the HTTP request, the permit given back."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from fintrack_tasks.domain import Budget
from fintrack_tasks.errors import ConfigurationError, MalformedError, OutageError
from fintrack_tasks.fetch.http.client import HttpClient
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest, HttpResponse
from fintrack_tasks.fetch.quota.gate import Gate
from fintrack_tasks.fetch.quota.local_gate import LocalGate
from fintrack_tasks.fetch.quota.permits import Permit, Reservation, Wait

__all__ = ["Answer", "ask_provider"]

log = structlog.get_logger("fintrack.gate")


@dataclass(frozen=True, slots=True)
class Answer:
    """A provider's response, and the permit it was asked under: :meth:`Gate.learn` takes both."""

    response: HttpResponse
    permit: Permit


def ask_provider(
    facts: Facts,
    request: HttpRequest,
    *,
    gate: Gate | LocalGate,
    http: HttpClient,
    budget: Budget = Budget.REAL_TIME,
    reservation: Reservation | None = None,
    longest: float = 0.0,
) -> Answer | Wait:
    """Ask once; a :class:`Wait` where no permit is due yet.

    :param longest: seconds that the caller would accept as a :class:`Wait`.
    :raises FinTrackError: those of :meth:`Gate.acquire` and :meth:`HttpClient.get`.
    """
    permit = gate.acquire(facts, request, budget, reservation=reservation, longest=longest)
    if isinstance(permit, Wait):
        return permit
    outcome = "failed"
    try:
        response = http.get(facts, request, permit.key.secret)
        outcome = "answered" if response.status < 500 else "failed"
    except MalformedError:
        outcome = "answered"
        raise
    except ConfigurationError:
        outcome = "unsent"  # a key that cannot be used: nothing left this machine
        raise
    finally:
        _release(gate, permit, outcome)
    return Answer(response, permit)


def _release(gate: Gate | LocalGate, permit: Permit, outcome: str) -> None:
    """A good answer is not thrown away because Redis went away meanwhile: the permit then ends with its lease."""
    try:
        gate.release(permit, outcome)
    except OutageError as error:
        log.warning("pass_not_given_back", provider=permit.facts.name, detail=str(error))
