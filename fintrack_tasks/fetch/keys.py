"""The providers' API keys: taken from the settings, shown to nobody."""

from __future__ import annotations

from itertools import count
from typing import Protocol

from pydantic import SecretStr

from fintrack_tasks.errors import MissingKeyError
from fintrack_tasks.fetch.providers.base import Facts

__all__ = ["KeyRing", "KeySource"]


class KeySource(Protocol):
    """Whatever knows the keys of a variable; the settings do."""

    def api_keys(self, variable: str) -> tuple[SecretStr, ...]: ...


class KeyRing:
    """Gives a provider's keys out in turn."""

    def __init__(self, source: KeySource) -> None:
        self._source = source
        self._turn = count()

    def __repr__(self) -> str:
        return "KeyRing(<hidden>)"

    def key(self, facts: Facts) -> SecretStr | None:
        """The next key of a provider; ``None`` when it needs none.

        :raises MissingKeyError: names the variable when it needs one and none is set.
        """
        if facts.key is None:
            return None
        keys = self._source.api_keys(facts.key.variable)
        if not keys:
            raise MissingKeyError(facts.name, facts.key.variable)
        return keys[next(self._turn) % len(keys)]
