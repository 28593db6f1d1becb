"""Synthetic daily series: deterministic under a seed, reachable at any date without walking there."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.sandbox.prices import Daily
from fintrack_tasks.sandbox.trading_days import is_trading_day

__all__ = ["Series", "draws", "series_of"]

_DAY: Final = timedelta(days=1)
_OCTAVES: Final = 10
_LEVELS: Final = {"BTC": 50_000.0, "ETH": 3_000.0, "SOL": 150.0, "LTC": 80.0, "DOGE": 0.15, "^DJI": 39_000.0}
_DOLLARS: Final = {
    "USD": 1.0, "USDT": 1.0, "USDC": 1.0, "EUR": 1.1, "GBP": 1.3, "JPY": 0.0065, "BTC": 50_000.0, "ETH": 3_000.0,
}  # fmt: skip
_SWING: Final = {AssetClass.STOCK: 0.012, AssetClass.INDEX: 0.008, AssetClass.FOREX: 0.003, AssetClass.CRYPTO: 0.012}
_FIRST: Final = {AssetClass.CRYPTO: date(2010, 1, 1)}
_FIRST_OTHER: Final = date(1990, 1, 1)


def draws(count: int, *words: object) -> tuple[float, ...]:
    """``count`` numbers in [0, 1) that depend on the words alone."""
    digest = hashlib.shake_256("|".join(map(str, words)).encode()).digest(4 * count)
    return tuple(number / 2**32 for number in struct.unpack(f"<{count}I", digest))


@dataclass(frozen=True, slots=True)
class Series:
    """One symbol's days from ``first`` on.

    :param noise: what the course depends on beside the seed; a coin has the same course in every currency.
    :param base: the level about which the series moves.
    """

    seed: int
    symbol: str
    noise: str
    asset_class: AssetClass
    base: float
    decimals: int
    first: date

    def trades(self, day: date) -> bool:
        """Every day for crypto, Monday to Friday for currencies, New York's sessions for stocks and indices."""
        if self.asset_class is AssetClass.CRYPTO:
            return True
        return day.weekday() < 5 if self.asset_class is AssetClass.FOREX else is_trading_day(day)

    def days(self, first: date, last: date) -> Iterator[Daily]:
        """The days of trade from ``first`` to ``last``, both included."""
        day, lattice = max(first, self.first), dict[tuple[int, int], float]()
        while day <= last:
            if self.trades(day):
                yield self._day(day, lattice)
            day += _DAY

    def day(self, day: date) -> Daily:
        """One day's prices."""
        return self._day(day, {})

    def rounded(self, price: float) -> float:
        """The price to the series' decimals, never below the smallest one."""
        return max(round(price, self.decimals), 10.0**-self.decimals)

    def _day(self, day: date, lattice: dict[tuple[int, int], float]) -> Daily:
        number = day.toordinal()
        close, before = self._close(number, lattice), self._close(self._session_before(day), lattice)
        opening, up, down, traded = draws(4, self.seed, self.symbol, number)
        swing = _SWING[self.asset_class]
        opens = self.rounded(before * (1 + 0.4 * swing * (opening - 0.5)))
        high = self.rounded(max(opens, close) * (1 + swing * up))
        low = self.rounded(min(opens, close) * (1 - swing * down))
        volume = 0 if self.asset_class is AssetClass.FOREX else int(1_000_000 * (0.5 + 4 * traded))
        return Daily(day, opens, max(high, opens, close), min(low, opens, close), close, close, volume)

    def _session_before(self, day: date) -> int:
        day -= _DAY
        while not self.trades(day):
            day -= _DAY
        return day.toordinal()

    def _close(self, number: int, lattice: dict[tuple[int, int], float]) -> float:
        """Value noise over octaves of 1 to 512 days, each sqrt(2) stronger than the next shorter one.

        That is the spectrum of a random walk, yet bounded, and found at any day without those before it.
        """
        course = 0.0
        for octave in range(_OCTAVES):
            cell, inside = divmod(number, 1 << octave)
            left, right = (self._point(octave, at, lattice) for at in (cell, cell + 1))
            course += 2 ** (octave / 2) * (left + (right - left) * inside / (1 << octave))
        return self.rounded(self.base * math.exp(_SWING[self.asset_class] * course))

    def _point(self, octave: int, cell: int, lattice: dict[tuple[int, int], float]) -> float:
        found = lattice.get((octave, cell))
        if found is None:
            found = lattice[octave, cell] = 2 * draws(1, self.seed, self.noise, octave, cell)[0] - 1
        return found


def series_of(seed: int, symbol: str, asset_class: AssetClass) -> Series:
    """The series of a symbol that has no bundled prices."""
    noise, _, currency = symbol.partition("-") if asset_class is AssetClass.CRYPTO else (symbol, "", "")
    draw = draws(1, seed, noise, "base")[0]
    base = _LEVELS.get(noise)
    if base is None:
        base = {AssetClass.FOREX: 20.0**draw, AssetClass.INDEX: 1_000 * 10**draw}.get(asset_class, 20 + 400 * draw**2)
    base /= _DOLLARS.get(currency, 1.0)
    decimals = 5 if asset_class is AssetClass.FOREX else 2
    if base < 10 and asset_class is AssetClass.CRYPTO:
        decimals = 4 - math.floor(math.log10(base))
    return Series(seed, symbol, noise, asset_class, base, decimals, _FIRST.get(asset_class, _FIRST_OTHER))
