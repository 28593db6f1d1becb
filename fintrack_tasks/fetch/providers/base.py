"""What every provider is: declared facts and two pure functions, ``request`` and ``parse``.

A provider opens nothing, sleeps nowhere, retries nothing and logs nothing. ``request`` says what to ask, ``parse``
turns the answer into rows or raises the typed error (:mod:`fintrack_tasks.errors`) that says what it means. A status
is not trusted: limits and errors inside a 200 are found here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Protocol, runtime_checkable

from fintrack_tasks.domain import AssetClass, Batch, Instrument, Interval, Kind, Window

__all__ = ["Ask", "Facts", "HttpRequest", "HttpResponse", "KeyUse", "Provider", "Quota"]


@dataclass(frozen=True, slots=True)
class Quota:
    """At most ``limit`` requests in any ``seconds`` seconds."""

    limit: int
    seconds: float

    def __post_init__(self) -> None:
        if self.limit < 1 or self.seconds <= 0:
            raise ValueError(f"not a quota: {self.limit} per {self.seconds} s")


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How a provider takes its key: in a query parameter or in a header."""

    variable: str
    """The environment variable that carries it, such as ``API_KEY_FINNHUB``."""
    query: str | None = None
    header: str | None = None
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a provider declares of itself."""

    name: str
    """As in ``fetch.<name>``, ``<NAME>_BASE_URL`` and the ``source`` of its rows."""
    base_url: str
    asset_classes: frozenset[AssetClass]
    kinds: frozenset[Kind]
    intervals: frozenset[Interval]
    page_size: int
    """The most bars that one request may return."""
    quotas: tuple[Quota, ...]
    """All windows that hold at once, the public plan's."""
    symbols_per_request: int = 1
    key: KeyUse | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to a provider. ``interval`` and ``window`` are there for bars; ``now`` is the caller's clock."""

    kind: Kind
    instrument: Instrument
    now: datetime
    interval: Interval | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A GET below the provider's base URL, without the key: the client adds that last."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer as it came. ``headers`` have lower-case names; ``body`` is decompressed."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Provider(Protocol):
    """A source of prices. One file, one object; the registry finds it by its ``facts.name``."""

    facts: ClassVar[Facts]

    def request(self, ask: Ask) -> HttpRequest:
        """What to ask over HTTP for this question."""
        ...

    def parse(self, ask: Ask, response: HttpResponse) -> Batch:
        """The rows of an answer, oldest first, inside ``ask.window``, with no null price.

        :raises fintrack_tasks.errors.ProviderError: the subclass says what the answer means.
        """
        ...
