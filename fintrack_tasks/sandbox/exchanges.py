"""The local market's exchanges outside New York: sessions, zones and currencies, by a symbol's suffix or index name.

Sessions are those of :mod:`fintrack_tasks.session_times`, which bring pandas. They are computed when a symbol is first
asked for, once for each calendar; New York's own days need none of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from fintrack_tasks.calendars import calendar_name
from fintrack_tasks.domain import AssetClass, Instrument, from_micros
from fintrack_tasks.session_times import calendar_sessions

__all__ = ["Exchange", "SessionParts", "exchange_of"]

SessionParts = tuple[tuple[datetime, datetime], ...]
"""When the parts of a session begin and end, aware UTC; a lunch break makes two."""

_NEW_YORK: Final = "XNYS"
_FIRST: Final = date(1990, 1, 1)
_LAST: Final = date(2039, 12, 31)
_CURRENCIES: Final = {
    "BVMF": "BRL", "XTAE": "ILS", "XBSE": "RON", "XKAR": "PKR", "XPHS": "PHP",
    "XASX": "AUD", "XBKK": "THB", "XBOM": "INR", "XBUD": "HUF",
    "XBUE": "ARS", "XCSE": "DKK", "XHKG": "HKD", "XICE": "ISK", "XIDX": "IDR", "XIST": "TRY", "XJSE": "ZAR",
    "XKLS": "MYR", "XKRX": "KRW", "XLIM": "PEN", "XLON": "GBP", "XMEX": "MXN", "XMOS": "RUB", "XNZE": "NZD",
    "XOSL": "NOK", "XPRA": "CZK", "XSAU": "SAR", "XSES": "SGD", "XSGO": "CLP", "XSHG": "CNY", "XSTO": "SEK",
    "XSWX": "CHF", "XTAI": "TWD", "XTKS": "JPY", "XTSE": "CAD", "XWAR": "PLN", "futures": "USD",
}  # fmt: skip
"""By calendar, where it is not the euro."""
_UNITS: Final = {"L": "GBp", "JO": "ZAc", "TA": "ILA", "IL": "USD"}
"""Of stocks by suffix, where prices are in a hundredth of the currency, or in a foreign one."""


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """:param sessions: each date's session, ascending, none before 1990."""

    name: str
    zone: ZoneInfo
    sessions: Mapping[date, SessionParts]
    dates: tuple[date, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dates", tuple(self.sessions))

    @property
    def first(self) -> date:
        """The first day of trade that has another one before it."""
        return self.dates[1]

    def trades(self, day: date) -> bool:
        return day in self.sessions

    def session(self, day: date) -> SessionParts:
        """The session of a day; of one without trade the last one before it."""
        return self.sessions[self.last(day)]

    def last(self, day: date) -> date:
        """The newest day of trade that is not after this one, or the first of all."""
        return self.dates[max(bisect_right(self.dates, day) - 1, 0)]


def exchange_of(symbol: str, asset_class: AssetClass) -> tuple[Exchange, str] | None:
    """The exchange of a stock, an index or a future, and its prices' unit; ``None`` for New York's and all else."""
    if asset_class not in (AssetClass.STOCK, AssetClass.INDEX, AssetClass.COMMODITY):
        return None
    name, suffix = calendar_name(Instrument(symbol, asset_class)), symbol.rpartition(".")[2]
    if name is None or name == _NEW_YORK:
        return None
    unit = _CURRENCIES.get(name, "EUR")
    return _computed(name), _UNITS.get(suffix, unit) if asset_class is AssetClass.STOCK else unit


@lru_cache(maxsize=64)
def _computed(name: str) -> Exchange:
    there = calendar_sessions(name)
    sessions: dict[date, SessionParts] = {}
    parts = (column.tolist() for column in (there.starts, there.ends, there.dates))
    for start, end, midnight in zip(*parts, strict=True):
        day = from_micros(midnight).date()
        if day >= _FIRST:
            sessions[day] = (*sessions.get(day, ()), (from_micros(start), from_micros(end)))
    return Exchange(name, ZoneInfo(there.zone), sessions)
