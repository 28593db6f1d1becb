"""Amounts in another currency, at the rate that was known at their time: never a later one, never one too old.

Rates are :class:`~fintrack_tasks.domain.FxRate`: so many units of ``quote`` for one of ``base``. A pair is converted by
its own rate, by the inverse of the opposite pair's, or through a base currency; whichever is known as of the latest
moment is taken, of equally late ones the plainest. A minor unit (pence) is an exact power of ten of its main unit.

SQL has the same rules: the function ``fintrack.fx_as_of`` and the views ``..._converted``.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from fintrack_tasks.domain import FLAG, AssetClass, Batch, Finding, FxRate, Instrument, from_micros
from fintrack_tasks.transform.batch import MINOR_UNITS

__all__ = [
    "BASES",
    "DIGITS",
    "MAX_AGE",
    "NO_RATE",
    "Conversion",
    "FxRateBook",
    "Leg",
    "convert",
    "fx_rate_of",
    "main_unit",
]

MAX_AGE: Final = timedelta(days=6)
"""A rate that is older says nothing. The longest pause of the ECB's is that of Easter: Thursday to Tuesday, 16:00."""

BASES: Final = ("EUR", "USD")
"""The currencies through which a pair without a rate of its own is converted: the ECB's, and the market's."""

DIGITS: Final = 28
"""Significant digits of a computed rate and of a converted amount."""

NO_RATE: Final = "no_rate"
"""The rule of the finding on an amount that could not be converted."""

_PAIR: Final = re.compile(r"([A-Z]{3})?([A-Z]{3})=X")
_ROUNDED: Final = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN)
_EXACT: Final = Context(prec=1000, rounding=ROUND_HALF_EVEN)
_ONE: Final = Decimal(1)


@dataclass(frozen=True, slots=True)
class Leg:
    """One stored rate that a conversion used. ``inverse``: the amount was divided by it."""

    rate: FxRate
    inverse: bool = False

    def __str__(self) -> str:
        pair = f"{self.rate.base}/{self.rate.quote}"
        return f"1/({pair})" if self.inverse else pair


@dataclass(frozen=True, slots=True)
class Conversion:
    """An amount in another currency and what explains it.

    :ivar amount: in ``currency``; ``None`` where there was no rate, and ``finding`` says so.
    :ivar rate: units of ``currency`` for one unit of what was given, minor units included; 1 where nothing changed.
    :ivar as_of: the time of the oldest stored rate behind it; ``None`` where none was needed.
    :ivar legs: the stored rates, with their times and sources: none, one, or two where it went through a base.
    """

    amount: Decimal | None
    currency: str
    rate: Decimal | None = None
    as_of: datetime | None = None
    legs: tuple[Leg, ...] = ()
    finding: Finding | None = None

    @property
    def source(self) -> str | None:
        """The sources of the stored rates, such as ``ecb`` or ``ecb, yahoo_finance``."""
        return ", ".join(dict.fromkeys(leg.rate.source for leg in self.legs)) or None


class FxRateBook:
    """Rates by pair and time, for reading as of a moment. Of several sources at one moment the first by name counts."""

    def __init__(self, rates: Iterable[FxRate]) -> None:
        by_pair: dict[tuple[str, str], list[FxRate]] = {}
        for rate in rates:
            if rate.timestamp.tzinfo is None:
                raise ValueError(f"a rate at a time without a zone: {rate!r:.100}")
            if not (rate.rate.is_finite() and rate.rate > 0):
                raise ValueError(f"no rate above nought: {rate!r:.100}")
            by_pair.setdefault((rate.base, rate.quote), []).append(rate)
        self._rates: dict[tuple[str, str], list[FxRate]] = {}
        self._times: dict[tuple[str, str], list[datetime]] = {}
        for pair, found in by_pair.items():
            found.sort(key=lambda each: each.source, reverse=True)
            found.sort(key=lambda each: each.timestamp)
            self._rates[pair], self._times[pair] = found, [each.timestamp for each in found]

    def as_of(self, base: str, quote: str, at: datetime, max_age: timedelta = MAX_AGE) -> FxRate | None:
        """The newest stored rate of exactly this pair at or before a moment, unless it is older than ``max_age``."""
        place = bisect_right(self._times.get((base, quote), []), at) - 1
        if place < 0:
            return None
        found = self._rates[base, quote][place]
        return found if at - found.timestamp <= max_age else None

    def path(self, given: str, wanted: str, at: datetime, max_age: timedelta = MAX_AGE) -> tuple[Leg, ...] | None:
        """The stored rates that lead from one currency to another; ``None`` where none do, none for the same one."""
        if given == wanted:
            return ()
        ways = [self._between(given, wanted, at, max_age)]
        for base in BASES:
            if base not in (given, wanted):
                ways.append(_joined(self._between(given, base, at, max_age), self._between(base, wanted, at, max_age)))
        return max((way for way in ways if way), key=_oldest, default=None)

    def _between(self, given: str, wanted: str, at: datetime, max_age: timedelta) -> tuple[Leg, ...] | None:
        straight, opposite = self.as_of(given, wanted, at, max_age), self.as_of(wanted, given, at, max_age)
        ways = [(Leg(straight),)] if straight else []
        ways += [(Leg(opposite, inverse=True),)] if opposite else []
        return max(ways, key=_oldest, default=None)  # the first of equal ones


def convert(
    amount: Decimal | None,
    given: str | None,
    wanted: str,
    at: datetime,
    rates: FxRateBook | Sequence[FxRate],
    max_age: timedelta = MAX_AGE,
    row: int | None = None,
) -> Conversion:
    """An amount of one currency in another, at the rate as of ``at``.

    :param given: an ISO 4217 code, or a minor unit of :data:`~fintrack_tasks.transform.batch.MINOR_UNITS`; ``None``
        (unknown) is never guessed.
    :param at: the amount's own time, aware; no rate of a later time is used.
    :param row: the position that a finding names.
    :returns: an amount of ``None`` with a finding where no rate is known, or only ones older than ``max_age``.
    :raises ValueError: when ``at`` has no zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"a time without a zone: {at!r}")
    if given is None:
        return _without(wanted, "the currency of the amount is not known", row)
    (main, places), (goal, goal_places) = main_unit(given), main_unit(wanted)
    book = rates if isinstance(rates, FxRateBook) else FxRateBook(rates)
    legs = book.path(main, goal, at, max_age)
    if legs is None:
        days = f"{max_age / timedelta(days=1):.9g}"
        before = "day" if days == "1" else f"{days} days"
        said = f"no rate from {main} to {goal} at {at.isoformat()}, nor in the {before} before"
        return _without(wanted, said, row)
    shift = goal_places - places
    over, under = _parts(legs)
    rate = _ROUNDED.divide(over, under).scaleb(shift) if legs else _ONE.scaleb(shift)
    result = None
    if amount is not None:
        exact = amount.scaleb(shift, _EXACT)
        # One rounding for the whole way, none at all where only the unit changes.
        result = _ROUNDED.divide(_EXACT.multiply(exact, over), under) if legs else exact
    as_of = min((leg.rate.timestamp for leg in legs), default=None)
    return Conversion(result, wanted, rate, as_of, legs)


def fx_rate_of(instrument: Instrument, batch: Batch) -> FxRate | None:
    """The rate that a currency pair's quote is; ``None`` for any other quote, and for a pair of minor units.

    ``EURUSD=X`` says what a euro costs in dollars; Yahoo's short form ``INR=X`` counts from the dollar.
    """
    match = _PAIR.fullmatch(instrument.symbol) if instrument.asset_class is AssetClass.FOREX else None
    if match is None:
        return None
    base, quote = match[1] or "USD", match[2]
    price = Decimal(batch.columns["price"][0])
    if base == quote or batch.currency not in (None, quote) or not price > 0:
        return None
    return FxRate(base, quote, from_micros(batch.columns["timestamp"][0]), price, batch.source)


def main_unit(code: str) -> tuple[str, int]:
    """The ISO 4217 currency of a code, and how many decimal places the code's unit lies below it."""
    return MINOR_UNITS.get(code, (code, 0))


def _without(wanted: str, detail: str, row: int | None) -> Conversion:
    return Conversion(None, wanted, finding=Finding(NO_RATE, FLAG, row, detail))


def _joined(first: tuple[Leg, ...] | None, second: tuple[Leg, ...] | None) -> tuple[Leg, ...] | None:
    return first + second if first and second else None


def _oldest(legs: tuple[Leg, ...]) -> datetime:
    return min(leg.rate.timestamp for leg in legs)


def _parts(legs: Sequence[Leg]) -> tuple[Decimal, Decimal]:
    """The whole way as one fraction, exactly."""
    over = under = _ONE
    for leg in legs:
        if leg.inverse:
            under = _EXACT.multiply(under, leg.rate.rate)
        else:
            over = _EXACT.multiply(over, leg.rate.rate)
    return over, under
