"""The local market: real prices where they are bundled, a deterministic synthetic series anywhere else."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from fintrack_tasks.domain import AssetClass, Instrument
from fintrack_tasks.sandbox.prices import Daily, fx_pair, real_daily, slice_days
from fintrack_tasks.sandbox.trading_days import closes_early, is_trading_day

__all__ = ["Bar", "Listing", "Market", "Tick", "UnknownError"]

NEW_YORK: Final = ZoneInfo("America/New_York")
LONDON: Final = ZoneInfo("Europe/London")
_DAY: Final = timedelta(days=1)
_LEVELS: Final = {"BTC": 64_000.0, "ETH": 3_100.0, "SOL": 150.0, "LTC": 80.0, "^DJI": 39_000.0}
_FIRST: Final = {AssetClass.CRYPTO: date(2010, 7, 17)}
_FIRST_OTHER: Final = date(1990, 1, 2)
_SWING: Final = 0.005  # a quote stays within half a percent of the last close


class UnknownError(Exception):
    """The market does not list the symbol."""


@dataclass(frozen=True, slots=True)
class Bar:
    """``start`` is the true instant at which the bar opens, aware UTC; ``live`` when it has not closed."""

    start: datetime
    open: float
    high: float
    low: float
    close: float
    adj_close: float | None
    volume: float
    live: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """A price now."""

    price: float
    previous_close: float
    volume: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """A symbol as the market knows it. ``real`` holds its bundled days, ``None`` for a synthetic series."""

    symbol: str
    asset_class: AssetClass
    zone: ZoneInfo
    currency: str
    decimals: int
    real: tuple[Daily, ...] | None
    origin: str

    @property
    def statement(self) -> dict[str, Any]:
        """What the series says of itself in its metadata."""
        return {"synthetic": self.real is None, "origin": self.origin}


def uniform(*words: object) -> float:
    """A number in [0, 1) that depends on the words alone."""
    digest = hashlib.blake2b("|".join(map(str, words)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


class Market:
    """All answers depend on the seed, the symbol and the clock alone.

    :param clock: gives aware UTC.
    """

    def __init__(self, seed: int = 7, clock: Callable[[], datetime] | None = None) -> None:
        self.seed = seed
        self._clock = clock or (lambda: datetime.now(tz=UTC))
        self._listing = lru_cache(maxsize=20_000)(self._find)

    def now(self) -> datetime:
        """The market's time."""
        return self._clock()

    def listing(self, symbol: str) -> Listing:
        """A symbol's facts.

        :raises UnknownError: for a symbol that begins with UNKNOWN.
        """
        return self._listing(symbol)

    def _find(self, symbol: str) -> Listing:
        try:
            kind = Instrument.of(symbol).asset_class
        except ValueError:
            raise UnknownError(symbol) from None
        if symbol.startswith("UNKNOWN"):
            raise UnknownError(symbol)
        if symbol in real_daily():
            closes_only = " (closes only)" if symbol == "^VIX" else ""
            origin = f"bundled real prices{closes_only}"
            return Listing(symbol, kind, NEW_YORK, "USD", 6, real_daily()[symbol], origin)
        synthetic = f"synthetic series, seed {self.seed}"
        if kind is AssetClass.FOREX:
            # "EURUSD=X"; Yahoo's short form "INR=X" counts from the dollar
            pair = symbol.removesuffix("=X").replace("/", "")
            base, quote = (pair[:3], pair[3:]) if len(pair) == 6 else ("USD", pair)
            real = fx_pair(base, quote)
            origin = "ECB reference rates" if base == "EUR" else "computed from ECB reference rates"
            return Listing(symbol, kind, LONDON, quote, 5, real, origin if real else synthetic)
        if kind is AssetClass.CRYPTO:
            return Listing(symbol, kind, ZoneInfo("UTC"), symbol.partition("-")[2], 2, None, synthetic)
        return Listing(symbol, kind, NEW_YORK, "USD", 2, None, synthetic)

    # --- Days ----------------------------------------------------------------------------------------------------

    def daily(self, listing: Listing, first: date, last: date) -> Iterator[Daily]:
        """The days from ``first`` to ``last``, both included; a synthetic series goes on to today."""
        if listing.real is not None:
            yield from slice_days(listing.real, first, last)
            return
        day = max(first, _FIRST.get(listing.asset_class, _FIRST_OTHER))
        last = min(last, self.now().astimezone(listing.zone).date())
        while day <= last:
            if self._trades(listing, day):
                yield self._synthetic(listing, day)
            day += _DAY

    @staticmethod
    def _trades(listing: Listing, day: date) -> bool:
        if listing.asset_class is AssetClass.CRYPTO:
            return True
        return day.weekday() < 5 if listing.asset_class is AssetClass.FOREX else is_trading_day(day)

    def _level(self, listing: Listing, position: float) -> float:
        """The series' smooth course: a base, two slow waves whose phases the seed sets, and a slow growth."""
        name = listing.symbol.partition("-")[0] if listing.asset_class is AssetClass.CRYPTO else listing.symbol
        base = _LEVELS.get(name) or (1.0 if listing.asset_class is AssetClass.FOREX else 20.0) * (
            1.0 if listing.asset_class is AssetClass.FOREX else 1 + 20 * uniform(self.seed, name, "base") ** 2
        )
        slow, quick = uniform(self.seed, name, "slow"), uniform(self.seed, name, "quick")
        wave = 0.20 * math.sin(position / 260 + 7 * slow) + 0.05 * math.sin(position / 23 + 7 * quick)
        return base * math.exp(wave)

    def _close(self, listing: Listing, day: date) -> float:
        number = day.toordinal()
        noise = 1 + 0.02 * (uniform(self.seed, listing.symbol, number, "close") - 0.5)
        return self._rounded(listing, self._level(listing, number) * noise)

    @staticmethod
    def _rounded(listing: Listing, price: float) -> float:
        return max(round(price, listing.decimals), 10.0**-listing.decimals)

    def _synthetic(self, listing: Listing, day: date) -> Daily:
        close, before = self._close(listing, day), self._close(listing, day - _DAY)
        opens = self._rounded(listing, before * (1 + 0.004 * (uniform(self.seed, listing.symbol, day, "open") - 0.5)))
        up, down = (uniform(self.seed, listing.symbol, day, side) for side in ("high", "low"))
        high = self._rounded(listing, max(opens, close) * (1 + 0.012 * up))
        low = self._rounded(listing, min(opens, close) * (1 - 0.012 * down))
        volume = 0
        if listing.asset_class is not AssetClass.FOREX:
            volume = int(1_000_000 * (0.5 + 4 * uniform(self.seed, listing.symbol, day, "volume")))
        return Daily(day, opens, max(high, opens, close), min(low, opens, close), close, close, volume)

    # --- Bars ----------------------------------------------------------------------------------------------------

    def bars(self, listing: Listing, seconds: int, start: datetime, end: datetime) -> list[Bar]:
        """The bars that open in ``[start, end)``, oldest first; the one in progress is live.

        :param seconds: 86,400 for days; a shorter length cuts each day's path into bars.
        """
        now = self.now()
        end = min(end, now + timedelta(microseconds=1))
        if end <= start:
            return []
        first = start.astimezone(listing.zone).date() - _DAY
        last = end.astimezone(listing.zone).date() + _DAY
        found: list[Bar] = []
        for daily in self.daily(listing, first, last):
            made = [self._day_bar(listing, daily)] if seconds >= 86_400 else self._intraday(listing, daily, seconds)
            found += [self._as_of(listing, bar, seconds, now) for bar in made if start <= bar.start < end]
        return found

    @staticmethod
    def session(listing: Listing, day: date) -> tuple[datetime, datetime]:
        """When a day opens and closes, aware UTC."""
        if listing.asset_class in (AssetClass.CRYPTO, AssetClass.FOREX):
            opens = datetime(day.year, day.month, day.day, tzinfo=listing.zone)
            following = day + _DAY
            closes = datetime(following.year, following.month, following.day, tzinfo=listing.zone)
        else:
            opens = datetime(day.year, day.month, day.day, 9, 30, tzinfo=listing.zone)
            closes = datetime(day.year, day.month, day.day, 13 if closes_early(day) else 16, tzinfo=listing.zone)
        return opens.astimezone(UTC), closes.astimezone(UTC)

    def _day_bar(self, listing: Listing, d: Daily) -> Bar:
        return Bar(self.session(listing, d.day)[0], d.open, d.high, d.low, d.close, d.adj_close, d.volume)

    def _intraday(self, listing: Listing, d: Daily, seconds: int) -> list[Bar]:
        """A path from the day's open to its close that touches its high and its low; volumes add up to the day's."""
        opens, closes = self.session(listing, d.day)
        count = max(1, math.ceil((closes - opens).total_seconds() / seconds))
        peak = int(uniform(self.seed, listing.symbol, d.day, "peak") * count)
        trough = int(uniform(self.seed, listing.symbol, d.day, "trough") * count)
        points = [d.open]
        for i in range(1, count):
            straight = d.open + (d.close - d.open) * i / count
            wobble = (uniform(self.seed, listing.symbol, d.day, seconds, i) - 0.5) * (d.high - d.low) * 0.8
            points.append(self._rounded(listing, min(max(straight + wobble, d.low), d.high)))
        points.append(d.close)
        share, made = int(d.volume) // count, []
        for i in range(count):
            high, low = max(points[i], points[i + 1]), min(points[i], points[i + 1])
            volume = share if i else int(d.volume) - share * (count - 1)
            made.append(
                Bar(
                    opens + timedelta(seconds=seconds) * i,
                    points[i],
                    d.high if i == peak else high,
                    d.low if i == trough else low,
                    points[i + 1],
                    None,
                    volume,
                )
            )
        return made

    def _as_of(self, listing: Listing, bar: Bar, seconds: int, now: datetime) -> Bar:
        """The bar as it stands now: one in progress closes at the current price."""
        closes = bar.start + timedelta(seconds=seconds)
        if seconds >= 86_400:
            closes = self.session(listing, bar.start.astimezone(listing.zone).date())[1]
        if listing.real is not None or now >= closes:
            return bar
        price = self.tick(listing).price
        done = max((now - bar.start) / (closes - bar.start), 0.0)
        return Bar(
            bar.start,
            bar.open,
            max(bar.open, price),
            min(bar.open, price),
            price,
            price if bar.adj_close is not None else None,
            int(bar.volume * done),
            live=True,
        )

    # --- Now -----------------------------------------------------------------------------------------------------

    def last_close(self, listing: Listing) -> float:
        """The newest real close, or the synthetic one of yesterday."""
        if listing.real is not None:
            return listing.real[-1].close
        day = self.now().astimezone(listing.zone).date() - _DAY
        while not self._trades(listing, day):
            day -= _DAY
        return self._close(listing, day)

    def tick(self, listing: Listing) -> Tick:
        """The price of this second: around the last close, stamped now."""
        now, close = self.now(), self.last_close(listing)
        second = int(now.timestamp())
        swing = _SWING * (2 * uniform(self.seed, listing.symbol, second, "tick") - 1)
        decimals = listing.decimals if listing.asset_class is AssetClass.FOREX else 2
        price = max(round(close * (1 + swing), decimals), 10.0**-decimals)
        volume = 0
        if listing.asset_class in (AssetClass.STOCK, AssetClass.CRYPTO):
            volume = 1_000 + int(
                5_000_000 * uniform(self.seed, listing.symbol, now.date(), "traded") * (second % 86_400) / 86_400
            )
        return Tick(price, close, volume, now)
