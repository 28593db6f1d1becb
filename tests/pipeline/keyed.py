"""What the fetch stage's tests share: keys of every provider that takes one, no quota of our own, and who was asked."""

from __future__ import annotations

from collections.abc import Callable

from fintrack_tasks.fetch import providers
from fintrack_tasks.sandbox import Running
from tests.fixtures_stages import Stages

KEYS = {
    "API_KEY_FINNHUB": "Kf81-finnhub-test-key",
    "API_KEY_TWELVE_DATA": "Kt27-twelve-data-test-key",
    "API_KEY_ALPHA_VANTAGE": "Ka94-alpha-vantage-test-key",
}
UNHURRIED = {f"{name.upper()}_QUOTA": "unlimited" for name in providers.names()}

Begin = Callable[..., Stages]


def asked(market: Running) -> dict[str, int]:
    """How many requests each provider got so far."""
    counted: dict[str, int] = market.control.requests(listed=False)["by_provider"]
    return counted
