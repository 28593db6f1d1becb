"""Where settings are read from, and which source wins. Nothing else in the package reads the environment.

Sources, strongest first: the process' environment, ``NAME_FILE`` (a file that holds the secret), ``.env`` in the
working folder, and ``stack.env`` that a running local stack keeps in ``FINTRACK_HOME``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from fintrack_tasks.settings.addresses import is_injected_port
from fintrack_tasks.settings.files import read_dotenv
from fintrack_tasks.settings.local_market import addresses_in_market
from fintrack_tasks.settings.model import NEVER_EMPTY, SECRET_NAMES, Settings

__all__ = ["drop_injected_ports", "environment", "load_settings", "settings"]

_ADDRESSES: Final = ("DB_HOST", "DB_PORT", "REDIS_URL", "REDIS_URL_FILE", "KAFKA_BOOTSTRAP_SERVERS")
"""The variables that hold addresses of servers."""
_OF_SERVERS: Final = re.compile(r"(?:DB|REDIS|KAFKA)_(?!POOL_SIZE|TOPIC_|BATCH_)[A-Z_]+")
"""Addresses of servers, and what is meaningless without one: logins, databases, certificates."""
_STACK_MARK: Final = "FINTRACK_STACK"
"""Set in the environment of each process of a local stack; see :mod:`fintrack_tasks.embedded.process`."""
_OPERATOR_ONLY: Final = re.compile(r"[A-Z][A-Z0-9_]*_QUOTA|FINTRACK_HISTORY_(?:START|END)")
"""Ignored in ``stack.env``: only one written by an earlier version has them, with the local market's quotas beside the
real providers' addresses."""


def environment(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> dict[str, str]:
    """All variables by name, from the weakest source to the strongest: ``stack.env``, ``.env``, the process."""
    process = os.environ if environ is None else environ
    folder = folder or Path.cwd()
    dotenv = read_dotenv(folder / ".env")
    home = Path(process.get("FINTRACK_HOME") or dotenv.get("FINTRACK_HOME") or folder / ".fintrack")
    stack = {
        name: value for name, value in read_dotenv(home / "stack.env").items() if not _OPERATOR_ONLY.fullmatch(name)
    }
    return _merged(_merged(stack, _for_this_machine(dotenv, stack, process)), process)


def _merged(weaker: Mapping[str, str], stronger: Mapping[str, str]) -> dict[str, str]:
    """The variables of both sources; the stronger one wins. A secret and its ``_FILE`` hide each other; a source that
    names another local market, or none, hides the weaker one's addresses in it."""
    hidden = {f"{name}_FILE" for name in SECRET_NAMES if name in stronger}
    hidden |= {name for name in SECRET_NAMES if stronger.get(f"{name}_FILE")}
    if stronger.get("FINTRACK_SANDBOX_URL", weaker.get("FINTRACK_SANDBOX_URL")) != weaker.get("FINTRACK_SANDBOX_URL"):
        hidden |= addresses_in_market(weaker)
    return {**{name: value for name, value in weaker.items() if name not in hidden}, **stronger}


def _for_this_machine(
    dotenv: Mapping[str, str], stack: Mapping[str, str], process: Mapping[str, str]
) -> dict[str, str]:
    """The variables of ``.env`` that apply beside a local stack: without those that belong to other servers.

    A password, user or certificate written for the containers does not apply to a stack that runs here, unless
    ``.env`` also holds an address; a process of that stack never uses other servers.
    """
    elsewhere = any(dotenv.get(name) for name in _ADDRESSES)
    if not process.get(_STACK_MARK) and (elsewhere or "DB_HOST" not in stack):
        # An empty login belongs to those servers and hides the stack's. Any other empty line counts as not set.
        login = {name for name in dotenv if _OF_SERVERS.fullmatch(name) and name not in NEVER_EMPTY}
        return {name: value for name, value in dotenv.items() if value or name in login}
    return {name: value for name, value in dotenv.items() if value and not _OF_SERVERS.fullmatch(name)}


def drop_injected_ports() -> None:
    """Remove injected ``NAME_PORT`` variables from this process: Flower would read ``FLOWER_PORT`` and fail."""
    for name in [name for name, value in os.environ.items() if is_injected_port(name, value)]:
        if name.lower() in Settings.model_fields:
            del os.environ[name]


def load_settings(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """The settings of this process as they stand now. Cheap enough to call per command, not per task."""
    return Settings.from_mapping(environment(environ, folder))


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once. Tasks and ``celeryconfig`` use it; tests clear it."""
    return load_settings()
