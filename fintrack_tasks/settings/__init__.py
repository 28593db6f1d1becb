"""Settings from the environment and from files; no other package reads the environment.

Import them from here: ``from fintrack_tasks.settings import settings``.
A new setting is a field in ``model.py``; ``sources.py`` says where its value may come from. Secrets are masked values:
``repr`` and logs show asterisks.
"""

from __future__ import annotations

from fintrack_tasks.settings.addresses import on_this_machine, redact_url
from fintrack_tasks.settings.local_market import PLAYED, addresses_in_market
from fintrack_tasks.settings.model import SECRET_NAMES, Settings
from fintrack_tasks.settings.sources import drop_injected_ports, environment, load_settings, settings

__all__ = [
    "PLAYED",
    "SECRET_NAMES",
    "Settings",
    "addresses_in_market",
    "drop_injected_ports",
    "environment",
    "load_settings",
    "on_this_machine",
    "redact_url",
    "settings",
]
