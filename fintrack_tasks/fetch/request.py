"""One question to one provider: through the gate, over HTTP, back through the gate."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from fintrack_tasks.domain import Budget
from fintrack_tasks.errors import ConfigurationError, MalformedError, OutageError
from fintrack_tasks.fetch.http.client import HttpClient
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest, HttpResponse
from fintrack_tasks.fetch.quota.gate import Gate, Pass, Place, Ticket
from fintrack_tasks.fetch.quota.local_gate import LocalGate

__all__ = ["Answer", "exchange"]

log = structlog.get_logger("fintrack.gate")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and the pass under which it was got: what it teaches is told to the gate with it."""

    response: HttpResponse
    taken: Pass


def exchange(
    facts: Facts,
    request: HttpRequest,
    *,
    gate: Gate | LocalGate,
    http: HttpClient,
    budget: Budget = Budget.REAL_TIME,
    ticket: Ticket | None = None,
    longest: float = 0.0,
) -> Answer | Place:
    """Ask once; a place where the turn comes later. What :meth:`Gate.enter` and :meth:`HttpClient.get` raise is raised.

    :param longest: seconds that the caller would wait for a place.
    """
    taken = gate.enter(facts, request, budget, ticket=ticket, longest=longest)
    if isinstance(taken, Place):
        return taken
    outcome = "failed"
    try:
        response = http.get(facts, request, taken.key.secret)
        outcome = "answered" if response.status < 500 else "failed"
    except MalformedError:
        outcome = "answered"
        raise
    except ConfigurationError:
        outcome = "unsent"  # a key that cannot be used: nothing left this machine
        raise
    finally:
        _leave(gate, taken, outcome)
    return Answer(response, taken)


def _leave(gate: Gate | LocalGate, taken: Pass, outcome: str) -> None:
    """A good answer is not thrown away because Redis went meanwhile: the pass then ends by its lease."""
    try:
        gate.leave(taken, outcome)
    except OutageError as error:
        log.warning("pass_not_given_back", provider=taken.facts.name, detail=str(error))
