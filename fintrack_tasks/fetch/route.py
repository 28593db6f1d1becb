"""The order of the providers for each asset class and kind: who is asked first, and who comes after whom.

Whether a failure moves an item on along its route is decided in :mod:`fintrack_tasks.pipeline.after_failure`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from fintrack_tasks.domain import BATCH_LIMIT, AssetClass, Instrument, Interval, Item, Kind
from fintrack_tasks.errors import ConfigurationError, MissingKeyError, UsageError
from fintrack_tasks.fetch import providers
from fintrack_tasks.fetch.providers.base import Facts
from fintrack_tasks.fetch.quota import limits
from fintrack_tasks.settings import Settings

__all__ = [
    "available",
    "before",
    "drain_seconds",
    "has_key",
    "kept_from",
    "next_provider",
    "page_size",
    "route",
    "table",
]

_ROUTES: Final[dict[AssetClass, tuple[str, ...]]] = {
    AssetClass.STOCK: ("yahoo_finance", "finnhub", "twelve_data", "alpha_vantage"),
    AssetClass.CRYPTO: ("coinbase", "yahoo_finance", "twelve_data", "finnhub", "alpha_vantage"),
    AssetClass.FOREX: ("yahoo_finance", "twelve_data", "alpha_vantage", "ecb"),
    AssetClass.INDEX: ("yahoo_finance", "twelve_data"),
    AssetClass.COMMODITY: ("yahoo_finance",),
}
"""First choice first: what needs no key, then the larger free plans. ``FINTRACK_ROUTE_<CLASS>[_<KIND>]`` replaces one.

A provider that does not serve a kind is left out of that kind's route, as is one that needs a key and has none."""

_UNLIMITED_SECONDS: Final = 0.02
"""Assumed for an item of a provider without a quota, when a run's time is estimated."""


def has_key(facts: Facts, settings: Settings) -> bool:
    """Whether a provider can be asked under these settings: it needs no key, or one is set."""
    return facts.key is None or facts.key.optional or bool(settings.api_keys(facts.key.variable))


def _named(asset_class: AssetClass, kind: Kind, settings: Settings) -> tuple[str, ...]:
    for name in (f"{asset_class}_{kind}", str(asset_class)):
        if text := settings.routes.get(name):
            chosen = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
            unknown = [part for part in chosen if part not in providers.names()]
            if unknown or not chosen:
                raise ConfigurationError(
                    f"FINTRACK_ROUTE_{name.upper()}: no provider {', '.join(unknown) or repr(text)};"
                    f" the providers are {', '.join(providers.names())}"
                )
            return chosen
    return _ROUTES[asset_class]


def _serving(asset_class: AssetClass, kind: Kind, interval: Interval | None, settings: Settings) -> tuple[str, ...]:
    chosen = f"{asset_class}_{kind}" in settings.routes  # an operator who names a kind's providers knows their plans
    return tuple(
        name
        for name in _named(asset_class, kind, settings)
        if providers.provider(name).facts.serves(asset_class, kind, interval, any_plan=chosen)
    )


def route(instrument: Instrument, kind: Kind, interval: Interval | None, settings: Settings) -> tuple[str, ...]:
    """The providers that can answer, first choice first.

    :raises UsageError: no provider serves such a question.
    :raises MissingKeyError: every provider that serves it needs a key, and none is set.
    """
    found = available(instrument, kind, interval, settings)
    if found:
        return found
    for name in _serving(instrument.asset_class, kind, interval, settings):
        if key := providers.provider(name).facts.key:
            raise MissingKeyError(name, key.variable)
    raise UsageError(f"no provider has {kind.value} of {instrument.asset_class.value} {instrument.symbol}")


def available(instrument: Instrument, kind: Kind, interval: Interval | None, settings: Settings) -> tuple[str, ...]:
    """As :func:`route`, but empty where no provider can answer."""
    serving = _serving(instrument.asset_class, kind, interval, settings)
    return tuple(name for name in serving if has_key(providers.provider(name).facts, settings))


def next_provider(
    instrument: Instrument, kind: Kind, interval: Interval | None, after: str, settings: Settings
) -> str | None:
    """The provider behind ``after`` on the route; ``None`` at its end."""
    names = route(instrument, kind, interval, settings)
    position = names.index(after) + 1 if after in names else 0
    return names[position] if position < len(names) else None


def before(
    instrument: Instrument, kind: Kind, interval: Interval | None, source: str, settings: Settings
) -> tuple[str, ...]:
    """The providers that are asked before ``source``; empty where it is not on the route."""
    names = available(instrument, kind, interval, settings)
    return names[: names.index(source)] if source in names else ()


def kept_from(name: str, interval: Interval | None, settings: Settings, now: datetime) -> datetime | None:
    """The first moment for which a provider keeps bars of an interval; ``None`` where it keeps all.

    A replacement under another address (the local market, a proxy) has no declared limit: its answers tell.
    """
    if name in settings.provider_base_urls:
        return None
    return providers.provider(name).facts.kept_from(interval, now)


def page_size(names: Iterable[str]) -> int:
    """The most bars of a window that every one of these providers can answer with one request."""
    return min((providers.provider(name).facts.page_size for name in names), default=BATCH_LIMIT)


def drain_seconds(items: Iterable[Item], settings: Settings) -> float:
    """Seconds that the items need at least, given the quotas of their first providers."""
    ways = (available(item.instrument, item.kind, item.interval, settings) for item in items)
    counts = Counter(way[0] for way in ways if way)
    waits = [0.0]
    for name, number in counts.items():
        quotas = limits.quotas_of(providers.provider(name).facts, settings)
        waits.append(number * max(limits.seconds_per_request(quotas), _UNLIMITED_SECONDS))
    return max(waits)


def table(settings: Settings) -> list[dict[str, Any]]:
    """All routes, for display; ``without_key`` are the providers that would be asked if a key were set."""
    rows = []
    for asset_class in AssetClass:
        for kind in Kind:
            if kind is Kind.INDEX and asset_class is not AssetClass.INDEX:
                continue
            serving = _serving(asset_class, kind, None, settings)
            keyed = [name for name in serving if has_key(providers.provider(name).facts, settings)]
            without = [name for name in serving if name not in keyed]
            rows.append(
                {"asset_class": asset_class.value, "kind": kind.value, "providers": keyed, "without_key": without}
            )
    return rows
