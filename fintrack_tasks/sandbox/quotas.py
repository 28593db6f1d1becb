"""What the local market counts and enforces: every request, and quotas as exact sliding windows per provider and key.

The product keeps within quotas by :mod:`fintrack_tasks.fetch.quota`; this is the other side.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fintrack_tasks.fetch.providers.base import Quota

__all__ = ["Refusal", "Request", "RequestLog", "most_in_window", "named"]

_KEPT: Final = 200_000


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived, ``at`` in epoch seconds. ``key`` is a name of the caller: no key is written down.

    :param refused: it was refused because its quota is used up, whatever the status.
    """

    at: float
    provider: str
    key: str
    path: str
    status: int
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is one too many.

    :param wait: seconds until one would be admitted.
    :param window: the length in seconds of the window that is used up, the one that opens last.
    """

    wait: float
    window: float


def named(key: str) -> str:
    """A short hash that tells keys apart without revealing them."""
    return f"key:{hashlib.sha256(key.encode()).hexdigest()[:8]}"


class RequestLog:
    """Counts requests and says whether one more is within the quotas. For one thread.

    :param quotas: provider name to its quotas; a provider that is absent has none.
    """

    def __init__(self, quotas: Mapping[str, Iterable[Quota]] | None = None) -> None:
        self.quotas: dict[str, tuple[Quota, ...]] = {name: tuple(q) for name, q in (quotas or {}).items()}
        self._served: dict[tuple[str, str], deque[float]] = {}
        self._log: deque[Request] = deque(maxlen=_KEPT)
        self._counts: Counter[tuple[str, str]] = Counter()

    def admit(self, provider: str, key: str, at: float, cost: int = 1) -> Refusal | None:
        """``None`` when the request is within every quota, and it is counted; else why it is not.

        :param cost: how much of each quota it uses.
        """
        quotas = self.quotas.get(provider, ())
        served = self._served.setdefault((provider, key), deque())
        longest = max((quota.seconds for quota in quotas), default=0.0)
        while served and served[0] <= at - longest:
            served.popleft()
        refusals = [refusal for quota in quotas if (refusal := _refusal(quota, served, at, cost))]
        if refusals:
            return max(refusals, key=lambda refusal: refusal.wait)
        if quotas:
            served.extend([at] * cost)
        return None

    def note(self, request: Request) -> None:
        """Record a request."""
        self._log.append(request)
        self._counts.update(
            (
                ("provider", request.provider),
                ("key", f"{request.provider}|{request.key}"),
                ("status", str(request.status)),
                ("refused", str(request.refused)),
            )
        )

    def clear(self) -> None:
        """Forget every request; the windows begin anew."""
        self._log.clear()
        self._counts.clear()
        self._served.clear()

    def report(self, windows: Iterable[float] = (), *, listed: bool = True) -> dict[str, Any]:
        """What was counted since the last :meth:`clear`.

        ``total``, ``by_provider``, ``by_key``, ``by_status``, ``status_429`` and ``refused`` count every request; the
        others know the newest 200,000 only: ``by_path``; ``max_in_window``, the most requests that were not refused in
        any sliding window, by its length in seconds, then by ``provider|key``; ``requests``, each request as
        ``[at, provider, key, path, status]``. A provider may refuse with 200: then ``refused`` exceeds ``status_429``.
        """
        served: dict[str, list[float]] = {}
        for request in self._log:
            if not request.refused:
                served.setdefault(f"{request.provider}|{request.key}", []).append(request.at)
        return {
            "total": sum(number for (what, _), number in self._counts.items() if what == "provider"),
            "by_provider": self._counted("provider"),
            "by_key": self._counted("key"),
            "by_status": self._counted("status"),
            "by_path": Counter(f"{r.provider}/{r.path}" for r in self._log),
            "status_429": self._counts["status", "429"],
            "refused": self._counts["refused", "True"],
            "max_in_window": {
                f"{seconds:g}": {name: most_in_window(times, seconds) for name, times in served.items()}
                for seconds in windows
            },
            "requests": [[r.at, r.provider, r.key, r.path, r.status] for r in self._log] if listed else [],
        }

    def _counted(self, wanted: str) -> dict[str, int]:
        return {name: number for (what, name), number in self._counts.items() if what == wanted}


def _refusal(quota: Quota, served: deque[float], at: float, cost: int) -> Refusal | None:
    """The window is (at - seconds, at]: enough of its requests must have left it to make room for the cost."""
    place = quota.limit - cost + 1
    if place < 1:
        return Refusal(quota.seconds, quota.seconds)
    if len(served) < place or served[-place] <= at - quota.seconds:
        return None
    return Refusal(served[-place] + quota.seconds - at, quota.seconds)


def most_in_window(times: Iterable[float], seconds: float) -> int:
    """The largest number of times in any half-open window of that length; the times ascend."""
    window: deque[float] = deque()
    most = 0
    for at in times:
        window.append(at)
        while window[0] <= at - seconds:
            window.popleft()
        most = max(most, len(window))
    return most
