"""The contract of a fake API: a name, the real provider's public limits, and a function from request to reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar, Protocol, runtime_checkable

import orjson

from fintrack_tasks.sandbox.market import Market

__all__ = ["FakeApi", "Keyed", "Priced", "Reply", "json_reply"]

JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it goes out."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""
    """Where its content comes from, when that is not the market's prices."""


def json_reply(value: Any, status: int = 200) -> Reply:
    """An answer of JSON; decimals of floats are their shortest exact text."""
    return Reply(status, orjson.dumps(value))


class FakeApi(Protocol):
    """A provider's API, answered over the local market."""

    name: ClassVar[str]
    real_quotas: ClassVar[str]
    """The public plan's quotas, such as ``10/s``."""

    def answer(self, market: Market, path: str, params: Mapping[str, str]) -> Reply:
        """The reply to a GET of ``path``, percent-decoded and without the provider's prefix; nothing is raised."""
        ...

    def too_many(self, key: str, window: float) -> Reply:
        """The reply of a provider whose quota is used up.

        :param key: the key that was given, which a provider may echo; empty where the address counts.
        :param window: the length in seconds of the quota's window.
        """
        ...

    def failed(self, status: int) -> Reply:
        """The provider's reply of that status when it has a fault of its own, or cannot read the request."""
        ...

    def with_nulls(self, answer: Any, random: Random) -> Any:
        """An answer's JSON, decoded, with nulls where this provider is known to have them."""
        ...

    def symbol_of(self, path: str, params: Mapping[str, str]) -> str:
        """What was asked for, so that faults can be aimed; empty when nothing is."""
        ...

    def key_of(self, params: Mapping[str, str], headers: Mapping[str, str]) -> str:
        """Whose quota is used: the key that was given, empty where the address counts."""
        ...


@runtime_checkable
class Keyed(Protocol):
    """A fake API that requires a key."""

    def without_key(self) -> Reply:
        """The reply to a request that has none."""
        ...


@runtime_checkable
class Priced(Protocol):
    """A fake API at which a request may use more than one unit of its quota."""

    def credits_of(self, path: str, params: Mapping[str, str]) -> int:
        """What the request costs, at least one."""
        ...
