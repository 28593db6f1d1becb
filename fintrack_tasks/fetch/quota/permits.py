"""What a gate answers to a request for a slot in a quota: a permit, or a wait with a reservation.

The gates themselves are ``gate`` (the whole fleet's, in Redis) and ``local_gate`` (one process').
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fintrack_tasks.domain import Budget
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest
from fintrack_tasks.fetch.quota.keys import Key

__all__ = ["PATIENCE", "Permit", "Reservation", "Wait"]

PATIENCE: Final = 2.0
"""Seconds: a gate sleeps a shorter wait itself, a longer one is returned as a :class:`Wait`."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A slot reserved in a key's quota: ``id`` of the reservation, ``key`` the key's name (never its secret)."""

    id: str
    key: str


@dataclass(frozen=True, slots=True)
class Wait:
    """No permit yet: acquire again in ``seconds`` with the reservation."""

    reservation: Reservation
    seconds: float


@dataclass(frozen=True, slots=True)
class Permit:
    """Permission to send one request now; :meth:`Gate.release` takes it back, whatever the outcome."""

    facts: Facts
    request: HttpRequest
    budget: Budget
    reservation: Reservation
    key: Key
