"""The providers' API keys by variable: reloaded while the process runs, named without being shown."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from pydantic import SecretStr

from fintrack_tasks.errors import ConfigurationError, MissingKeyError
from fintrack_tasks.fetch.providers.base import Facts
from fintrack_tasks.observability import masking

__all__ = ["PUBLIC", "Key", "KeyRing", "KeySource"]

_EVERY: Final = 5.0
"""Seconds between two reloads."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and the name by which Redis and tables tell keys apart: a short hash that does not reveal it."""

    name: str
    secret: SecretStr | None


PUBLIC: Final = Key("public", None)
"""Stands for the key of a provider that is asked without one."""


class KeySource(Protocol):
    """Where the keys of a variable come from: the settings."""

    def api_keys(self, variable: str) -> tuple[SecretStr, ...]: ...


class KeyRing:
    """Knows the keys of every provider.

    :param source: the keys as they are when the process starts.
    :param reload: gives a newer source; asked every 5 seconds at most, so that a key that was exchanged in its file or
        in ``.env`` is used without a restart. A file that cannot be read leaves the keys as they were.
    """

    def __init__(
        self,
        source: KeySource,
        reload: Callable[[], KeySource] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._reload = reload
        self._clock = clock
        self._read_at = clock()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "KeyRing(<hidden>)"

    def keys(self, facts: Facts) -> tuple[Key, ...]:
        """The keys of a provider, at least one; :data:`PUBLIC` where it is asked without.

        :raises MissingKeyError: names the variable when it needs one and none is set.
        """
        if facts.key is None:
            return (PUBLIC,)
        found = dict.fromkeys(key.get_secret_value() for key in self._newest().api_keys(facts.key.variable))
        if found:
            masking.add_secrets(found)  # a key that came while the process runs is masked in its logs too
            return tuple(Key(_name(text), SecretStr(text)) for text in found)
        if facts.key.optional:
            return (PUBLIC,)
        raise MissingKeyError(facts.name, facts.key.variable)

    def _newest(self) -> KeySource:
        if self._reload is None or self._clock() - self._read_at < _EVERY:
            return self._source
        with self._lock:
            if self._clock() - self._read_at >= _EVERY:
                self._read_at = self._clock()
                try:
                    self._source = self._reload()
                except ConfigurationError:
                    # In the middle of an exchange the file may be gone for a moment; the next reading will find it.
                    return self._source
        return self._source


def _name(secret: str) -> str:
    return hashlib.sha256(b"fintrack key name" + secret.encode()).hexdigest()[:8]
