"""The local market: real prices where they are bundled, a deterministic synthetic series anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from fintrack_tasks.domain import AssetClass, Instrument
from fintrack_tasks.sandbox.paths import Piece, joined, pieces
from fintrack_tasks.sandbox.prices import Daily, fx_pair, rate_decimals, real_daily, slice_days
from fintrack_tasks.sandbox.synthetic import Series, draw, series_of
from fintrack_tasks.sandbox.trading_days import closes_early

__all__ = ["Bar", "Listing", "Market", "Tick", "UnknownError"]

NEW_YORK: Final = ZoneInfo("America/New_York")
LONDON: Final = ZoneInfo("Europe/London")
_DAY: Final = timedelta(days=1)
_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_DAY_SECONDS: Final = 86_400
_QUARTER: Final = 900
_MINUTE: Final = 60
_REAL_SWING: Final = 0.005  # a quote of a real series stays within half a percent of its last close
_LIVE_SWING: Final = 0.001  # that of a synthetic one, of its path


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
    volume: int
    live: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """A price now; ``previous_close`` is the newest close of a day that has ended."""

    price: float
    previous_close: float
    volume: int
    at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """A symbol as the market knows it: either bundled days or a synthetic series. Equal to itself alone."""

    symbol: str
    asset_class: AssetClass
    zone: ZoneInfo
    currency: str
    decimals: int
    days: tuple[Daily, ...] | Series
    origin: str

    @property
    def synthetic(self) -> Series | None:
        """The series, where the days are not bundled."""
        return self.days if isinstance(self.days, Series) else None

    @property
    def first_day(self) -> date:
        """The first day that there may be a price for."""
        return self.days.first if isinstance(self.days, Series) else self.days[0].day

    @property
    def statement(self) -> dict[str, Any]:
        """What the series says of itself in its metadata."""
        return {"synthetic": self.synthetic is not None, "origin": self.origin}


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A piece with its times; ``live`` while it is in progress."""

    start: datetime
    end: datetime
    piece: Piece
    live: bool = False


class Market:
    """All answers depend on the seed, the symbol and the clock alone.

    :param clock: gives aware UTC.
    """

    def __init__(self, seed: int = 7, clock: Callable[[], datetime] | None = None) -> None:
        self.seed = seed
        self._clock = clock or (lambda: datetime.now(tz=UTC))
        self._listing = lru_cache(maxsize=5_000)(self._find)
        # What one request asks for more than once; each depends on its arguments and the seed alone.
        self._day = lru_cache(maxsize=1_000)(Series.day)
        self._quarters = lru_cache(maxsize=500)(self._find_quarters)
        self._minutes = lru_cache(maxsize=500)(self._find_minutes)

    def now(self) -> datetime:
        """The market's time."""
        return self._clock()

    def listing(self, symbol: str) -> Listing:
        """A symbol's facts.

        :raises UnknownError: for a symbol that begins with UNKNOWN, and for what is none.
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
            closes_only = ": closes only, which stand for open, high and low" if symbol == "^VIX" else ""
            return Listing(symbol, kind, NEW_YORK, "USD", 6, real_daily()[symbol], f"bundled real prices{closes_only}")
        if kind is AssetClass.FOREX:
            return self._forex(symbol)
        series = series_of(self.seed, symbol, kind)
        zone, currency = (ZoneInfo("UTC"), symbol.partition("-")[2]) if kind is AssetClass.CRYPTO else (NEW_YORK, "USD")
        return Listing(symbol, kind, zone, currency, series.decimals, series, f"synthetic series, seed {self.seed}")

    def _forex(self, symbol: str) -> Listing:
        # "EURUSD=X"; Yahoo's short form "INR=X" counts from the dollar
        pair = symbol.removesuffix("=X").replace("/", "")
        base, quote = (pair[:3], pair[3:]) if len(pair) == 6 else ("USD", pair)
        if len(quote) != 3:
            raise UnknownError(symbol)
        real = fx_pair(base, quote)
        if real:
            origin = "ECB reference rates" if base == "EUR" else "computed from ECB reference rates"
            return Listing(symbol, AssetClass.FOREX, LONDON, quote, rate_decimals(real[-1].close), real, origin)
        series = series_of(self.seed, symbol, AssetClass.FOREX)
        origin = f"synthetic series, seed {self.seed}"
        return Listing(symbol, AssetClass.FOREX, LONDON, quote, series.decimals, series, origin)

    # --- Bars ----------------------------------------------------------------------------------------------------

    def daily(self, listing: Listing, first: date, last: date) -> Iterable[Daily]:
        """The days from ``first`` to ``last``, both included; a synthetic series goes on to today, at its end value."""
        if not isinstance(listing.days, Series):
            return slice_days(listing.days, first, last)
        return listing.days.days(first, min(last, self._local(listing, self.now())))

    def bars(self, listing: Listing, seconds: int, start: datetime, end: datetime) -> list[Bar]:
        """The bars that open in ``[start, end)``, oldest first; the one in progress is live.

        Bars of 15 minutes and longer are joined from the same quarters of an hour, shorter ones from the minutes of
        these quarters, so that every length tells the same story.

        :param seconds: 86,400 for days; else a multiple of 900, or of 60.
        """
        now = self.now()
        start, end = max(start, _EARLIEST), min(end, now + timedelta(microseconds=1))
        if end <= start:
            return []
        first, last = (moment.astimezone(listing.zone).date() for moment in (start, end))
        found: list[Bar] = []
        for daily in self.daily(listing, first, last):
            opens, closes = self.session(listing, daily.day)
            if seconds >= _DAY_SECONDS and (listing.synthetic is None or now >= closes):
                made = [Bar(opens, daily.open, daily.high, daily.low, daily.close, daily.adj_close, daily.volume)]
            else:
                made = list(self._joined(listing, daily, seconds, now))
            found += [bar for bar in made if start <= bar.start < end]
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

    def _joined(self, listing: Listing, daily: Daily, seconds: int, now: datetime) -> Iterator[Bar]:
        opens, closes = self.session(listing, daily.day)
        parts: Iterable[_Stretch] = self._quarters(listing, daily)
        if seconds % _QUARTER:
            parts = [minute for quarter in parts for minute in self._minutes(listing, quarter)]
        if listing.synthetic is not None and now < closes:
            parts = self._so_far(listing, parts, now)
        groups: dict[int, list[_Stretch]] = {}
        for part in parts:
            groups.setdefault((part.start - opens) // timedelta(seconds=seconds), []).append(part)
        for number, group in groups.items():
            start = opens + timedelta(seconds=seconds) * number
            ends = min(start + timedelta(seconds=seconds), closes)
            live = listing.synthetic is not None and now < ends
            p = joined([part.piece for part in group])
            adjusted = p.close if seconds >= _DAY_SECONDS else None
            yield Bar(start, p.open, p.high, p.low, p.close, adjusted, p.volume, live)

    def _find_quarters(self, listing: Listing, daily: Daily) -> tuple[_Stretch, ...]:
        opens, closes = self.session(listing, daily.day)
        count = int((closes - opens).total_seconds()) // _QUARTER
        whole = Piece(daily.open, daily.high, daily.low, daily.close, daily.volume)
        made = pieces(whole, count, listing.decimals, self.seed, listing.symbol, daily.day, "quarters")
        return _in_time(made, opens, _QUARTER)

    def _find_minutes(self, listing: Listing, quarter: _Stretch) -> tuple[_Stretch, ...]:
        count = _QUARTER // _MINUTE
        made = pieces(quarter.piece, count, listing.decimals, self.seed, listing.symbol, quarter.start, "minutes")
        return _in_time(made, quarter.start, _MINUTE)

    def _so_far(self, listing: Listing, parts: Iterable[_Stretch], now: datetime) -> Iterator[_Stretch]:
        """What has passed by now; the part in progress closes at the current price."""
        for part in parts:
            if part.end <= now:
                yield part
            elif part.start <= now:
                price, whole = self._price(listing, now), part.piece
                share = (now - part.start) / (part.end - part.start)
                piece = Piece(
                    whole.open, max(whole.open, price), min(whole.open, price), price, int(whole.volume * share)
                )
                yield _Stretch(part.start, part.end, piece, live=True)

    # --- Now -----------------------------------------------------------------------------------------------------

    def tick(self, listing: Listing) -> Tick:
        """The price of this second, stamped now: around the last real close, or on a synthetic series' path."""
        now = self.now()
        volume = 0
        if listing.asset_class in (AssetClass.STOCK, AssetClass.CRYPTO):
            passed = int(now.timestamp()) % _DAY_SECONDS / _DAY_SECONDS
            volume = 1_000 + int(5_000_000 * draw(f"{self.seed}|{listing.symbol}|{now.date()}|traded") * passed)
        return Tick(self._price(listing, now), self.last_close(listing), volume, now)

    def last_close(self, listing: Listing) -> float:
        """The newest real close, or the close of a synthetic series' newest day before today."""
        if not isinstance(listing.days, Series):
            return listing.days[-1].close
        return self._day(listing.days, listing.days.before(self._local(listing, self.now()))).close

    def _price(self, listing: Listing, now: datetime) -> float:
        now = now.replace(microsecond=0)  # one price a second
        jitter = 2 * draw(f"{self.seed}|{listing.symbol}|{int(now.timestamp())}|tick") - 1
        if not isinstance(listing.days, Series):
            decimals = listing.decimals if listing.asset_class is AssetClass.FOREX else 2
            return max(round(listing.days[-1].close * (1 + _REAL_SWING * jitter), decimals), 10.0**-decimals)
        series, today = listing.days, self._local(listing, now)
        opens, closes = self.session(listing, today)
        if not series.trades(today) or now < opens:
            return series.rounded(self._day(series, series.before(today)).close * (1 + _LIVE_SWING * jitter))
        daily = self._day(series, today)
        if now >= closes:
            return series.rounded(daily.close * (1 + _LIVE_SWING * jitter))
        quarter = self._quarters(listing, daily)[int((now - opens).total_seconds()) // _QUARTER]
        minute = self._minutes(listing, quarter)[int((now - quarter.start).total_seconds()) // _MINUTE]
        share, p = (now - minute.start) / timedelta(seconds=_MINUTE), minute.piece
        price = (p.open + (p.close - p.open) * share) * (1 + _LIVE_SWING * jitter)
        return min(max(series.rounded(price), daily.low), daily.high)

    @staticmethod
    def _local(listing: Listing, moment: datetime) -> date:
        return moment.astimezone(listing.zone).date()


def _in_time(made: Iterable[Piece], opens: datetime, seconds: int) -> tuple[_Stretch, ...]:
    step = timedelta(seconds=seconds)
    return tuple(_Stretch(opens + step * i, opens + step * (i + 1), piece) for i, piece in enumerate(made))
