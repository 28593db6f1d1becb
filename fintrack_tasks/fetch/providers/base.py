"""The contract of a provider: declared facts and two pure functions, ``request`` and ``parse``.

A provider opens nothing, sleeps nowhere, retries nothing and logs nothing. ``request`` says what to ask, ``parse``
turns the answer into rows or raises the typed error (:mod:`fintrack_tasks.errors`) that says what it means. A status
is not trusted: limits and errors inside a 200 are found here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import ClassVar, Final, Protocol, runtime_checkable

from fintrack_tasks.domain import ORIGIN_HEADER, AssetClass, Batch, Instrument, Interval, Kind, TimeRange, to_micros
from fintrack_tasks.errors import ProviderError

__all__ = [
    "JSON_HEADERS",
    "KEPT_FROM",
    "Ask",
    "Batching",
    "Facts",
    "HttpRequest",
    "HttpResponse",
    "KeyUse",
    "Profiling",
    "Provider",
    "Quota",
    "first_kept",
    "kept_from_meta",
]

JSON_HEADERS: Final = MappingProxyType({"User-Agent": "fintrack-tasks", "Accept": "application/json"})
"""The headers of a provider whose API asks for nothing else: the client names itself, and JSON is expected."""


def first_kept(now: datetime, days: int) -> datetime:
    """The first midnight UTC of the bars that a provider keeps for ``days`` days, with at least an hour to spare.

    The limit moves with the provider's clock: bars at the very limit would be gone by the time they are asked for.
    """
    oldest = (now - timedelta(days=days) + timedelta(hours=25)).astimezone(UTC)
    return oldest.replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class Quota:
    """At most ``limit`` requests in any ``seconds`` seconds.

    :param burst: the most of them that may go out at once; 1 where a provider is strict, ``None`` for all.
    """

    limit: int
    seconds: float
    burst: int | None = None

    def __post_init__(self) -> None:
        if self.limit < 1 or self.seconds <= 0 or (self.burst is not None and not 1 <= self.burst <= self.limit):
            raise ValueError(f"not a quota: {self.limit} per {self.seconds} s, at once {self.burst}")


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How a provider takes its key: in a query parameter, in a header, or by signing with it."""

    variable: str
    """The environment variable that carries it, such as ``API_KEY_FINNHUB``."""
    query: str | None = None
    header: str | None = None
    prefix: str = ""
    signed: bool = False
    """The key signs the request and is not sent: see :mod:`fintrack_tasks.fetch.http.signing`."""
    optional: bool = False
    """Without a key the provider still answers."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The declared facts of a provider: what it serves, its limits, and how it is asked."""

    name: str
    """As in ``fetch.<name>``, ``<NAME>_BASE_URL`` and the ``source`` of its rows."""
    base_url: str
    asset_classes: frozenset[AssetClass]
    kinds: frozenset[Kind]
    intervals: frozenset[Interval]
    page_size: int
    """The most bars that one request may return."""
    quotas: tuple[Quota, ...]
    """The public plan's limits, which hold together."""
    symbols_per_request: int = 1
    key: KeyUse | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    without: frozenset[tuple[AssetClass, Kind]] = frozenset()
    """Combinations of the above that are not asked for by default: not served, or not surely in any plan."""
    kept_days: Mapping[Interval, int] = field(default_factory=dict)
    """Days for which bars of an interval are kept; an interval that is absent has no such limit."""
    largest_body: int = 8 * 1024 * 1024
    """Bytes, decompressed; a larger answer is refused."""

    def kept_from(self, interval: Interval | None, now: datetime) -> datetime | None:
        """The first moment for which bars can be asked; ``None`` where there is no such limit."""
        days = self.kept_days.get(interval) if interval else None
        return None if days is None else first_kept(now, days)

    def serves(
        self, asset_class: AssetClass, kind: Kind, interval: Interval | None = None, *, any_plan: bool = False
    ) -> bool:
        """Whether such a question may be put to the provider.

        :param any_plan: also what is in :attr:`without`, since the operator has named the provider for it.
        """
        return (
            asset_class in self.asset_classes
            and kind in self.kinds
            and (interval is None or interval in self.intervals)
            and (any_plan or (asset_class, kind) not in self.without)
        )


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to a provider. ``interval`` and ``window`` are set for bars; ``now`` is the caller's clock."""

    kind: Kind
    instrument: Instrument
    now: datetime
    interval: Interval | None = None
    window: TimeRange | None = None

    def covers(self, opens: int) -> bool:
        """Whether a bar that opens at ``opens``, in microseconds, was asked for; without a window every bar was."""
        return self.window is None or to_micros(self.window.start) <= opens < to_micros(self.window.end)


KEPT_FROM: Final = "kept_from"
"""The name in a batch's ``meta`` of the time, microseconds, before which its provider may have left out bars that
it does not keep: that they are missing does not confirm that there are none."""


def kept_from_meta(ask: Ask, first: int, limit: datetime) -> dict[str, int]:
    """:data:`KEPT_FROM` for ``meta``, where a provider may have answered a part of the window without saying so.

    It is the earlier one of the first bar and the limit; empty for daily bars, and where the window begins after it.

    :param first: microseconds, the first bar of the answer.
    :param limit: the moment before which the provider may keep no intraday bars.
    """
    if ask.window is None or ask.interval is Interval.D1:
        return {}
    reached = min(first, to_micros(limit))
    return {KEPT_FROM: reached} if to_micros(ask.window.start) < reached else {}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A GET below the provider's base URL, without the key: the client adds that last.

    :param endpoint: what a plan includes or not, such as ``stock/candle``; entitlements are learnt by this name.
    :param weight: how much of the quota it uses, where a provider counts symbols rather than requests.
    """

    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    endpoint: str = ""
    weight: int = 1


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer as it came. ``headers`` have lower-case names; ``body`` is decompressed."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def simulated(self) -> bool:
        """Whether the local market gave the answer."""
        return ORIGIN_HEADER in self.headers


@runtime_checkable
class Provider(Protocol):
    """A source of prices. One file, one object; the registry finds it by its ``facts.name``."""

    facts: ClassVar[Facts]

    def request(self, ask: Ask) -> HttpRequest:
        """What to ask over HTTP for this question."""
        ...

    def parse(self, ask: Ask, response: HttpResponse) -> Batch:
        """The rows of an answer, oldest first, inside ``ask.window``; a quote has its price, a bar its close.

        :raises fintrack_tasks.errors.ProviderError: the subclass says what the answer means.
        """
        ...


@runtime_checkable
class Profiling(Protocol):
    """A provider that also knows what an instrument is."""

    def request_profile(self, instrument: Instrument) -> HttpRequest:
        """What to ask for an instrument's name and currency."""
        ...

    def parse_profile(self, instrument: Instrument, response: HttpResponse, now: datetime) -> Instrument:
        """The instrument, completed from the answer.

        :raises fintrack_tasks.errors.ProviderError: the subclass says what the answer means.
        """
        ...


@runtime_checkable
class Batching(Protocol):
    """A provider that answers for up to ``facts.symbols_per_request`` symbols at once."""

    def request_many(self, asks: Sequence[Ask]) -> HttpRequest:
        """One request for questions of one kind, interval and window; its weight is what the provider counts."""
        ...

    def parse_many(self, asks: Sequence[Ask], response: HttpResponse) -> list[Batch | ProviderError]:
        """For each question its rows, or what its entry means: a batch mixes good and bad ones.

        :raises fintrack_tasks.errors.ProviderError: when the answer as a whole is none.
        """
        ...
