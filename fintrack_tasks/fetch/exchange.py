"""One question to one provider: through the gate, over HTTP, back through the gate."""

from __future__ import annotations

from dataclasses import dataclass

from fintrack_tasks.domain import Budget
from fintrack_tasks.errors import MalformedError
from fintrack_tasks.fetch.client import HttpClient
from fintrack_tasks.fetch.gate import Gate, Pass, Place, Ticket
from fintrack_tasks.fetch.local_gate import LocalGate
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest, HttpResponse

__all__ = ["Answer", "exchange"]


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
    finally:
        gate.leave(taken, outcome)
    return Answer(response, taken)
