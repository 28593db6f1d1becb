"""The local market's bars and quotes at a moment, for all fake APIs: bundled real prices, or a synthetic series.

Which symbols there are is in ``listings``, the series in ``synthetic``, the bars within a day in ``paths``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache, partial
from typing import Final

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.sandbox.exchanges import SessionParts
from fintrack_tasks.sandbox.listings import NEW_YORK, Listing, find_listing
from fintrack_tasks.sandbox.paths import Piece, joined, pieces
from fintrack_tasks.sandbox.prices import (
    Daily,
    slice_days,
)
from fintrack_tasks.sandbox.synthetic import Series, draw
from fintrack_tasks.sandbox.trading_days import closes_early

__all__ = ["Bar", "Market", "Tick"]

_DAY: Final = timedelta(days=1)
_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_FOREX_CLOSE: Final = time(17)  # in New York: there a trading day of currencies ends, and the next one begins
_OVERNIGHT: Final = frozenset({AssetClass.FOREX, AssetClass.COMMODITY})
_DAY_SECONDS: Final = 86_400
_QUARTER: Final = 900
_MINUTE: Final = 60
_REAL_SWING: Final = 0.005  # a quote of a real series stays within half a percent of its last close
_LIVE_SWING: Final = 0.001  # that of a synthetic one, of its path


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
        self._bars_from: set[str] = set()
        self._ticks_from: set[str] = set()
        self._listing = lru_cache(maxsize=5_000)(partial(find_listing, seed))
        # What one request asks for more than once; each depends on its arguments and the seed alone.
        self._day = lru_cache(maxsize=1_000)(Series.day)
        self._quarters = lru_cache(maxsize=500)(self._find_quarters)
        self._minutes = lru_cache(maxsize=500)(self._find_minutes)

    def now(self) -> datetime:
        """The market's time."""
        return self._clock()

    def origin(self) -> str:
        """The origin of the prices asked for since the last call: of bars, or of quotes where there were no bars; empty
        where there were neither."""
        origins = "; ".join(sorted(self._bars_from or self._ticks_from))
        self._bars_from.clear()
        self._ticks_from.clear()
        return origins

    def listing(self, symbol: str) -> Listing:
        """A symbol's facts.

        :raises UnknownError: for what is neither bundled nor listed (:mod:`fintrack_tasks.sandbox.listings`).
        """
        return self._listing(symbol)

    # --- Bars ----------------------------------------------------------------------------------------------------

    def daily(self, listing: Listing, first: date, last: date) -> Iterable[Daily]:
        """The days from ``first`` to ``last``, both included; a synthetic series goes on to today, at its end value."""
        if not isinstance(listing.days, Series):
            return slice_days(listing.days, first, last)
        return listing.days.days(first, min(last, self.today(listing)))

    def bars(self, listing: Listing, seconds: int, start: datetime, end: datetime) -> list[Bar]:
        """The bars that open in ``[start, end)``, oldest first; the one in progress is live.

        Bars of 15 minutes and longer are joined from the same quarters of an hour, shorter ones from the minutes of
        these quarters, so that all lengths agree.

        Days are stamped as :meth:`stamp` says; shorter bars are counted from the open, and again from the end of a
        lunch break.

        :param seconds: 86,400 for days; else a multiple of 900, or of 60.
        """
        now = self.now()
        start, end = max(start, _EARLIEST), min(end, now + timedelta(microseconds=1))
        if end <= start:
            return []
        first, last = (moment.astimezone(listing.zone).date() for moment in (start, end))
        if listing.asset_class in _OVERNIGHT:
            last += _DAY  # the next trading day begins in the evening
        found: list[Bar] = []
        for daily in self.daily(listing, first, last):
            closes = self.session(listing, daily.day)[1]
            if seconds >= _DAY_SECONDS and (listing.synthetic is None or now >= closes):
                opens = self.stamp(listing, daily.day)
                made = [Bar(opens, daily.open, daily.high, daily.low, daily.close, daily.adj_close, daily.volume)]
            else:
                made = list(self._joined(listing, daily, seconds, now))
            found += [bar for bar in made if start <= bar.start < end]
        if found:
            self._bars_from.add(listing.origin if seconds >= _DAY_SECONDS else listing.path_origin)
        return found

    def today(self, listing: Listing) -> date:
        """The local date; of currencies and futures that of the trading day, which begins in New York on the evening
        before."""
        now = self.now()
        if listing.asset_class in _OVERNIGHT:
            local = now.astimezone(NEW_YORK)
            return local.date() + _DAY * (local.time() >= _FOREX_CLOSE)
        return now.astimezone(listing.zone).date()

    def session(self, listing: Listing, day: date) -> tuple[datetime, datetime]:
        """When a day opens and closes, aware UTC; of an exchange's day without trade, when the one before it did."""
        session = self._session(listing, day)
        return session[0][0], session[-1][1]

    def stamp(self, listing: Listing, day: date) -> datetime:
        """The time that a day's own bar bears: the open, but for currencies and futures the listing's midnight, in
        UTC."""
        if listing.asset_class in _OVERNIGHT:
            return _at(day, time(), listing.zone)
        return self.session(listing, day)[0]

    @staticmethod
    def _session(listing: Listing, day: date) -> SessionParts:
        if listing.exchange is not None:
            return listing.exchange.session(day)
        if listing.asset_class is AssetClass.CRYPTO:
            return ((_at(day, time(), UTC), _at(day + _DAY, time(), UTC)),)
        if listing.asset_class is AssetClass.FOREX:
            return ((_at(day - _DAY, _FOREX_CLOSE, NEW_YORK), _at(day, _FOREX_CLOSE, NEW_YORK)),)
        return ((_at(day, time(9, 30), NEW_YORK), _at(day, time(13 if closes_early(day) else 16), NEW_YORK)),)

    def _joined(self, listing: Listing, daily: Daily, seconds: int, now: datetime) -> Iterator[Bar]:
        session = self._session(listing, daily.day)
        closes = session[-1][1]
        parts: Iterable[_Stretch] = self._quarters(listing, daily)
        if seconds % _QUARTER:
            parts = [minute for quarter in parts for minute in self._minutes(listing, quarter)]
        if listing.synthetic is not None and now < closes:
            parts = self._so_far(listing, parts, now)
        whole = seconds >= _DAY_SECONDS
        spans = [(self.stamp(listing, daily.day), closes)] if whole else _spans(session, seconds)
        groups: dict[int, list[_Stretch]] = {}
        for part in parts:
            groups.setdefault(0 if whole else _place(spans, part.start), []).append(part)
        for number, group in groups.items():
            start, ends = spans[number]
            live = listing.synthetic is not None and now < ends
            p = joined([part.piece for part in group])
            yield Bar(start, p.open, p.high, p.low, p.close, p.close if whole else None, p.volume, live)

    def _find_quarters(self, listing: Listing, daily: Daily) -> tuple[_Stretch, ...]:
        spans = _spans(self._session(listing, daily.day), _QUARTER)
        whole = Piece(daily.open, daily.high, daily.low, daily.close, daily.volume)
        made = pieces(whole, len(spans), listing.decimals, self.seed, listing.symbol, daily.day, "quarters")
        return tuple(_Stretch(*span, piece) for span, piece in zip(spans, made, strict=True))

    def _find_minutes(self, listing: Listing, quarter: _Stretch) -> tuple[_Stretch, ...]:
        spans = _spans(((quarter.start, quarter.end),), _MINUTE)
        made = pieces(quarter.piece, len(spans), listing.decimals, self.seed, listing.symbol, quarter.start, "minutes")
        return tuple(_Stretch(*span, piece) for span, piece in zip(spans, made, strict=True))

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
        self._ticks_from.add(listing.quote_origin)
        volume = 0
        if listing.asset_class in (AssetClass.STOCK, AssetClass.CRYPTO, AssetClass.COMMODITY):
            passed = int(now.timestamp()) % _DAY_SECONDS / _DAY_SECONDS
            volume = 1_000 + int(5_000_000 * draw(f"{self.seed}|{listing.symbol}|{now.date()}|traded") * passed)
        return Tick(self._price(listing, now), self.last_close(listing), volume, now)

    def last_close(self, listing: Listing) -> float:
        """The newest real close, or the close of a synthetic series' newest day before today."""
        if not isinstance(listing.days, Series):
            return listing.days[-1].close
        return self._day(listing.days, listing.days.before(self.today(listing))).close

    def _price(self, listing: Listing, now: datetime) -> float:
        now = now.replace(microsecond=0)  # one price a second
        jitter = 2 * draw(f"{self.seed}|{listing.symbol}|{int(now.timestamp())}|tick") - 1
        if not isinstance(listing.days, Series):
            decimals = listing.decimals if listing.asset_class is AssetClass.FOREX else 2
            return max(round(listing.days[-1].close * (1 + _REAL_SWING * jitter), decimals), 10.0**-decimals)
        series, today = listing.days, self.today(listing)
        opens, closes = self.session(listing, today)
        if not series.trades(today) or now < opens:
            return series.rounded(self._day(series, series.before(today)).close * (1 + _LIVE_SWING * jitter))
        daily = self._day(series, today)
        if now >= closes:
            return series.rounded(daily.close * (1 + _LIVE_SWING * jitter))
        quarter = _around(self._quarters(listing, daily), now)
        minute = _around(self._minutes(listing, quarter), now)
        # During a lunch break the price is that of the last minute before it.
        share, p = min(1.0, (now - minute.start) / timedelta(seconds=_MINUTE)), minute.piece
        price = (p.open + (p.close - p.open) * share) * (1 + _LIVE_SWING * jitter)
        return min(max(series.rounded(price), daily.low), daily.high)


def _at(day: date, clock: time, zone: tzinfo) -> datetime:
    return datetime.combine(day, clock, zone).astimezone(UTC)


def _spans(session: SessionParts, seconds: int) -> list[tuple[datetime, datetime]]:
    """Each part cut into stretches of ``seconds``, the last one of each possibly shorter."""
    step, found = timedelta(seconds=seconds), []
    for start, end in session:
        found += [(start + step * i, min(start + step * (i + 1), end)) for i in range(-((start - end) // step))]
    return found


def _place(spans: list[tuple[datetime, datetime]], moment: datetime) -> int:
    """The last span that begins at or before a moment."""
    return bisect_right(spans, moment, key=_begin) - 1


def _begin(span: tuple[datetime, datetime]) -> datetime:
    return span[0]


def _around(stretches: tuple[_Stretch, ...], moment: datetime) -> _Stretch:
    return stretches[bisect_right(stretches, moment, key=lambda stretch: stretch.start) - 1]
