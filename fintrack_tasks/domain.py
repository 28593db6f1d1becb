"""The values that everything passes about: frozen, exact, in aware UTC.

A provider's decimal travels as its own text (``"246.28000000"``, ``"75.0875015258789"``) from ``parse`` to the
NUMERIC column, so that nothing on the way can bend it. Checks and indicators compute on floats made from that
text; what is stored is the text.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any, Final, Self
from uuid import UUID

from fintrack_tasks.printable import printable
from fintrack_tasks.symbols import FORM, RATE_INDICES, kind_of, spelled

__all__ = [
    "BAR_COLUMNS",
    "BATCH_LIMIT",
    "BENCHMARK",
    "CARRIED_COLUMNS",
    "FLAG",
    "INDICATOR_COLUMNS",
    "ORIGIN_HEADER",
    "QUOTE_COLUMNS",
    "REJECT",
    "STATE_COLUMNS",
    "AssetClass",
    "Batch",
    "Budget",
    "CorporateAction",
    "Event",
    "Finding",
    "FxRate",
    "Instrument",
    "Interval",
    "Item",
    "ItemState",
    "Kind",
    "Mode",
    "TimeRange",
    "bounded_decimal",
    "decimal_text",
    "from_micros",
    "is_currency",
    "payment_amount",
    "split_ratio",
    "to_micros",
    "uuid7",
]

BATCH_LIMIT: Final = 1_000
"""The most rows that one message of the chain may carry."""

BENCHMARK: Final = "^GSPC"
"""The index that beta and correlation compare with."""

ORIGIN_HEADER: Final = "x-fintrack-origin"
"""The local market's answers bear it, and no others do: where their prices come from, such as ``synthetic: ...``."""

_LONGEST_NUMBER: Final = 64
_MOST_DIGITS: Final = 40
_LEAST_CHANGE: Final = Decimal("0.000001")
_LARGEST_SPLIT: Final = Decimal(100_000)
"""No exchange ever saw a split beyond it, nor one that changed less: such a ratio is an error of its source."""
_LARGEST_PAYMENT: Final = Decimal(10**9)
"""A share, in any currency."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Mode(StrEnum):
    """Whose prices a stack, a process or a database holds. The two never meet in one database."""

    LIVE = "live"
    """Those of the real providers."""
    SIMULATED = "simulated"
    """Those of the local market."""


class AssetClass(StrEnum):
    """What kind of thing an instrument is; routes, calendars and thresholds hang on it."""

    STOCK = "stock"
    CRYPTO = "crypto"
    FOREX = "forex"
    INDEX = "index"
    COMMODITY = "commodity"
    """Futures: of goods, and of all else that is traded like them."""

    @classmethod
    def by_form(cls, symbol: str) -> Self:
        """By the symbol's form: ``^GSPC`` index, ``BTC-USD`` or ``BTC/USD`` crypto, ``EURUSD=X`` or ``EUR/USD`` forex,
        ``GC=F`` commodity, else stock."""
        return cls(kind_of(symbol))

    def is_signed(self, symbol: str) -> bool:
        """Whether prices of such an instrument may be zero or negative: futures, and yields (``^IRX``)."""
        return self is AssetClass.COMMODITY or (self is AssetClass.INDEX and symbol in RATE_INDICES)


class Interval(StrEnum):
    """The length of a bar."""

    D1 = "1d"
    H1 = "1h"
    M15 = "15m"

    @property
    def delta(self) -> timedelta:
        return {"1d": timedelta(days=1), "1h": timedelta(hours=1), "15m": timedelta(minutes=15)}[self.value]


class Kind(StrEnum):
    """What an item asks for."""

    QUOTE = "quote"
    BARS = "bars"
    INDEX = "index"
    """Bars of an index whose indicators are stored with them."""


class Budget(IntEnum):
    """Whose turn it is at a provider's quota: a lower number goes first."""

    REAL_TIME = 0
    GAP_REPAIR = 1
    DEEP_BACKFILL = 2


class ItemState(StrEnum):
    """The states of a ``run_items`` row. The last three are ends."""

    QUEUED = "queued"
    FETCHED = "fetched"
    LOADED = "loaded"
    EMPTY = "empty"
    FAILED = "failed"

    @property
    def is_end(self) -> bool:
        return self in (ItemState.LOADED, ItemState.EMPTY, ItemState.FAILED)


def uuid7(now: float | None = None) -> UUID:
    """A UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, then random bits; sorts by time of creation."""
    millis = int((time.time() if now is None else now) * 1000) & 0xFFFF_FFFF_FFFF
    random = int.from_bytes(os.urandom(10), "big")
    return UUID(
        int=millis << 80 | 0x7 << 76 | (random >> 62 & 0xFFF) << 64 | 0b10 << 62 | random & 0x3FFF_FFFF_FFFF_FFFF
    )


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC.

    :raises ValueError: when ``moment`` has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"a time without a zone: {moment!r}")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """The aware UTC time of microseconds since 1970-01-01 UTC; exact, also before 1970."""
    return _EPOCH + timedelta(microseconds=micros)


def decimal_text(value: object) -> str | None:
    """The exact decimal text of a JSON number or numeric string, ``None`` for null and empty text.

    ``repr`` of a float is its shortest round-trip text, so a decimal of up to 15 significant digits comes out as the
    provider wrote it.

    :raises ValueError: for anything that is not a finite decimal number (bools, text, NaN, infinity).
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(f"not a number: {value!r:.60}")  # noqa: TRY004  one error for all that is no number
    text = repr(value) if isinstance(value, float) else str(value).strip()
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise ValueError(f"not a number: {value!r:.60}") from None
    if not number.is_finite() or not text.isascii() or "_" in text:
        raise ValueError(f"not a finite number: {value!r:.60}")
    return text


def bounded_decimal(text: str) -> Decimal | None:
    """The number of a decimal's text, of at most 40 digits to either side of the point; ``None`` for any other text.

    No price, volume or ratio of any market has more. Beyond that a text of some characters can be a number that takes
    gigabytes to write down.
    """
    if len(text) > _LONGEST_NUMBER or not text.isascii() or "_" in text:
        return None
    try:
        number = Decimal(text)
    except ArithmeticError:
        return None
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int) or len(digits) > _MOST_DIGITS:
        return None
    return number if -_MOST_DIGITS <= exponent <= _MOST_DIGITS - len(digits) else None


def split_ratio(numerator: object, denominator: object) -> Decimal | None:
    """How many new shares one old share becomes, from the texts of a split; ``None`` where that can be none."""
    over, under = (bounded_decimal(each) if isinstance(each, str) else None for each in (numerator, denominator))
    if over is None or under is None or over <= 0 or under <= 0:
        return None
    ratio = over / under
    return ratio if abs(ratio - 1) > _LEAST_CHANGE and 1 / _LARGEST_SPLIT <= ratio <= _LARGEST_SPLIT else None


def payment_amount(amount: object, currency: object = None) -> Decimal | None:
    """What is paid a share, from the text of a dividend; ``None`` where that, or its currency, can be none."""
    paid = bounded_decimal(amount) if isinstance(amount, str) else None
    if paid is None or not 0 < paid <= _LARGEST_PAYMENT:
        return None
    return paid if currency is None or is_currency(currency) else None


_NO_CURRENCIES: Final = frozenset({"null", "none", "nan", "undefined", "unknown", "infinity", "true", "false"})
"""What programs write for a value that they do not have."""


def is_currency(code: object) -> bool:
    """Whether it has the form of a currency's code as providers write it: ``USD``, ``GBp``, ``USDT``."""
    if not isinstance(code, str) or code.lower() in _NO_CURRENCIES:
        return False
    return 2 <= len(code) <= 10 and code.isascii() and code.isalnum() and code[0].isalpha()


@dataclass(frozen=True, slots=True)
class Instrument:
    """Something that has a price.

    :param symbol: the canonical symbol (Yahoo's form: ``AAPL``, ``^GSPC``, ``BTC-USD``, ``EURUSD=X``, ``GC=F``).
    :param currency: ISO 4217 code of its prices, when known.
    :param calendar: exchange_calendars' name of its sessions, when it is not the asset class' default.
    """

    symbol: str
    asset_class: AssetClass
    currency: str | None = None
    calendar: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None:  # the one fact that is anybody's text: a provider's, a page's, a file's
            object.__setattr__(self, "name", printable(self.name).strip() or None)

    @classmethod
    def of(cls, symbol: str, asset_class: AssetClass | str | None = None) -> Self:
        """An instrument from what a person typed; ``EUR/USD`` becomes ``EURUSD=X``, ``BRK.B`` becomes ``BRK-B``.

        :raises ValueError: when the text cannot be a symbol.
        """
        text = symbol.strip().upper()
        if not FORM.fullmatch(text):
            raise ValueError(f"not a symbol: {symbol!r:.60}")
        kind = AssetClass(asset_class) if asset_class else AssetClass.by_form(text)
        return cls(spelled(text, kind), kind)

    @property
    def is_signed(self) -> bool:
        """Whether its prices may be zero or negative."""
        return self.asset_class.is_signed(self.symbol)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A half-open span of time ``[start, end)``, both aware UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window needs aware times")
        if self.end <= self.start:
            raise ValueError(f"the window ends ({self.end.isoformat()}) before it starts ({self.start.isoformat()})")


@dataclass(frozen=True, slots=True)
class Item:
    """One instrument x interval x window of a run: the unit that is fetched, loaded and accounted for.

    ``generation`` counts how often it was enqueued again; a message of an older generation is stale and does nothing.
    ``resume`` says that a raw response may already be kept, so that the provider need not be asked again.
    ``budget`` says whose turn it is at a quota, ``consensus`` how many providers are to be asked.
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
        """The item of a message.

        :raises ValueError: when the message is not one of ours.
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


@dataclass(frozen=True, slots=True)
class FxRate:
    """``rate`` units of ``quote`` for one unit of ``base``, as of a moment."""

    base: str
    quote: str
    timestamp: datetime
    rate: Decimal
    source: str


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """A split, a dividend or a capital gain of an instrument, from the opening of its ex-date on.

    ``kind`` is ``split``: ``numerator`` new shares for ``denominator`` old ones; or ``dividend`` or ``capital_gain``
    (what a fund passes on of its gains): ``amount`` a share, in whole units of ``currency``; both unknown where a day's
    payments are in several currencies.

    ``adjusted_to``: an amount that is already restated for every split up to this date; ``None``: as it was paid.
    """

    kind: str
    ex_date: date
    effective_at: datetime
    numerator: Decimal | None = None
    denominator: Decimal | None = None
    amount: Decimal | None = None
    currency: str | None = None
    adjusted_to: date | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A message for Kafka, kept in the outbox until the broker acknowledged it.

    ``id`` travels as the header ``event_id``, so that a consumer can drop a repeat; ``key`` is the symbol, so that
    events of one symbol keep their order; ``value`` is UTF-8 JSON.
    """

    id: UUID
    topic: str
    key: str
    value: str
    run_id: UUID | None = None


REJECT: Final = "reject"
FLAG: Final = "flag"
"""What a finding does to its row: it is kept in quarantine, or stored with a mark."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found wrong with one row. ``severity`` is :data:`REJECT` or :data:`FLAG`.

    ``row`` is the position in the batch that was checked, ``None`` when the whole batch is meant (a missing column).
    """

    rule: str
    severity: str
    row: int | None
    detail: str


QUOTE_COLUMNS: Final = ("timestamp", "price", "volume", "previous_close", "open", "high", "low", "bid", "ask")
INDICATOR_COLUMNS: Final[tuple[str, ...]] = (
    "change", "change_pct", "log_change", "sma_20", "sma_50", "sma_200", "ema_12", "ema_26", "rsi_14", "macd",
    "macd_signal", "macd_histogram", "bollinger_upper", "bollinger_lower", "atr_14", "vwap", "obv", "volatility_20",
    "parkinson_20", "garman_klass_20", "drawdown", "beta_60", "correlation_60", "sharpe_252", "var_95_252",
)  # fmt: skip
"""The stored indicators of an index's bar, in the order of their table."""
STATE_COLUMNS: Final[tuple[str, ...]] = ("bars_seen", "rsi_gain", "rsi_loss", "macd_fast", "peak")
"""What a recursive indicator needs beside its own last value to go on; stored behind the indicators."""
CARRIED_COLUMNS: Final[tuple[str, ...]] = (*STATE_COLUMNS, "ema_12", "ema_26", "macd_signal", "atr_14", "obv")
"""What of the newest stored bar the indicators of the next one are computed from."""
BAR_COLUMNS: Final = ("timestamp", "open", "high", "low", "close", "adj_close", "volume")


@dataclass(frozen=True, slots=True)
class Batch:
    """At most :data:`BATCH_LIMIT` rows of one instrument, by column, as they travel through the chain.

    ``columns["timestamp"]`` holds integers, microseconds since 1970 UTC; every other column holds decimal text or
    ``None`` (:func:`decimal_text`). All columns have the same length. Quotes use the names of :data:`QUOTE_COLUMNS`,
    bars those of :data:`BAR_COLUMNS`; a transform may add columns. ``is_final`` (bars) holds booleans when present.

    ``meta`` carries what the provider said beside the rows (exchange zone, splits, a synthetic series' own statement).
    """

    kind: Kind
    symbol: str
    source: str
    columns: Mapping[str, Sequence[Any]]
    currency: str | None = None
    interval: Interval | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {len(values) for values in self.columns.values()}
        if "timestamp" not in self.columns or len(lengths) != 1:
            raise ValueError("a batch needs a timestamp column and columns of one length")
        if len(self) > BATCH_LIMIT:
            raise ValueError(f"a batch holds at most {BATCH_LIMIT} rows, not {len(self)}")

    def __len__(self) -> int:
        return len(self.columns["timestamp"])

    def row(self, index: int) -> dict[str, Any]:
        """One row as a dict of column to value."""
        return {name: values[index] for name, values in self.columns.items()}

    def take(self, indices: Iterable[int]) -> Batch:
        """A new batch of the rows at these positions, in this order."""
        chosen = list(indices)
        return replace(self, columns={name: [values[i] for i in chosen] for name, values in self.columns.items()})

    def with_columns(self, **columns: Sequence[Any]) -> Batch:
        """A new batch with these columns added or replaced."""
        return replace(self, columns={**self.columns, **columns})

    def to_message(self) -> dict[str, Any]:
        """The batch as a JSON object."""
        return {
            "kind": self.kind.value,
            "symbol": self.symbol,
            "source": self.source,
            "currency": self.currency,
            "interval": self.interval.value if self.interval else None,
            "columns": {name: list(values) for name, values in self.columns.items()},
            "meta": dict(self.meta),
        }

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Self:
        """The batch of a message.

        :raises ValueError: when the message is not one of ours.
        """
        try:
            return cls(
                kind=Kind(message["kind"]),
                symbol=message["symbol"],
                source=message["source"],
                columns=message["columns"],
                currency=message.get("currency"),
                interval=Interval(message["interval"]) if message.get("interval") else None,
                meta=message.get("meta") or {},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a batch's message: {error!r}") from None
