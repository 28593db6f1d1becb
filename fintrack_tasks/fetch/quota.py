"""Quotas as text and as Celery's per-worker rate limit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.fetch.providers.base import Facts, Quota

__all__ = ["celery_rate_limit", "effective_quotas", "parse_quotas", "seconds_per_request"]

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_PART: Final = re.compile(r"([1-9][0-9]{0,8})/([smhd])")


def parse_quotas(text: str, variable: str = "quota") -> tuple[Quota, ...]:
    """Quotas of text such as ``20/s,600/m,25/d``; none for ``unlimited``.

    :raises ConfigurationError: names the variable when the text is none.
    """
    if text.strip().lower() == "unlimited":
        return ()
    parts = [_PART.fullmatch(part.strip().lower()) for part in text.split(",")]
    if not all(parts):
        raise ConfigurationError(f"{variable}: not a quota: {text!r:.60}; write it as 20/s,600/m or unlimited")
    return tuple(Quota(int(match[1]), _UNITS[match[2]]) for match in parts if match)


def effective_quotas(facts: Facts, override: str | None, cap_per_minute: int) -> tuple[Quota, ...]:
    """The quotas that hold for a provider: its own or the override, and the operator's cap over all providers."""
    own = parse_quotas(override, f"{facts.name.upper()}_QUOTA") if override else facts.quotas
    return (*own, Quota(cap_per_minute, 60.0)) if cap_per_minute else own


def seconds_per_request(quotas: Sequence[Quota]) -> float:
    """The mean distance between requests that the tightest quota allows; 0 without one."""
    return max((quota.seconds / quota.limit for quota in quotas), default=0.0)


def celery_rate_limit(quotas: Sequence[Quota], workers: int = 1) -> str | None:
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
