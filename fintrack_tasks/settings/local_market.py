"""What follows from ``FINTRACK_SANDBOX_URL``: the addresses, quotas and history of the local market."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from fintrack_tasks.settings.addresses import on_this_machine

__all__ = ["PLAYED", "PROVIDER_URL", "addresses_in_market", "local_market_fields"]

PLAYED: Final = ("alpha_vantage", "coinbase", "ecb", "finnhub", "twelve_data", "wikipedia", "yahoo_finance")
"""The providers that the local market simulates: with ``FINTRACK_SANDBOX_URL`` set, requests to them go there."""

_LOCAL_QUOTA: Final = "200/s"
"""The local market's quota unless ``<NAME>_QUOTA`` sets another."""
_LOCAL_HISTORY: Final = {"fintrack_history_start": "2010-01-01", "fintrack_history_end": "2019-01-01"}
"""The bundled prices end in 2013 (stocks) and 2018 (indices); later days have none."""
PROVIDER_URL = re.compile(r"([A-Z][A-Z0-9_]*)_BASE_URL")
"""``<NAME>_BASE_URL``: the address that replaces a provider's own."""


def local_market_fields(market: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Addresses, quotas and history under the local market at ``market``. Configured addresses off this machine are
    ignored, since the local quotas must not apply to a real provider."""
    own = {name: url for name, url in fields["provider_base_urls"].items() if on_this_machine(url)}
    asked = {name: f"{market}/{name}" for name in PLAYED} | own
    there = [name for name in PLAYED if asked[name].startswith(f"{market}/")]  # another address may lead anywhere
    history = {name: fields.get(name) or value for name, value in _LOCAL_HISTORY.items()}
    return {
        "provider_base_urls": asked,
        "provider_quotas": dict.fromkeys(there, _LOCAL_QUOTA) | fields["provider_quotas"],
        **history,
    }


def addresses_in_market(values: Mapping[str, str]) -> set[str]:
    """Names of the ``<NAME>_BASE_URL`` variables that point into the local market named by the same variables."""
    market = values.get("FINTRACK_SANDBOX_URL")
    return {n for n, url in values.items() if market and PROVIDER_URL.fullmatch(n) and url.startswith(f"{market}/")}
