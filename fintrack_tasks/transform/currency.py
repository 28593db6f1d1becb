"""Converts amounts between currencies at the fx rate as of their time: never a later one, never one that is too old.

An :class:`~fintrack_tasks.domain.FxRate` is units of ``quote`` for one unit of ``base``. A pair is converted by its own
rate, by the inverse of the opposite pair's, or through a base currency; the path whose oldest rate is newest is taken,
of equal ones the first in that order. A minor unit (pence) is an exact power of ten of its main unit.

The SQL function ``fintrack.fx_as_of`` and the views ``..._converted`` follow the same rules.
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
"""An older fx rate is not used. The ECB's longest pause is that of Easter: Thursday to Tuesday, 16:00."""

BASES: Final = ("EUR", "USD")
"""The currencies through which other pairs are converted: the ECB quotes against the euro, markets the dollar."""

DIGITS: Final = 28
"""Significant digits of a computed fx rate and of a converted amount."""

NO_RATE: Final = "no_rate"
"""The rule of the finding on an amount that could not be converted."""

_PAIR: Final = re.compile(r"([A-Z]{3})?([A-Z]{3})=X")
_ROUNDED: Final = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN)
_EXACT: Final = Context(prec=1000, rounding=ROUND_HALF_EVEN)
_ONE: Final = Decimal(1)


@dataclass(frozen=True, slots=True)
class Leg:
    """One stored fx rate that a conversion used. ``inverse``: the amount was divided by it."""

    rate: FxRate
    inverse: bool = False

    def __str__(self) -> str:
        pair = f"{self.rate.base}/{self.rate.quote}"
        return f"1/({pair})" if self.inverse else pair


@dataclass(frozen=True, slots=True)
class Conversion:
    """A converted amount, and the stored fx rates behind it.

    :ivar amount: in ``currency``; ``None`` where there was no fx rate, and ``finding`` says so.
    :ivar rate: units of ``currency`` for one unit of what was given, minor units included; 1 where nothing changed.
    :ivar as_of: the time of the oldest stored fx rate used; ``None`` where none was needed.
    :ivar legs: the stored fx rates: none, one, or two where the conversion went through a base currency.
    """

    amount: Decimal | None
    currency: str
    rate: Decimal | None = None
    as_of: datetime | None = None
    legs: tuple[Leg, ...] = ()
    finding: Finding | None = None

    @property
    def source(self) -> str | None:
        """The sources of the stored fx rates, such as ``ecb`` or ``ecb, yahoo_finance``."""
        return ", ".join(dict.fromkeys(leg.rate.source for leg in self.legs)) or None


class FxRateBook:
    """Fx rates by pair and time, looked up as of a moment. Of several sources at one time the first by name counts.

    :raises ValueError: for a rate whose time has no zone, or that is not finite and above zero.
    """

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
        """The newest fx rate of exactly this pair at or before ``at``; ``None`` when it is older than ``max_age``."""
        place = bisect_right(self._times.get((base, quote), []), at) - 1
        if place < 0:
            return None
        found = self._rates[base, quote][place]
        return found if at - found.timestamp <= max_age else None

    def path(self, given: str, wanted: str, at: datetime, max_age: timedelta = MAX_AGE) -> tuple[Leg, ...] | None:
        """The fx rates that lead from ``given`` to ``wanted``: empty for the same currency, ``None`` without a path."""
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
    """An amount of the currency ``given`` in the currency ``wanted``, at the fx rate as of ``at``.

    :param given: an ISO 4217 code, or a minor unit of :data:`~fintrack_tasks.transform.batch.MINOR_UNITS`; ``None``:
        not known, and not guessed.
    :param at: the amount's own time, aware; no fx rate of a later time is used.
    :param row: the position for the finding.
    :returns: an amount of ``None`` with a finding where no fx rate is known, or only ones older than ``max_age``.
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
        return _without(wanted, f"no rate from {main} to {goal} at {at.isoformat()}, nor in the {before} before", row)
    return _along(legs, amount, wanted, goal_places - places)


def _along(legs: tuple[Leg, ...], amount: Decimal | None, wanted: str, shift: int) -> Conversion:
    """The amount times all rates of a path and ten to the power of ``shift``.

    It is rounded once for the whole path, and not at all where only the unit changes.
    """
    over, under = _fraction(legs)
    rate = _ROUNDED.divide(over, under).scaleb(shift) if legs else _ONE.scaleb(shift)
    result = None
    if amount is not None:
        exact = amount.scaleb(shift, _EXACT)
        result = _ROUNDED.divide(_EXACT.multiply(exact, over), under) if legs else exact
    as_of = min((leg.rate.timestamp for leg in legs), default=None)
    return Conversion(result, wanted, rate, as_of, legs)


def fx_rate_of(instrument: Instrument, batch: Batch) -> FxRate | None:
    """A currency pair's quote as an fx rate; ``None`` for any other quote, and for a pair of minor units.

    ``EURUSD=X`` is the price of a euro in dollars; Yahoo's short form ``INR=X`` is that of a dollar in rupees.
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
    """The ISO 4217 currency of a code, and the decimal places by which the code's unit lies below it."""
    return MINOR_UNITS.get(code, (code, 0))


def _without(wanted: str, detail: str, row: int | None) -> Conversion:
    return Conversion(None, wanted, finding=Finding(NO_RATE, FLAG, row, detail))


def _joined(first: tuple[Leg, ...] | None, second: tuple[Leg, ...] | None) -> tuple[Leg, ...] | None:
    return first + second if first and second else None


def _oldest(legs: tuple[Leg, ...]) -> datetime:
    return min(leg.rate.timestamp for leg in legs)


def _fraction(legs: Sequence[Leg]) -> tuple[Decimal, Decimal]:
    """The product of all rates as numerator and denominator, exact."""
    over = under = _ONE
    for leg in legs:
        if leg.inverse:
            under = _EXACT.multiply(under, leg.rate.rate)
        else:
            over = _EXACT.multiply(over, leg.rate.rate)
    return over, under
