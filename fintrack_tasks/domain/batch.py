"""Rows of one instrument by column, as they travel through the chain, and the names of the columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from fintrack_tasks.domain.item import Kind
from fintrack_tasks.domain.times import Interval

__all__ = [
    "BAR_COLUMNS",
    "BATCH_LIMIT",
    "CARRIED_COLUMNS",
    "INDICATOR_COLUMNS",
    "QUOTE_COLUMNS",
    "STATE_COLUMNS",
    "Batch",
]

BATCH_LIMIT: Final = 1_000
"""The most rows that one message of the chain may carry."""

QUOTE_COLUMNS: Final = ("timestamp", "price", "volume", "previous_close", "open", "high", "low", "bid", "ask")
BAR_COLUMNS: Final = ("timestamp", "open", "high", "low", "close", "adj_close", "volume")
"""The columns that a provider's ``parse`` may give of a quote, and of a bar."""

INDICATOR_COLUMNS: Final[tuple[str, ...]] = (
    "change", "change_pct", "log_change", "sma_20", "sma_50", "sma_200", "ema_12", "ema_26", "rsi_14", "macd",
    "macd_signal", "macd_histogram", "bollinger_upper", "bollinger_lower", "atr_14", "vwap", "obv", "volatility_20",
    "parkinson_20", "garman_klass_20", "drawdown", "beta_60", "correlation_60", "sharpe_252", "var_95_252",
)  # fmt: skip
"""The stored indicators of an index's bar, in the order of their table."""
STATE_COLUMNS: Final[tuple[str, ...]] = ("bars_seen", "rsi_gain", "rsi_loss", "macd_fast", "peak")
"""What recursive indicators need beside their own last values to be continued; stored behind the indicators."""
CARRIED_COLUMNS: Final[tuple[str, ...]] = (*STATE_COLUMNS, "ema_12", "ema_26", "macd_signal", "atr_14", "obv")
"""What is read of the newest stored bar to continue the recursive indicators with the next one."""


@dataclass(frozen=True, slots=True)
class Batch:
    """At most :data:`BATCH_LIMIT` rows of one instrument by column: what one stage hands to the next.

    ``columns["timestamp"]`` holds integers, microseconds since 1970 UTC; every other column holds decimal text or
    ``None`` (:func:`decimal_text`). All columns have the same length. Quotes use the names of :data:`QUOTE_COLUMNS`,
    bars those of :data:`BAR_COLUMNS`; a transform may add columns. ``is_final`` (bars) holds booleans when present.

    ``meta`` carries what the provider gave beside the rows: the exchange's zone, splits, the origin of a synthetic
    series.
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
        """The batch of a message that :meth:`to_message` made.

        :raises ValueError: for any other message.
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
