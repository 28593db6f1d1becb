"""The catalogue of rules: every name that a finding may carry, with its severity and what it demands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from fintrack_tasks.domain import Finding, Interval, Kind, to_micros

__all__ = ["CHECKS", "REJECT", "RULES", "SHAPES", "Limits", "Rule", "Shape", "finding"]

REJECT: Final = "reject"
FLAG: Final = "flag"


@dataclass(frozen=True, slots=True)
class Rule:
    """What rows have to satisfy. A ``reject`` keeps the row out of the tables, a ``flag`` only marks it."""

    name: str
    severity: str
    demand: str


RULES: Final = {
    rule.name: rule
    for rule in (
        Rule("required_columns", REJECT, "symbol, timestamp, price and volume (bars: open to close) are there"),
        Rule("data_types", REJECT, "numbers are decimal numbers, times are times, symbols are text"),
        Rule("value_ranges", REJECT, "prices are known, finite and above zero; volume is unknown or at least zero"),
        Rule("timestamps", REJECT, "times are known, not before 1900 and not in the future"),
        Rule("duplicates", REJECT, "one row per symbol and time: the first that is right otherwise stands"),
        Rule("ohlc", REJECT, "low <= open <= high and low <= close <= high"),
        Rule("timestamp_order", FLAG, "rows of a batch run from the oldest to the newest"),
    )
}
"""Every rule by its name."""

CHECKS: Final = ("required_columns", "data_types", "value_ranges", "timestamps", "duplicates")
"""The five checks of the specification, in its order."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds of the rules.

    :param future: how far a quote or an intraday bar may lie ahead of ``now``: clocks differ.
    :param future_session: the same for daily bars. They are stamped with midnight UTC of the local session's date,
        which in Auckland lies up to 14 hours ahead of the time at which that session opens.
    :param earliest: times before it are errors, such as a zero date.
    :param ohlc_tolerance: relative; 0 demands the inequalities exactly.
    """

    future: timedelta = timedelta(minutes=5)
    future_session: timedelta = timedelta(hours=14)
    earliest: datetime = datetime(1900, 1, 1, tzinfo=UTC)
    ohlc_tolerance: float = 0.0

    def span(self, now: datetime | None, interval: Interval | None) -> tuple[int, int]:
        """The first and the last microsecond that a timestamp may have; without ``now`` the future is not checked."""
        first = to_micros(self.earliest)
        if now is None:
            return first, _LAST
        return first, to_micros(now + (self.future_session if interval is Interval.D1 else self.future))


_LAST: Final = to_micros(datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Shape:
    """Which columns the rows of a kind have, by the demands on them.

    ``required`` columns have to be there; ``prices`` have to be above zero; ``amounts`` have to be at least zero where
    known; ``others`` have to be finite numbers where known. The sets do not overlap.
    """

    required: tuple[str, ...]
    prices: tuple[str, ...]
    amounts: tuple[str, ...]
    others: tuple[str, ...]
    ohlc: bool


_QUOTE: Final = Shape(
    required=("timestamp", "price", "volume"),
    prices=("price",),
    amounts=("volume",),
    others=("previous_close", "open", "high", "low", "bid", "ask"),
    ohlc=False,
)
_BAR: Final = Shape(
    required=("timestamp", "open", "high", "low", "close", "volume"),
    prices=("open", "high", "low", "close"),
    amounts=("volume",),
    others=("adj_close",),
    ohlc=True,
)
SHAPES: Final = {Kind.QUOTE: _QUOTE, Kind.BARS: _BAR, Kind.INDEX: _BAR}


def finding(rule: str, row: int | None, detail: str) -> Finding:
    """A finding of a rule of the catalogue, with that rule's severity."""
    return Finding(rule, RULES[rule].severity, row, detail)
