"""Asking providers: routes, HTTP, quotas, one file per provider, and the fetcher for programs without Celery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fintrack_tasks.fetch.market_data_fetcher import MarketDataFetcher

__all__ = ["MarketDataFetcher"]


def __getattr__(name: str) -> Any:
    # The pure providers are below this package: importing them must not bring the HTTP client along.
    if name == "MarketDataFetcher":
        from fintrack_tasks.fetch.market_data_fetcher import MarketDataFetcher  # noqa: PLC0415

        return MarketDataFetcher
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
