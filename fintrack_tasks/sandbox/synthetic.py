"""Synthetic daily series of symbols without bundled prices: deterministic under a seed, each day computed by itself."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.sandbox.prices import Daily
from fintrack_tasks.sandbox.trading_days import is_trading_day

__all__ = ["Series", "draw", "draws", "series_of"]

_DAY: Final = timedelta(days=1)
_OCTAVES: Final = tuple((2**octave, 2 ** (octave / 2)) for octave in range(1, 10))
_KEPT: Final = 1_000
_LEVELS: Final = {"BTC": 50_000.0, "ETH": 3_000.0, "SOL": 150.0, "LTC": 80.0, "DOGE": 0.15, "^DJI": 39_000.0}
_DOLLARS: Final = {
    "USD": 1.0, "USDT": 1.0, "USDC": 1.0, "EUR": 1.1, "GBP": 1.3, "JPY": 0.0065, "BTC": 50_000.0, "ETH": 3_000.0,
}  # fmt: skip
_SWING: Final = dict.fromkeys(AssetClass, 0.012) | {
    AssetClass.INDEX: 0.008,
    AssetClass.FOREX: 0.003,
    AssetClass.COMMODITY: 0.01,
}
_FIRST: Final = {AssetClass.CRYPTO: date(2010, 1, 1)}
_FIRST_OTHER: Final = date(1990, 1, 1)


def draws(count: int, *words: object) -> tuple[float, ...]:
    """``count`` numbers in [0, 1) that depend on the words alone."""
    digest = hashlib.shake_256("|".join(map(str, words)).encode()).digest(4 * count)
    return tuple(number / 2**32 for number in struct.unpack(f"<{count}I", digest))


def draw(words: str) -> float:
    """A number in [0, 1) that depends on the words alone."""
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=4).digest(), "big") / 2**32


@dataclass(frozen=True, slots=True)
class Series:
    """One symbol's days from ``first`` on.

    :param noise: what the course depends on beside the seed; a coin has the same course in every currency.
    :param base: the level about which the series moves.
    :param trading: whether an exchange outside New York trades on a day.
    :param lattice: points of the noise that were drawn before, kept because neighbouring days share most of them.
    """

    seed: int
    symbol: str
    noise: str
    asset_class: AssetClass
    base: float
    decimals: int
    first: date
    trading: Callable[[date], bool] | None = field(default=None, repr=False, compare=False)
    lattice: dict[tuple[int, int], float] = field(default_factory=dict, repr=False, compare=False)

    def trades(self, day: date) -> bool:
        """Every day for crypto, Monday to Friday for currencies, its exchange's sessions for a stock or an index."""
        if self.trading is not None:
            return self.trading(day)
        if self.asset_class is AssetClass.CRYPTO:
            return True
        return day.weekday() < 5 if self.asset_class is AssetClass.FOREX else is_trading_day(day)

    def days(self, first: date, last: date) -> Iterator[Daily]:
        """The days of trade from ``first`` to ``last``, both included."""
        day = max(first, self.first)
        while day <= last:
            if self.trades(day):
                yield self.day(day)
            day += _DAY

    def before(self, day: date) -> date:
        """The newest day of trade before ``day``."""
        day -= _DAY
        while not self.trades(day):
            day -= _DAY
        return day

    def rounded(self, price: float) -> float:
        """The price to the series' decimals, never below the smallest one."""
        return max(round(price, self.decimals), 10.0**-self.decimals)

    def day(self, day: date) -> Daily:
        """One day's prices, whether it is a day of trade or not."""
        number = day.toordinal()
        close, before = self._close(number), self._close(self.before(day).toordinal())
        opening, up, down, traded = draws(4, self.seed, self.symbol, number)
        swing = _SWING[self.asset_class]
        opens = self.rounded(before * (1 + 0.4 * swing * (opening - 0.5)))
        high = self.rounded(max(opens, close) * (1 + swing * up))
        low = self.rounded(min(opens, close) * (1 - swing * down))
        volume = 0 if self.asset_class is AssetClass.FOREX else int(1_000_000 * (0.5 + 4 * traded))
        return Daily(day, opens, max(high, opens, close), min(low, opens, close), close, close, volume)

    def _close(self, number: int) -> float:
        """Value noise over octaves of 1 to 512 days, each sqrt(2) stronger than the next shorter one.

        That is the spectrum of a random walk, yet bounded, and found at any day without those before it.
        """
        course = self._point(0, number)
        for octave, (length, strength) in enumerate(_OCTAVES, start=1):
            cell, inside = divmod(number, length)
            left, right = self._point(octave, cell), self._point(octave, cell + 1)
            course += strength * (left + (right - left) * inside / length)
        return self.rounded(self.base * math.exp(_SWING[self.asset_class] * course))

    def _point(self, octave: int, cell: int) -> float:
        found = self.lattice.get((octave, cell))
        if found is None:
            if len(self.lattice) >= _KEPT:
                self.lattice.clear()
            found = self.lattice[octave, cell] = 2 * draw(f"{self.seed}|{self.noise}|{octave}|{cell}") - 1
        return found


def series_of(seed: int, symbol: str, asset_class: AssetClass) -> Series:
    """The series of a symbol that has no bundled prices."""
    noise, _, currency = symbol.partition("-") if asset_class is AssetClass.CRYPTO else (symbol, "", "")
    where = draw(f"{seed}|{noise}|base")
    base = _LEVELS.get(noise)
    if base is None:
        base = {AssetClass.FOREX: 20.0**where, AssetClass.INDEX: 1_000 * 10**where}.get(
            asset_class, 20 + 400 * where**2
        )
    base /= _DOLLARS.get(currency, 1.0)
    decimals = 5 if asset_class is AssetClass.FOREX else 2
    if base < 10 and asset_class is AssetClass.CRYPTO:
        decimals = 4 - math.floor(math.log10(base))
    return Series(seed, symbol, noise, asset_class, base, decimals, _FIRST.get(asset_class, _FIRST_OTHER))
