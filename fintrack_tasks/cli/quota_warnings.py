"""Warnings about quotas: too many instruments for a tick, and configured quotas above a provider's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from fintrack_tasks.domain import Instrument, Kind
from fintrack_tasks.fetch import providers, route
from fintrack_tasks.fetch.providers.base import Quota
from fintrack_tasks.fetch.quota import limits
from fintrack_tasks.settings import Settings

__all__ = ["looser_quotas", "overcommitted_quotas"]

_TICK_SECONDS: Final = 300
"""Between two ticks of the market data (``market-data`` in ``celeryconfig.py``)."""


def overcommitted_quotas(instruments: Iterable[Instrument], settings: Settings) -> list[str]:
    """A line for each provider that would be asked for more quotes in a tick than its quotas let through.

    Every quote counts with the first provider of its route: that is whom it is asked of as long as all is well.
    """
    first = Counter(
        names[0] for one in instruments if (names := route.available(one, Kind.QUOTE, None, settings))
    )  # fmt: skip
    return [line for name, wanted in sorted(first.items()) if (line := _line(name, wanted, settings))]


def looser_quotas(settings: Settings) -> list[str]:
    """A line for each provider that a ``<NAME>_QUOTA`` lets be asked more often than its own quota does.

    A larger plan needs that. What was meant for the local market, and is still in a shell, costs a ban.
    """
    lines = []
    for name in sorted(settings.provider_quotas.keys() & set(providers.names())):
        facts = providers.provider(name).facts
        held = limits.quotas_of(facts, settings)
        if any(_max_requests(each.seconds, held) > each.limit for each in facts.quotas):
            known = " and ".join(f"{each.limit} per {each.seconds:g} s" for each in facts.quotas)
            lines.append(
                f"{name.upper()}_QUOTA={settings.provider_quotas[name]} lets {name} be asked more often than {known};"
                " unset it unless your plan allows that"
            )
    return lines


def _max_requests(seconds: float, held: Sequence[Quota]) -> float:
    """How many requests such quotas let out within so many seconds."""
    return min((each.limit * max(1.0, seconds / each.seconds) for each in held), default=float("inf"))


def _line(name: str, wanted: int, settings: Settings) -> str | None:
    facts = providers.provider(name).facts
    keys = max(1, len(settings.api_keys(facts.key.variable))) if facts.key else 1
    held = limits.quotas_of(facts, settings)
    if not held:
        return None
    tightest = min(held, key=lambda each: each.limit / each.seconds)
    allowed = int(tightest.limit * keys * _TICK_SECONDS / tightest.seconds)
    if wanted <= allowed:
        return None
    minutes = wanted / (tightest.limit * keys) * tightest.seconds / 60
    return (
        f"{wanted} quotes do not fit into a tick of {_TICK_SECONDS // 60} minutes: {name} allows {allowed}"
        f" ({tightest.limit} per {tightest.seconds:g} s), all of them take {minutes:.1f} minutes, and ticks that come"
        f" meanwhile are skipped; see {name.upper()}_QUOTA, FINTRACK_ROUTE_..., or pause some"
    )
