"""The fleet-wide rate limiter: a provider's quotas, keys and circuit, kept in Redis and shared by every worker.

Each request makes one call to Redis before it (two when it had to wait) and one after its answer; nothing polls. The
calls are a Lua script, ``lua/gate.lua``: a request counts in a quota's sliding window until one window after its
*answer*, so that no delay on the way can bring more requests into a window than the quota allows. The limiter of a
single process, without Redis, is :mod:`fintrack_tasks.fetch.quota.local_gate`.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final
from uuid import uuid4

import orjson
import redis
from redis.commands.core import Script

from fintrack_tasks import outages
from fintrack_tasks.domain import Budget
from fintrack_tasks.errors import (
    EntitlementError,
    KeyRejectedError,
    ProviderError,
    QuotaError,
    TransientError,
)
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest
from fintrack_tasks.fetch.quota.keys import Key, KeyRing
from fintrack_tasks.fetch.quota.limits import QuotaWindow, floors_of, longest_window, quotas_of, windows
from fintrack_tasks.refusals import remedy_of
from fintrack_tasks.settings import Settings, redact_url

__all__ = ["PATIENCE", "Gate", "Permit", "Reservation", "Standing", "Wait"]

PATIENCE: Final = 2.0
"""Seconds: a shorter wait is slept, a longer one is returned as a :class:`Wait`."""
_NAP: Final = 0.1
"""Seconds that may be slept even where many threads of the process sleep already."""
_DAY: Final = 86_400.0
_FAILURES: Final = 5
"""So many failures of a provider in a row, fleet-wide, open its circuit."""
_PAUSE: Final = 15.0
_PROBE: Final = 30.0
_LEASE: Final = 15.0
"""Seconds beyond the HTTP time-out after which a request without an answer is its killed worker's."""
_GRACE: Final = 1.0
_GRACE_QUEUED: Final = 15.0
"""Seconds after its time at which a reservation lapses: longer for one whose message waits in the broker, since its
worker may be busy."""
_MOST_TURNS: Final = 20
_US: Final = 1_000_000


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


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a provider's quota with one key; times are aware UTC, ``None`` where nothing bars it.

    :param used: for each quota ``(limit, seconds, used)``; ``used`` counts the requests inside the window now.
    :param waiting: reservations whose time has not come.
    :param entitlements: endpoint to the time until which it is not asked.
    """

    key: str
    used: tuple[tuple[int, float, int], ...]
    waiting: int
    closed_until: datetime | None
    rejected_until: datetime | None
    entitlements: dict[str, datetime]
    circuit: str
    circuit_until: datetime | None


@cache
def _source() -> str:
    return (files(__package__) / "lua" / "gate.lua").read_text(encoding="utf-8")


class Gate:
    """The rate limiter of the module's description. One per process; safe to share between threads.

    :param client: Redis.
    :param sleep: spends a short wait; seconds.
    :param asleep: how many threads may sleep here at once: the others keep the process' other providers going.
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
        self._script: Script = client.register_script(_source())
        self._sleep = sleep
        self._beds = threading.BoundedSemaphore(asleep)
        self._waiting: Counter[str] = Counter()
        self._clock = clock
        self._prefix = prefix
        self.calls = 0
        """Calls of Redis so far, for benchmarks; threads may miscount it by a few."""

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
        number, names, again = (
            (reservation.id, [reservation.key], True) if reservation else (uuid4().hex, list(keys), False)
        )
        random.shuffle(names)  # between keys of which none is used more than another
        for _ in range(_MOST_TURNS):
            ask = _enter(number, names, longest, again=again)
            verdict, name, micros = self._call(facts, request, budget, ask)
            seconds = int(micros) / _US
            if verdict == "refused" and again and name != "circuit" and len(keys) > 1:
                # The key of the reservation was barred while its holder waited; the others have their own quotas.
                names, again = [other for other in keys if other not in names], False
                continue
            if verdict == "refused":
                raise _refusal(facts, request, name, seconds)
            if verdict == "far":
                text = f"{facts.name}: the next free slot is {seconds:.0f} s away"
                raise QuotaError(text, retry_after=seconds, asked=False)
            if verdict == "go":
                return Permit(facts, request, budget, Reservation(number, name), keys[name])
            names, again = [name], True
            if not self._slept(facts.name, seconds):
                return Wait(Reservation(number, name), seconds)
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
            "pause": int(_PAUSE * _US),
        }
        self._call(permit.facts, permit.request, permit.budget, ask)

    def cancel(self, facts: Facts, request: HttpRequest, budget: Budget, reservation: Reservation) -> None:
        """Give a reservation back that will not be used."""
        self._call(facts, request, budget, {"op": "cancel", "id": reservation.id, "keys": [reservation.key]})

    def learn(self, permit: Permit, error: ProviderError) -> bool:
        """Remember what an error says about the permit's key; returns whether a key was set aside just now.

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
        return self._call(permit.facts, permit.request, permit.budget, ask) == ["first"] and what == "rejected"

    def spare(self, permit: Permit, error: ProviderError) -> bool:
        """Whether the error bars the permit's key alone and the provider has another, which may be barred as well."""
        of_a_key = isinstance(error, QuotaError | EntitlementError | KeyRejectedError)
        return of_a_key and any(key.name != permit.key.name for key in self._keys.keys(permit.facts))

    def standing(self, facts: Facts) -> list[Standing]:
        """The state of the provider's quotas now, by key."""
        keys = self._keys.keys(facts)
        request, quotas = HttpRequest("/"), quotas_of(facts, self._settings)
        ask = {"op": "standing", "id": "", "keys": [key.name for key in keys]}
        now, until, failures, *rest = self._call(facts, request, Budget.REAL_TIME, ask)
        state = "closed"
        if until:
            state = "open" if int(until) > int(now) else "half-open"
        elif int(failures):
            state = f"closed, {failures} failures"
        found = []
        for number, key in enumerate(keys):
            closed, rejected, plans, counts = rest[4 * number : 4 * number + 4]
            held = [int(granted) for granted in counts[::2] if granted]
            seen = [int(all_of_it) for granted, all_of_it in zip(counts[::2], counts[1::2], strict=True) if granted]
            found.append(
                Standing(
                    key.name,
                    tuple((q.limit, q.seconds, used) for q, used in zip(quotas, held, strict=True)),
                    max((a - b for a, b in zip(seen, held, strict=True)), default=0),
                    _time(closed),
                    _time(rejected),
                    {plans[i]: made for i in range(0, len(plans), 2) if (made := _time(plans[i + 1]))},
                    state,
                    _time(until),
                )
            )
        return found

    def pause(self, facts: Facts) -> float:
        """Seconds for which a provider is left alone that does not say for how long: one window of its quotas."""
        return max((q.seconds for q in quotas_of(facts, self._settings) if q.seconds <= 3_600), default=60.0)

    def waiting(self, provider: str) -> int:
        """How many threads of this process sleep for a provider now: more work for it would only wait."""
        return self._waiting[provider]

    def _slept(self, provider: str, seconds: float) -> bool:
        """Spend a short wait; False when it is long, or too many threads sleep already."""
        if seconds > PATIENCE:
            return False
        bed = seconds > _NAP
        if bed and not self._beds.acquire(blocking=False):
            return False
        self._waiting[provider] += 1
        try:
            self._sleep(seconds)
        finally:
            self._waiting[provider] -= 1
            if bed:
                self._beds.release()
        return True

    def _call(self, facts: Facts, request: HttpRequest, budget: Budget, ask: dict[str, Any]) -> list[Any]:
        quotas, lease = quotas_of(facts, self._settings), self._settings.fintrack_http_timeout_seconds + _LEASE
        ask |= {
            "class": int(budget),
            "weight": request.weight,
            "endpoint": request.endpoint or request.path,
            "windows": [_plain(window) for window in windows(quotas, floors_of(self._settings), request.weight)],
            "lease": int(lease * _US),
            "keep": int((longest_window(quotas) + lease + 90) * 1000),
        }
        if self._clock:
            ask["now"] = int(self._clock() * _US)
        self.calls += 1
        try:
            answer = self._script(keys=[f"{self._prefix}:{{{facts.name}}}"], args=[orjson.dumps(ask)])
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
            raise outages.of_redis(error, redact_url(self._settings.redis_url.get_secret_value())) from error
        except redis.exceptions.ResponseError as error:
            if remedy_of(error):
                raise outages.of_redis(error, redact_url(self._settings.redis_url.get_secret_value())) from error
            raise
        return _texts(answer)


def _texts(answer: Sequence[Any]) -> list[Any]:
    return [each.decode() if isinstance(each, bytes) else _texts(each) for each in answer]


def _enter(number: str, names: list[str], longest: float, *, again: bool) -> dict[str, Any]:
    return {
        "op": "enter",
        "id": number,
        "keys": names,
        "again": again,
        "longest": int(max(longest, PATIENCE) * _US),
        "grace": int((_GRACE_QUEUED if longest > PATIENCE else _GRACE) * _US),
        "probe": int(_PROBE * _US),
    }


def _plain(window: QuotaWindow) -> dict[str, Any]:
    return {
        # What it is and not its place in the list, which depends on the request's weight and on the quotas of today.
        "name": f"{window.seconds:g}" if window.hold else f"{window.seconds:g}/{window.of}",
        "us": int(window.seconds * _US),
        "limit": window.limit,
        "of": window.of,
        "hold": window.hold,
        "caps": list(window.caps),
    }


def _time(micros: str) -> datetime | None:
    return datetime.fromtimestamp(int(micros) / _US, tz=UTC) if micros else None


def _refusal(facts: Facts, request: HttpRequest, reason: str, seconds: float) -> ProviderError:
    """The error for a refusal by the gate."""
    kind, text = {
        "entitlement": (EntitlementError, f"{request.endpoint} is not in the plan of its key"),
        "key_rejected": (KeyRejectedError, "its keys were refused and are set aside"),
        "circuit": (TransientError, "it failed repeatedly"),
        "quota": (QuotaError, "it closed itself by its own answer"),
    }[reason]
    return kind(f"{facts.name}: {text}; asked again in {seconds:.0f} s", retry_after=seconds, asked=False)
