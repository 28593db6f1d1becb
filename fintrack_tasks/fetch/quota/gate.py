"""The gate before a provider: its quotas, its keys and its state, held for the whole fleet in Redis.

Each request makes one call before it (two when it had to wait) and one after its answer; none of them polls. What the
calls do is written in ``lua/gate.lua``: a request leaves a quota's window one window after its *answer*, so that no
delay on the way can bring more requests into any sliding window than the quota allows.
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
from fintrack_tasks.fetch.quota.limits import Window, floors_of, longest_window, quotas_of, windows
from fintrack_tasks.refusals import remedy_of
from fintrack_tasks.settings import Settings, redact_url

__all__ = ["PATIENCE", "Gate", "Pass", "Place", "Standing", "Ticket"]

PATIENCE: Final = 2.0
"""Seconds: a shorter wait is slept, a longer one is given back as a :class:`Place`."""
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
"""A ticket is forfeited when its holder is so late; one that waits in the broker may find its worker busy."""
_MOST_TURNS: Final = 20
_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Ticket:
    """A reserved time: ``id`` is the reservation, ``key`` the name of the key that it was made for."""

    id: str
    key: str


@dataclass(frozen=True, slots=True)
class Place:
    """For a caller who would have to wait long: come back in ``seconds`` with the ticket."""

    ticket: Ticket
    seconds: float


@dataclass(frozen=True, slots=True)
class Pass:
    """Leave to send one request now; it goes back to :meth:`Gate.leave`, whatever comes of the request."""

    facts: Facts
    request: HttpRequest
    budget: Budget
    ticket: Ticket
    key: Key


@dataclass(frozen=True, slots=True)
class Standing:
    """How a provider stands with one key; times are aware UTC, ``None`` where nothing bars it.

    :param used: for each quota ``(limit, seconds, used)``; ``used`` counts the requests inside the window now.
    :param waiting: places that were given out and whose time has not come.
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
    """See the module. One per process; threads may share it.

    :param client: Redis.
    :param sleep: how a short wait is spent.
    :param asleep: how many threads may sleep here at once: the others keep the process' other providers going.
    :param clock: seconds; where given it stands for Redis' own clock.
    :param prefix: of the names in Redis; gates with the same one share their quotas.
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

    def enter(
        self,
        facts: Facts,
        request: HttpRequest,
        budget: Budget = Budget.REAL_TIME,
        *,
        ticket: Ticket | None = None,
        longest: float = 0.0,
    ) -> Pass | Place:
        """Leave to send the request, now or after at most :data:`PATIENCE` seconds of sleep; or a place.

        :param ticket: of a place that was given earlier, whose time has come.
        :param longest: seconds that the caller would wait for a place.
        :raises QuotaError: the wait is longer, or the provider has closed itself; ``retry_after`` says for how long.
        :raises EntitlementError: no key's plan has the endpoint, as was learnt before.
        :raises KeyRejectedError: every key was refused before.
        :raises TransientError: the provider's circuit is open after repeated failures.
        :raises MissingKeyError: the provider needs a key and none is set.
        :raises OutageError: Redis does not answer.
        """
        keys = {key.name: key for key in self._keys.keys(facts)}
        if ticket and ticket.key not in keys:
            ticket = None  # the key was changed meanwhile
        number, names, again = (ticket.id, [ticket.key], True) if ticket else (uuid4().hex, list(keys), False)
        random.shuffle(names)  # between keys of which none is used more than another
        for _ in range(_MOST_TURNS):
            ask = {
                "op": "enter",
                "id": number,
                "keys": names,
                "again": again,
                "longest": int(max(longest, PATIENCE) * _US),
                "grace": int((_GRACE_QUEUED if longest > PATIENCE else _GRACE) * _US),
                "probe": int(_PROBE * _US),
            }
            verdict, name, micros = self._call(facts, request, budget, ask)
            seconds = int(micros) / _US
            if verdict == "refused" and again and name != "circuit" and len(keys) > 1:
                # The key of the ticket was barred while its holder waited; the others have their own quotas.
                names, again = [other for other in keys if other not in names], False
                continue
            if verdict == "refused":
                raise _refusal(facts, request, name, seconds)
            if verdict == "far":
                text = f"{facts.name}: the next free slot is {seconds:.0f} s away"
                raise QuotaError(text, retry_after=seconds, asked=False)
            if verdict == "go":
                return Pass(facts, request, budget, Ticket(number, name), keys[name])
            names, again = [name], True
            if not self._slept(facts.name, seconds):
                return Place(Ticket(number, name), seconds)
        text = f"{facts.name}: no slot was found in {_MOST_TURNS} turns"
        raise QuotaError(text, retry_after=PATIENCE, asked=False)

    def leave(self, taken: Pass, outcome: str) -> None:
        """The answer came (``answered``), did not come or was a failure of the server (``failed``), or the request
        provably never went out (``unsent``).

        :raises OutageError: Redis does not answer; the pass then ends by itself.
        """
        ask = {
            "op": "leave",
            "id": taken.ticket.id,
            "keys": [taken.ticket.key],
            "outcome": outcome,
            "failures": _FAILURES,
            "pause": int(_PAUSE * _US),
        }
        self._call(taken.facts, taken.request, taken.budget, ask)

    def cancel(self, facts: Facts, request: HttpRequest, budget: Budget, ticket: Ticket) -> None:
        """Give a place back that will not be used."""
        self._call(facts, request, budget, {"op": "cancel", "id": ticket.id, "keys": [ticket.key]})

    def learn(self, taken: Pass, error: ProviderError) -> bool:
        """What an answer taught about a key; returns whether a key was set aside just now.

        A quota that the provider says is used up closes the key until the provider's own time, or for one window. An
        endpoint outside the plan, or a refused key, is not asked again with that key for a day. A provider without
        keys is not barred: its refusals are about the address or the moment.
        """
        keyed = taken.key.secret is not None
        if isinstance(error, QuotaError):
            what, seconds = "closed", error.retry_after or self.pause(taken.facts)
        elif isinstance(error, EntitlementError) and keyed:
            what, seconds = "entitlement", _DAY
        elif isinstance(error, KeyRejectedError) and keyed:
            what, seconds = "rejected", _DAY
        else:
            return False
        ask = {
            "op": "learn",
            "id": taken.ticket.id,
            "keys": [taken.ticket.key],
            "what": what,
            "seconds": max(1, seconds),
        }
        return self._call(taken.facts, taken.request, taken.budget, ask) == ["first"] and what == "rejected"

    def spare(self, taken: Pass, error: ProviderError) -> bool:
        """Whether the error bars the pass' key alone and the provider has another one, which may be barred as well."""
        of_a_key = isinstance(error, QuotaError | EntitlementError | KeyRejectedError)
        return of_a_key and any(key.name != taken.key.name for key in self._keys.keys(taken.facts))

    def standing(self, facts: Facts) -> list[Standing]:
        """How the provider stands now, by key."""
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
        """How many threads of this process sleep for a provider now; to start more of its work would not help."""
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


def _plain(window: Window) -> dict[str, Any]:
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
    """What a refusal at the gate means."""
    kind, text = {
        "entitlement": (EntitlementError, f"{request.endpoint} is not in the plan of its key"),
        "key_rejected": (KeyRejectedError, "its keys were refused and are set aside"),
        "circuit": (TransientError, "it failed repeatedly"),
        "quota": (QuotaError, "it closed itself by its own answer"),
    }[reason]
    return kind(f"{facts.name}: {text}; asked again in {seconds:.0f} s", retry_after=seconds, asked=False)
