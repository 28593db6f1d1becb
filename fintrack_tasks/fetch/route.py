"""Who is asked for what, and who is asked next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from fintrack_tasks.domain import BATCH_LIMIT, AssetClass, Instrument, Interval, Item, Kind
from fintrack_tasks.errors import UsageError
from fintrack_tasks.fetch import providers, quota
from fintrack_tasks.settings import Settings

__all__ = ["drain_seconds", "next_provider", "page_size", "route", "table"]

_ROUTES: Final[dict[AssetClass, tuple[str, ...]]] = {
    AssetClass.STOCK: ("yahoo_finance",),
    AssetClass.CRYPTO: ("coinbase", "yahoo_finance"),
    AssetClass.FOREX: ("yahoo_finance",),
    AssetClass.INDEX: ("yahoo_finance",),
}
"""First choice first."""

_UNLIMITED_SECONDS: Final = 0.02
"""What an item of a provider without a quota is taken to cost, when a run's time is estimated."""


@lru_cache(maxsize=256)
def _route(asset_class: AssetClass, kind: Kind, interval: Interval | None) -> tuple[str, ...]:
    found = []
    for name in _ROUTES[asset_class]:
        if providers.provider(name).facts.serves(asset_class, kind, interval):
            found.append(name)
    return tuple(found)


def route(instrument: Instrument, kind: Kind, interval: Interval | None) -> tuple[str, ...]:
    """The providers that can answer, first choice first.

    :raises UsageError: when nobody can.
    """
    found = _route(instrument.asset_class, kind, interval)
    if not found:
        raise UsageError(f"no provider has {kind.value} of {instrument.asset_class.value} {instrument.symbol}")
    return found


def next_provider(instrument: Instrument, kind: Kind, interval: Interval | None, after: str) -> str | None:
    """The provider behind ``after`` on the route; ``None`` at its end."""
    names = route(instrument, kind, interval)
    position = names.index(after) + 1 if after in names else 0
    return names[position] if position < len(names) else None


def page_size(names: Iterable[str], _interval: Interval | None = None) -> int:
    """How many bars a window may expect, so that every provider of a route can answer it with one request."""
    return min((providers.provider(name).facts.page_size for name in names), default=BATCH_LIMIT)


def drain_seconds(items: Iterable[Item], settings: Settings) -> float:
    """How long the items will wait for their first providers' quotas, at least."""
    counts = Counter(route(item.instrument, item.kind, item.interval)[0] for item in items)
    waits = [0.0]
    for name, number in counts.items():
        quotas = quota.effective_quotas(
            providers.provider(name).facts, settings.provider_quotas.get(name), settings.api_rate_limit
        )
        waits.append(number * max(quota.seconds_per_request(quotas), _UNLIMITED_SECONDS))
    return max(waits)


def table() -> list[dict[str, Any]]:
    """All routes, for people."""
    return [
        {"asset_class": asset_class.value, "kind": kind.value, "providers": list(_route(asset_class, kind, None))}
        for asset_class in AssetClass
        for kind in Kind
        if kind is not Kind.INDEX or asset_class is AssetClass.INDEX
    ]
