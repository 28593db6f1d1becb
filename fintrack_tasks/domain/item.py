"""The unit of a run: one instrument x interval x window that is fetched, loaded and accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, Self
from uuid import UUID

from fintrack_tasks.domain.instrument import AssetClass, Instrument
from fintrack_tasks.domain.times import Interval, TimeRange, from_micros, to_micros

__all__ = ["Budget", "Item", "ItemState", "Kind"]


class Kind(StrEnum):
    """What an item asks for."""

    QUOTE = "quote"
    BARS = "bars"
    INDEX = "index"
    """Bars of an index whose indicators are stored with them."""


class Budget(IntEnum):
    """The priority of an item at a provider's quota: a lower value goes first."""

    REAL_TIME = 0
    GAP_REPAIR = 1
    DEEP_BACKFILL = 2


class ItemState(StrEnum):
    """The states of a ``run_items`` row. ``loaded``, ``empty`` and ``failed`` are ends."""

    QUEUED = "queued"
    FETCHED = "fetched"
    LOADED = "loaded"
    EMPTY = "empty"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Item:
    """One instrument x interval x window of a run: the unit that is fetched, loaded and accounted for.

    ``generation`` counts how often it was enqueued again; a message of an older generation is stale and does nothing.
    ``resume`` says that a raw response may already be kept, so that the provider need not be asked again.
    ``budget`` is its priority at a quota, ``consensus`` how many providers are to be asked.
    """

    id: UUID
    run_id: UUID
    kind: Kind
    instrument: Instrument
    instrument_id: int
    interval: Interval | None = None
    window: TimeRange | None = None
    generation: int = 0
    resume: bool = False
    budget: Budget = Budget.REAL_TIME
    consensus: int = 1

    def to_message(self) -> dict[str, Any]:
        """The item as the JSON object that travels through the broker."""
        message: dict[str, Any] = {
            "id": str(self.id),
            "run_id": str(self.run_id),
            "kind": self.kind.value,
            "symbol": self.instrument.symbol,
            "asset_class": self.instrument.asset_class.value,
            "instrument_id": self.instrument_id,
            "generation": self.generation,
        }
        if self.instrument.currency:
            message["currency"] = self.instrument.currency
        if self.instrument.calendar:
            message["calendar"] = self.instrument.calendar
        if self.interval:
            message["interval"] = self.interval.value
        if self.window:
            message["window"] = [to_micros(self.window.start), to_micros(self.window.end)]
        if self.resume:
            message["resume"] = True
        if self.budget:
            message["budget"] = int(self.budget)
        if self.consensus > 1:
            message["consensus"] = self.consensus
        return message

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Self:
        """The item of a message that :meth:`to_message` made.

        :raises ValueError: for any other message.
        """
        try:
            window = message.get("window")
            return cls(
                id=UUID(message["id"]),
                run_id=UUID(message["run_id"]),
                kind=Kind(message["kind"]),
                instrument=Instrument(
                    message["symbol"],
                    AssetClass(message["asset_class"]),
                    message.get("currency"),
                    message.get("calendar"),
                ),
                instrument_id=int(message["instrument_id"]),
                interval=Interval(message["interval"]) if message.get("interval") else None,
                window=TimeRange(from_micros(window[0]), from_micros(window[1])) if window else None,
                generation=int(message.get("generation", 0)),
                resume=bool(message.get("resume", False)),
                budget=Budget(message.get("budget", 0)),
                consensus=int(message.get("consensus", 1)),
            )
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"not an item's message: {error!r}") from None
