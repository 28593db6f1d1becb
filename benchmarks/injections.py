"""Errors as providers make them, put into real bars one at a time: what the checks have to catch.

Each kind of :data:`KINDS` is a pure function of a window of real bars and a random generator: it returns the bars with
one error, the rows that the error is in, and the name of the rule that has to fire on one of them. :func:`judge` runs
the checks as the pipeline does, with the bars before, the calendar and the known splits as context.

    >>> histories = real_histories()
    >>> window = some_window(histories, rng)
    >>> injected = KINDS["unit_error"](window.bars, rng)
    >>> injected.rule in rules_on(judge(window, injected.bars), injected.rows)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fintrack_tasks.calendars import calendar_name
from fintrack_tasks.domain import Batch, Finding, Instrument, Interval, Kind, to_micros
from fintrack_tasks.sandbox.prices import real_daily, real_splits
from fintrack_tasks.session_times import TradingSessions, calendar_sessions
from fintrack_tasks.validate import PriorBars, ValidationContext, check_batch

__all__ = ["KINDS", "NAMES", "History", "HistoryPart", "Injected", "judge", "real_histories", "rules_on", "some_window"]

Bars = Mapping[str, NDArray[Any]]
"""``timestamp`` in int64 microseconds; ``open`` to ``volume`` as floats, NaN where null. All of one length."""

NAMES: Final = ("timestamp", "open", "high", "low", "close", "adj_close", "volume")
BEFORE: Final = 61
"""Bars that the checks know before a window."""
LENGTH: Final = 60
"""Bars of a window."""
NOW: Final = datetime(2024, 1, 2, tzinfo=UTC)

_PRICES: Final = ("open", "high", "low", "close", "adj_close")
_DAY: Final = 86_400_000_000
_SIGMAS: Final = 8.0
_FEWEST: Final = 30
"""Bars from which a standard deviation is told."""
_SPLIT: Final = 0.3
"""A log return beyond it is a split's."""
_RATIOS: Final = (1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0)


@dataclass(frozen=True, slots=True)
class History:
    """A symbol's whole real history and its known splits: the first stamp of each and its ratio."""

    instrument: Instrument
    bars: Bars
    splits: tuple[tuple[int, float], ...]
    sessions: TradingSessions


@dataclass(frozen=True, slots=True)
class HistoryPart:
    """A part of a history, and the bars before it."""

    history: History
    before: Bars
    bars: Bars


@dataclass(frozen=True, slots=True)
class Injected:
    """Bars with one error: in which rows it is, and which rule has to fire there."""

    bars: Bars
    rows: tuple[int, ...]
    rule: str


def real_histories() -> dict[str, History]:
    """The seven bundled symbols that have open, high, low, close and volume."""
    found = {}
    for symbol, days in real_daily().items():
        if symbol == "^VIX":  # closes only
            continue
        stamps = [to_micros(datetime(d.day.year, d.day.month, d.day.day, tzinfo=UTC)) for d in days]
        bars: dict[str, NDArray[Any]] = {"timestamp": np.array(stamps, dtype=np.int64)}
        for name in NAMES[1:]:
            bars[name] = np.array([np.nan if (v := getattr(d, name)) is None else v for d in days], dtype=np.float64)
        instrument = Instrument.of(symbol)
        known = tuple(
            (to_micros(datetime(day.year, day.month, day.day, tzinfo=UTC)), float(ratio))
            for day, ratio in real_splits(symbol)
        )
        found[symbol] = History(instrument, bars, known, calendar_sessions(calendar_name(instrument)))
    return found


def some_window(histories: Mapping[str, History], rng: np.random.Generator) -> HistoryPart:
    """A window of any history, each bar being as likely as any other."""
    chosen = list(histories.values())
    sizes = np.array([len(h.bars["timestamp"]) - BEFORE - LENGTH for h in chosen], dtype=np.float64)
    history = chosen[int(rng.choice(len(chosen), p=sizes / sizes.sum()))]
    start = int(rng.integers(BEFORE, len(history.bars["timestamp"]) - LENGTH))
    return window_at(history, start, start + LENGTH)


def window_at(history: History, start: int, end: int) -> HistoryPart:
    """The bars of a history from one place to another, with those before."""
    before = {name: values[max(start - BEFORE, 0) : start] for name, values in history.bars.items()}
    return HistoryPart(history, before, {name: values[start:end] for name, values in history.bars.items()})


def judge(window: HistoryPart, bars: Bars | None = None, now: datetime = NOW) -> list[Finding]:
    """The findings on a window's bars, or on what an injection made of them."""
    history = window.history
    before = PriorBars(*(window.before[name] for name in ("timestamp", "open", "high", "low", "close", "volume")))
    context = ValidationContext(history.instrument.asset_class, history.sessions, before, history.splits)
    return check_batch(batch_of(history.instrument, window.bars if bars is None else bars), now, context=context)


def batch_of(instrument: Instrument, bars: Bars) -> Batch:
    """The batch that a provider's answer with these bars becomes: decimals as text, NaN as null."""
    columns: dict[str, Sequence[Any]] = {"timestamp": bars["timestamp"].tolist()}
    for name in NAMES[1:]:
        columns[name] = [None if value != value else repr(value) for value in bars[name].tolist()]  # noqa: PLR0124  NaN
    return Batch(Kind.BARS, instrument.symbol, "bundled", columns, interval=Interval.D1)


def rules_on(findings: Sequence[Finding], rows: Sequence[int]) -> set[str]:
    """The rules that fired on these rows."""
    return {one.rule for one in findings if one.row in rows}


# --- the kinds -----------------------------------------------------------------------------------------------------


def negative_price(bars: Bars, rng: np.random.Generator) -> Injected:
    """The sign of one price is lost."""
    row, name = _any_row(bars, rng), str(rng.choice(["open", "high", "low", "close"]))
    return Injected(_with(bars, row, **{name: -bars[name][row]}), (row,), "value_ranges")


def swapped_high_low(bars: Bars, rng: np.random.Generator) -> Injected:
    """The columns are taken for one another."""
    row = int(rng.choice(np.flatnonzero(bars["high"] > bars["low"])))
    return Injected(_with(bars, row, high=bars["low"][row], low=bars["high"][row]), (row,), "ohlc")


def shifted_zone(bars: Bars, rng: np.random.Generator) -> Injected:
    """A day is stamped with the exchange's local midnight, or with another zone's, instead of midnight UTC."""
    row, hours = _any_row(bars, rng), float(rng.choice([-9, -5.5, -5, -4, -1, 1, 4, 5, 5.5, 9]))
    return Injected(_with(bars, row, timestamp=bars["timestamp"][row] + int(hours * _DAY / 24)), (row,), "shifted_zone")


def stale_repeat(bars: Bars, rng: np.random.Generator) -> Injected:
    """Yesterday's bar is served once more under today's date."""
    row = int(rng.integers(1, len(bars["timestamp"])))
    return Injected(_with(bars, row, **{name: bars[name][row - 1] for name in NAMES[1:]}), (row,), "stale_repeat")


def unit_error(bars: Bars, rng: np.random.Generator) -> Injected:
    """One bar comes in hundredths, or as hundreds, of its currency."""
    row, factor = _any_row(bars, rng), float(rng.choice([100.0, 0.01]))
    return Injected(_with(bars, row, **{name: bars[name][row] * factor for name in _PRICES}), (row,), "unit_error")


def missed_split(bars: Bars, rng: np.random.Generator) -> Injected:
    """From one bar on prices are those of split shares (or of joined ones), and nobody says so."""
    row, ratio = int(rng.integers(1, len(bars["timestamp"]))), float(rng.choice(_RATIOS))
    factor = 1 / ratio if rng.random() < 0.75 else ratio
    changed = {name: values.copy() for name, values in bars.items()}
    for name in _PRICES:
        changed[name][row:] *= factor
    changed["volume"][row:] = np.round(changed["volume"][row:] / factor)
    return Injected(changed, (row,), "missed_split")


def conflicting_duplicate(bars: Bars, rng: np.random.Generator) -> Injected:
    """A day comes twice, the second time with another close."""
    row = _any_row(bars, rng)
    close = float(bars["close"][row] * np.exp(rng.choice([-1, 1]) * rng.uniform(0.001, 0.05)))
    twice = {name: np.insert(values, row + 1, values[row]) for name, values in bars.items()}
    return Injected(_with(twice, row + 1, **_around(bars, row, close)), (row, row + 1), "duplicates")


def spike(bars: Bars, rng: np.random.Generator) -> Injected:
    """One close lies eight standard deviations, those of the returns before it, off; the next is right again."""
    row = int(rng.integers(_FEWEST, len(bars["timestamp"])))
    returns = np.diff(np.log(bars["close"][:row]))
    # Without the split that the window may hold, which would make a sigma of its own.
    sigma = float(np.std(returns[np.abs(returns) < _SPLIT]))
    close = float(bars["close"][row] * np.exp(rng.choice([-1, 1]) * _SIGMAS * sigma))
    return Injected(_with(bars, row, **_around(bars, row, close)), (row,), "price_jump")


def outside_session(bars: Bars, rng: np.random.Generator) -> Injected:
    """A bar of a Saturday or a Sunday, near that of the Friday before it."""
    weekdays = (bars["timestamp"] // _DAY + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    row = int(rng.choice(np.flatnonzero(weekdays == 4)))
    changed = {name: np.insert(values, row + 1, values[row]) for name, values in bars.items()}
    for name in _PRICES:
        changed[name][row + 1] *= 1.001
    changed["timestamp"][row + 1] += int(rng.integers(1, 3)) * _DAY
    return Injected(changed, (row + 1,), "outside_session")


def null_close(bars: Bars, rng: np.random.Generator) -> Injected:
    """A bar without a close."""
    row = _any_row(bars, rng)
    return Injected(_with(bars, row, close=np.nan), (row,), "value_ranges")


KINDS: Final[Mapping[str, Callable[[Bars, np.random.Generator], Injected]]] = {
    "negative_price": negative_price,
    "swapped_high_low": swapped_high_low,
    "shifted_zone": shifted_zone,
    "stale_repeat": stale_repeat,
    "unit_error": unit_error,
    "missed_split": missed_split,
    "conflicting_duplicate": conflicting_duplicate,
    "spike": spike,
    "outside_session": outside_session,
    "null_close": null_close,
}
"""Every kind of error by its name."""


def _any_row(bars: Bars, rng: np.random.Generator) -> int:
    return int(rng.integers(len(bars["timestamp"])))


def _with(bars: Bars, row: int, **cells: float) -> Bars:
    changed = {name: values.copy() for name, values in bars.items()}
    for name, cell in cells.items():
        changed[name][row] = cell
    return changed


def _around(bars: Bars, row: int, close: float) -> dict[str, float]:
    """Another close, and a high and a low that leave it room: nothing but the close itself is wrong."""
    return {
        "close": close,
        "high": max(float(bars["high"][row]), close),
        "low": min(float(bars["low"][row]), close),
    }
