"""A provider's quotas: parsed from text, as the windows that the gate counts, and as the number of Celery's rate limit.

The share of a worker among several follows in :mod:`fintrack_tasks.tasks.heartbeats`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fintrack_tasks.domain import Budget
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.fetch.providers.base import Facts, Quota
from fintrack_tasks.settings import Settings

__all__ = [
    "QuotaWindow",
    "celery_rate_limit",
    "effective_quotas",
    "floors_of",
    "longest_window",
    "parse_quotas",
    "quotas_of",
    "seconds_per_request",
    "windows",
]

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_PART: Final = re.compile(r"([1-9][0-9]{0,8})/(s|m|min|h|hour|d|day)(?::([1-9][0-9]{0,8}))?")
_FEW: Final = 10
"""A quota of at most so many requests may be used at once; of a larger one a tenth, to spread it over the window."""


def parse_quotas(text: str, variable: str = "quota") -> tuple[Quota, ...]:
    """Quotas of text such as ``20/s,600/m,25/d`` (or ``600/min,25/day``); none for ``unlimited``.

    ``20/s:1`` lets one out at a time.

    :raises ConfigurationError: the text is no quota; names the variable.
    """
    if text.strip().lower() == "unlimited":
        return ()
    parts = [_PART.fullmatch(part.strip().lower()) for part in text.split(",")]
    if not all(parts) or any(int(match[3] or 1) > int(match[1]) for match in parts if match):
        raise ConfigurationError(f"{variable}: not a quota: {text!r:.60}; write it as 20/s,600/m or unlimited")
    return tuple(
        Quota(int(match[1]), _UNITS[match[2][0]], int(match[3]) if match[3] else None) for match in parts if match
    )


def effective_quotas(facts: Facts, override: str | None, cap_per_minute: int) -> tuple[Quota, ...]:
    """The quotas that hold for a provider: its own or the override, and the operator's cap over all providers."""
    own = parse_quotas(override, f"{facts.name.upper()}_QUOTA") if override else facts.quotas
    return (*own, Quota(cap_per_minute, 60.0)) if cap_per_minute else own


def quotas_of(facts: Facts, settings: Settings) -> tuple[Quota, ...]:
    """The quotas that hold for a provider under these settings."""
    return effective_quotas(facts, settings.provider_quotas.get(facts.name), settings.api_rate_limit)


def longest_window(quotas: Sequence[Quota]) -> float:
    """Seconds of the longest quota; 60 without one."""
    return max((quota.seconds for quota in quotas), default=60.0)


@dataclass(frozen=True, slots=True)
class QuotaWindow:
    """What the gate counts: at most ``limit`` requests in ``seconds``.

    :param hold: a quota of the provider, in which a request stays until one window after its answer. Otherwise a
        spacing of our own: at most ``limit`` starts in ``limit / of`` of the quota's window.
    :param of: the quota's limit.
    :param caps: the most that gap repair and all below it, and deep backfill, may hold of ``limit``.
    """

    limit: int
    seconds: float
    of: int
    hold: bool
    caps: tuple[int, int]


def floors_of(settings: Settings) -> dict[Budget, float]:
    """The share of each quota that is kept for a budget class and the higher ones, in [0, 1)."""
    return {
        Budget.REAL_TIME: settings.fintrack_quota_floor_real_time,
        Budget.GAP_REPAIR: settings.fintrack_quota_floor_gap_repair,
    }


def windows(quotas: Sequence[Quota], floors: Mapping[Budget, float], weight: int = 1) -> tuple[QuotaWindow, ...]:
    """Each quota's window, followed by its spacing where not all of it may go out at once.

    :param floors: see :func:`floors_of`.
    :param weight: of the request; a spacing lets at least one request through.
    :raises ConfigurationError: when a single request weighs more than a quota allows.
    """
    kept = floors.get(Budget.REAL_TIME, 0.0)
    made = []
    for quota in quotas:
        if weight > quota.limit:
            raise ConfigurationError(f"one request weighs {weight}, more than {quota.limit} in {quota.seconds:g} s")
        shares = (1 - kept, 1 - kept - floors.get(Budget.GAP_REPAIR, 0.0))
        repair, backfill = (max(1, int(quota.limit * max(share, 0.0) + 1e-9)) for share in shares)
        made.append(QuotaWindow(quota.limit, quota.seconds, quota.limit, True, (repair, backfill)))
        burst = max(weight, quota.burst or (quota.limit if quota.limit <= _FEW else quota.limit // 10))
        if burst < quota.limit and quota.seconds <= _UNITS["h"]:
            made.append(QuotaWindow(burst, quota.seconds, quota.limit, False, (burst, burst)))
    return tuple(made)


def seconds_per_request(quotas: Sequence[Quota]) -> float:
    """The mean distance between requests that the tightest quota allows; 0 without one."""
    return max((quota.seconds / quota.limit for quota in quotas), default=0.0)


def celery_rate_limit(quotas: Sequence[Quota], workers: float = 1) -> str | None:
    """One worker's share of the quotas as Celery writes a rate: per second, minute or hour, whichever is whole.

    Days are left to the hour: Celery knows no longer unit. ``None`` lifts the limit.
    """
    distance = seconds_per_request([q for q in quotas if q.seconds <= _UNITS["h"]] or quotas) * workers
    if not distance:
        return None
    for unit in ("s", "m", "h"):
        rate = _UNITS[unit] / distance
        if rate >= 1 and (unit == "h" or abs(rate - round(rate)) < 1e-9):
            return f"{int(rate + 1e-9)}/{unit}"
    return "1/h"
