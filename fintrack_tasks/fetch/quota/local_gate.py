"""The rate limiter of one process, for ``MarketDataFetcher`` where no Redis runs.

The fleet-wide one, which keeps the quotas in Redis, is :mod:`fintrack_tasks.fetch.quota.gate`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from uuid import uuid4

from fintrack_tasks.domain import Budget
from fintrack_tasks.errors import ProviderError, QuotaError
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest
from fintrack_tasks.fetch.quota.keys import Key, KeyRing
from fintrack_tasks.fetch.quota.limits import longest_window, quotas_of, windows
from fintrack_tasks.fetch.quota.permits import PATIENCE, Permit, Reservation
from fintrack_tasks.settings import Settings

__all__ = ["LocalGate"]


class LocalGate:
    """The part of :class:`fintrack_tasks.fetch.quota.gate.Gate` that one process needs; threads take turns.

    A request counts until one window after its answer, and a provider whose quota is used up is left alone.
    """

    def __init__(
        self,
        settings: Settings,
        keys: KeyRing,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._keys, self._sleep, self._clock = settings, keys, sleep, clock
        self._answered: dict[tuple[str, str], deque[float]] = {}
        self._closed: dict[tuple[str, str], float] = {}
        self._turn = threading.Lock()

    def acquire(
        self,
        facts: Facts,
        request: HttpRequest,
        budget: Budget = Budget.REAL_TIME,
        *,
        reservation: Reservation | None = None,
        longest: float = 0.0,
    ) -> Permit:
        """A permit, after as many seconds of sleep as it takes; threads wait for each other.

        :raises QuotaError: when that is longer than :data:`PATIENCE` and ``longest``.
        :raises MissingKeyError: the provider needs a key and none is set.
        :raises ConfigurationError: the request weighs more than a quota allows.
        """
        self._turn.acquire()  # until release: one request at a time, whatever the number of threads
        try:
            key, wait = self._chosen(facts, request, max(longest, PATIENCE))
            self._sleep(wait)
        except BaseException:
            self._turn.release()
            raise
        return Permit(facts, request, budget, reservation or Reservation(uuid4().hex, key.name), key)

    def release(self, permit: Permit, outcome: str) -> None:
        """Give a permit back; see :meth:`Gate.release`."""
        if outcome != "unsent":
            now, longest = self._clock(), longest_window(quotas_of(permit.facts, self._settings))
            answered = self._answered.setdefault((permit.facts.name, permit.key.name), deque())
            while answered and answered[0] <= now - longest:
                answered.popleft()
            answered.extend([now] * permit.request.weight)
        self._turn.release()

    def cancel(self, facts: Facts, request: HttpRequest, budget: Budget, reservation: Reservation) -> None:
        """Does nothing: this gate reserves nothing."""

    def learn(self, permit: Permit, error: ProviderError) -> bool:
        """Close a provider that says that its quota is used up, until the time that it names, or for a minute."""
        if isinstance(error, QuotaError):
            key, until = (permit.facts.name, permit.key.name), self._clock() + (error.retry_after or 60.0)
            self._closed[key] = max(until, self._closed.get(key, until))
        return False

    def _chosen(self, facts: Facts, request: HttpRequest, longest: float) -> tuple[Key, float]:
        """The key that is free first, and the seconds until then."""
        free = {key: self._free_at(facts, key.name, request.weight) for key in self._keys.keys(facts)}
        key = min(free, key=lambda each: free[each])
        wait = max(0.0, free[key] - self._clock())
        if wait > longest:
            text = f"{facts.name}: the next free slot is {wait:.0f} s away"
            raise QuotaError(text, retry_after=wait, asked=False)
        return key, wait

    def _free_at(self, facts: Facts, key: str, weight: int) -> float:
        free, answered = self._closed.get((facts.name, key), 0.0), self._answered.get((facts.name, key), deque())
        for window in windows(quotas_of(facts, self._settings), {}, weight):
            if window.hold and len(answered) > window.limit - weight:
                free = max(free, answered[-(window.limit - weight + 1)] + window.seconds)
        return free
