"""The fleet-wide rate limiter: a provider's quotas, keys and circuit, kept in Redis and shared by every worker.

Each request makes one call to Redis before it (two when it had to wait) and one after its answer; nothing polls. The
calls run a Lua script (``gate_script``): a request counts in a quota's sliding window until one window after its
*answer*, so that no delay on the way can bring more requests into a window than the quota allows. The limiter of a
single process, without Redis, is :mod:`fintrack_tasks.fetch.quota.local_gate`. What both of them answer is in
``permits``.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

import redis

from fintrack_tasks.domain import Budget
from fintrack_tasks.errors import (
    EntitlementError,
    KeyRejectedError,
    ProviderError,
    QuotaError,
    TransientError,
)
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest
from fintrack_tasks.fetch.quota.gate_script import MICROSECONDS, GateScript
from fintrack_tasks.fetch.quota.keys import KeyRing
from fintrack_tasks.fetch.quota.limits import quotas_of
from fintrack_tasks.fetch.quota.permits import PATIENCE, Permit, Reservation, Wait
from fintrack_tasks.fetch.quota.standing import Standing, read_standings
from fintrack_tasks.settings import Settings

__all__ = ["Gate"]

_NAP: Final = 0.1
"""Seconds that may be slept even where many threads of the process sleep already."""
_DAY: Final = 86_400.0
_FAILURES: Final = 5
"""So many failures of a provider in a row, fleet-wide, open its circuit."""
_PAUSE: Final = 15.0
"""Seconds for which an opened circuit lets nothing through; doubled by each further failure, up to 16 times."""
_PROBE: Final = 30.0
"""Seconds for which a half-open circuit waits for the answer to its one request."""
_GRACE: Final = 1.0
_GRACE_QUEUED: Final = 15.0
"""Seconds after its time at which a reservation lapses: longer for one whose message waits in the broker, since its
worker may be busy."""
_MOST_TURNS: Final = 20


class Gate:
    """The fleet-wide rate limiter. One per process; safe to share between threads.

    :param client: Redis.
    :param sleep: spends a short wait; seconds.
    :param asleep: how many threads may sleep here at once, so that the rest goes on with other providers.
    :param clock: seconds; replaces Redis' own clock in tests.
    :param prefix: of the keys in Redis; gates with the same prefix share their quotas.
    """

    def __init__(
        self,
        client: redis.Redis,
        settings: Settings,
        keys: KeyRing,
        *,
        sleep: Callable[[float], None] = time.sleep,
        asleep: int = 4,
        clock: Callable[[], float] | None = None,
        prefix: str = "fintrack:gate",
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._script = GateScript(client, settings, clock, prefix)
        self._sleep = sleep
        self._sleepers = threading.BoundedSemaphore(asleep)
        self._waiting: Counter[str] = Counter()

    @property
    def calls(self) -> int:
        """Calls of Redis so far, for benchmarks; threads may miscount it by a few."""
        return self._script.calls

    def acquire(
        self,
        facts: Facts,
        request: HttpRequest,
        budget: Budget = Budget.REAL_TIME,
        *,
        reservation: Reservation | None = None,
        longest: float = 0.0,
    ) -> Permit | Wait:
        """A permit for one request, after at most :data:`PATIENCE` seconds of sleep; or the wait until one is due.

        :param reservation: that of an earlier :class:`Wait`, whose time has come.
        :param longest: seconds that the caller would accept as a :class:`Wait`.
        :raises QuotaError: the wait is longer, or the provider has closed itself; ``retry_after`` says for how long.
        :raises EntitlementError: no key's plan has the endpoint, as was learnt before.
        :raises KeyRejectedError: every key was refused before.
        :raises TransientError: the provider's circuit is open after repeated failures.
        :raises MissingKeyError: the provider needs a key and none is set.
        :raises OutageError: Redis does not answer.
        """
        keys = {key.name: key for key in self._keys.keys(facts)}
        if reservation and reservation.key not in keys:
            reservation = None  # the key was changed meanwhile
        id_ = reservation.id if reservation else uuid4().hex
        reserved, names = reservation is not None, [reservation.key] if reservation else list(keys)
        random.shuffle(names)  # between keys of which none is used more than another
        for _ in range(_MOST_TURNS):
            ask = _enter(id_, names, longest, again=reserved)
            verdict, name, micros = self._script.call(facts, request, budget, ask)
            seconds = int(micros) / MICROSECONDS
            if verdict == "go":
                return Permit(facts, request, budget, Reservation(id_, name), keys[name])
            if verdict == "refused" and reserved and name != "circuit" and len(keys) > 1:
                # The key of the reservation was barred while its holder waited; the others have their own quotas.
                names, reserved = [other for other in keys if other not in names], False
                continue
            if verdict != "wait":
                raise _refusal(facts, request, name if verdict == "refused" else verdict, seconds)
            names, reserved = [name], True
            if not self._slept(facts.name, seconds):
                return Wait(Reservation(id_, name), seconds)
        text = f"{facts.name}: no slot was found in {_MOST_TURNS} turns"
        raise QuotaError(text, retry_after=PATIENCE, asked=False)

    def release(self, permit: Permit, outcome: str) -> None:
        """Give a permit back.

        :param outcome: ``answered``; ``failed`` (no answer, or a failure of the server); ``unsent`` (the request
            provably never left this machine, and does not count).
        :raises OutageError: Redis does not answer; the permit then ends with its lease.
        """
        ask = {
            "op": "leave",
            "id": permit.reservation.id,
            "keys": [permit.reservation.key],
            "outcome": outcome,
            "failures": _FAILURES,
            "pause": int(_PAUSE * MICROSECONDS),
        }
        self._script.call(permit.facts, permit.request, permit.budget, ask)

    def cancel(self, facts: Facts, request: HttpRequest, budget: Budget, reservation: Reservation) -> None:
        """Give a reservation back that will not be used."""
        self._script.call(facts, request, budget, {"op": "cancel", "id": reservation.id, "keys": [reservation.key]})

    def learn(self, permit: Permit, error: ProviderError) -> bool:
        """Record what an error means for the permit's key; returns whether the key was set aside just now.

        A quota that the provider says is used up closes the key until the provider's own time, or for one window. An
        endpoint outside the plan, or a refused key, is not asked again with that key for a day. A provider without
        keys is not barred: its refusals are about the address or the moment.
        """
        keyed = permit.key.secret is not None
        if isinstance(error, QuotaError):
            what, seconds = "closed", error.retry_after or self.pause(permit.facts)
        elif isinstance(error, EntitlementError) and keyed:
            what, seconds = "entitlement", _DAY
        elif isinstance(error, KeyRejectedError) and keyed:
            what, seconds = "rejected", _DAY
        else:
            return False
        ask = {
            "op": "learn",
            "id": permit.reservation.id,
            "keys": [permit.reservation.key],
            "what": what,
            "seconds": max(1, seconds),
        }
        return self._script.call(permit.facts, permit.request, permit.budget, ask) == ["first"] and what == "rejected"

    def spare(self, permit: Permit, error: ProviderError) -> bool:
        """Whether the error bars the permit's key alone and the provider has another, which may be barred as well."""
        of_a_key = isinstance(error, QuotaError | EntitlementError | KeyRejectedError)
        return of_a_key and any(key.name != permit.key.name for key in self._keys.keys(permit.facts))

    def standing(self, facts: Facts) -> list[Standing]:
        """The state of the provider's quotas now, one for each key.

        :raises MissingKeyError: the provider needs a key and none is set.
        :raises OutageError: Redis does not answer.
        """
        names = [key.name for key in self._keys.keys(facts)]
        ask = {"op": "standing", "id": "", "keys": names}
        answer = self._script.call(facts, HttpRequest("/"), Budget.REAL_TIME, ask)
        return read_standings(answer, names, quotas_of(facts, self._settings))

    def pause(self, facts: Facts) -> float:
        """Seconds of a pause after a refusal without a ``Retry-After``: one window of the provider's quotas."""
        return max((q.seconds for q in quotas_of(facts, self._settings) if q.seconds <= 3_600), default=60.0)

    def waiting(self, provider: str) -> int:
        """How many threads of this process sleep for a provider now: more work for it would only wait."""
        return self._waiting[provider]

    def _slept(self, provider: str, seconds: float) -> bool:
        """Spend a short wait; False when it is long, or too many threads sleep already."""
        if seconds > PATIENCE:
            return False
        long = seconds > _NAP
        if long and not self._sleepers.acquire(blocking=False):
            return False
        self._waiting[provider] += 1
        try:
            self._sleep(seconds)
        finally:
            self._waiting[provider] -= 1
            if long:
                self._sleepers.release()
        return True


def _enter(id_: str, keys: list[str], longest: float, *, again: bool) -> dict[str, Any]:
    """The arguments of ``enter`` in ``lua/gate.lua``.

    :param again: whether a reservation of that id is confirmed.
    """
    return {
        "op": "enter",
        "id": id_,
        "keys": keys,
        "again": again,
        "longest": int(max(longest, PATIENCE) * MICROSECONDS),
        "grace": int((_GRACE_QUEUED if longest > PATIENCE else _GRACE) * MICROSECONDS),
        "probe": int(_PROBE * MICROSECONDS),
    }


def _refusal(facts: Facts, request: HttpRequest, reason: str, seconds: float) -> ProviderError:
    """The error for a refusal by the gate; ``asked`` is false, since no request was sent."""
    if reason == "far":
        text = f"{facts.name}: the next free slot is {seconds:.0f} s away"
        return QuotaError(text, retry_after=seconds, asked=False)
    kind, text = {
        "entitlement": (EntitlementError, f"{request.endpoint} is not in the plan of its key"),
        "key_rejected": (KeyRejectedError, "its keys were refused and are set aside"),
        "circuit": (TransientError, "it failed repeatedly"),
        "quota": (QuotaError, "it closed itself by its own answer"),
    }[reason]
    return kind(f"{facts.name}: {text}; asked again in {seconds:.0f} s", retry_after=seconds, asked=False)
