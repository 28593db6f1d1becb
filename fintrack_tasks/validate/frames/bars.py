"""Checks a DataFrame of bars symbol by symbol: the rules behind :meth:`DataValidator.validate_bars`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintrack_tasks.calendars import calendar_name
from fintrack_tasks.domain import BATCH_LIMIT, REJECT, AssetClass, Batch, Finding, Instrument, Interval, Kind
from fintrack_tasks.session_times import TradingSessions, calendar_sessions
from fintrack_tasks.validate.batch import check_batch
from fintrack_tasks.validate.context import SEQUENCE_LOOKBACK, PriorBars, ValidationContext
from fintrack_tasks.validate.frames.columns import Column, Table
from fintrack_tasks.validate.rules import RULES, Limits, finding
from fintrack_tasks.validate.shapes import SHAPES

__all__ = ["BAR_COLUMNS", "BAR_RULES", "Splits", "bar_findings"]

BAR_COLUMNS: Final = ("symbol", *SHAPES[Kind.BARS].required)
BAR_RULES: Final = tuple(name for name in RULES if name not in ("stale_quote", "provider_disagreement"))
"""The rules that a frame of one provider's bars can break."""

Rows = NDArray[np.int64]
Splits = Mapping[str, Sequence[tuple[date | str, float]]]
"""For each symbol the ex-dates and ratios (new shares for an old one) of its splits."""


def bar_findings(
    cells: Table, interval: Interval, now: datetime | None, limits: Limits, calendar: str | None, splits: Splits
) -> list[Finding]:
    """Every finding on a frame's bars, ordered by row; those on the frame as a whole (row ``None``) come first.

    :raises fintrack_tasks.errors.ConfigurationError: when a calendar is unknown.
    """
    missing = [name for name in BAR_COLUMNS if name not in cells.present]
    found = [finding("required_columns", None, f"missing column: {name}") for name in missing]
    found += [finding("data_types", None, f"more than one column is called {name}") for name in cells.ambiguous]
    by_row: list[Finding] = []
    known = {symbol.strip().upper(): each for symbol, each in splits.items()}
    if cells.symbols is not None:
        by_row += _without_symbol(cells)
        for symbol, rows in _by_symbol(cells):
            context = _context(symbol, calendar, interval, known.get(symbol.strip().upper(), ()))
            by_row += _of_symbol(cells, symbol, rows, interval, now, limits, context)
    return found + sorted(by_row, key=lambda one: one.row or 0)


def _of_symbol(
    cells: Table,
    symbol: str,
    rows: Rows,
    interval: Interval,
    now: datetime | None,
    limits: Limits,
    context: ValidationContext,
) -> Iterator[Finding]:
    """The findings on one symbol's rows: checked in the order of time as batches, each with the accepted rows before it
    as its prior bars."""
    if cells.times is not None:
        yield from _disorder(cells.times, rows)
        rows = rows[np.argsort(cells.times.values[rows], kind="stable")]
    for part in _parts(cells.times, rows):
        given = {name: cells.cells(name, part) for name in BAR_COLUMNS[1:] if name in cells.present}
        findings = check_batch(Batch(Kind.BARS, symbol, "frame", given, interval=interval), now, limits, context)
        rejected = {one.row for one in findings if one.severity == REJECT}
        yield from (_in_frame(one, part) for one in findings if one.row is not None)
        if given.keys() >= set(BAR_COLUMNS[1:]) and None not in rejected:
            accepted = part[[place for place in range(len(part)) if place not in rejected]]
            context = replace(context, prior_bars=_before(cells, accepted, context.prior_bars))


def _in_frame(one: Finding, part: Rows) -> Finding:
    """A finding with positions in the frame, also in a detail such as "repeats row 4, ..."."""
    detail = one.detail
    if one.rule == "duplicates":
        detail = re.sub(r"\brow (\d+)", lambda found: f"row {part[int(found[1])]}", detail, count=1)
    return replace(one, row=int(part[one.row or 0]), detail=detail)


def _disorder(times: Column, rows: Rows) -> Iterator[Finding]:
    known = rows[times.fine[rows]]
    stamps = times.values[known]
    for row in known[stamps < np.maximum.accumulate(stamps)].tolist():
        yield finding("timestamp_order", row, "older than a row before it")


def _parts(times: Column | None, rows: Rows) -> Iterator[Rows]:
    """The rows in parts of about equal size that fit a batch; rows of one time stay together where possible.

    Equal sizes, because some rules need several bars: a last part of a few rows would escape them.
    """
    start = 0
    while start < len(rows):
        left = len(rows) - start
        end = start + -(-left // -(-left // BATCH_LIMIT))
        if times is not None and end < len(rows):
            stamps = times.values[rows[start : end + 1]]
            first = int(np.searchsorted(stamps, stamps[-1]))
            end = start + (first or end - start)
        yield rows[start:end]
        start = end


def _before(cells: Table, accepted: Rows, known: PriorBars | None) -> PriorBars:
    """The newest accepted bars, as many as the rules look back."""
    newest = accepted[-SEQUENCE_LOOKBACK:]
    columns = [cells.columns[name].values[newest] for name in BAR_COLUMNS[1:]]
    if known is not None:
        older = [getattr(known, name) for name in BAR_COLUMNS[1:]]
        columns = [np.concatenate(pair)[-SEQUENCE_LOOKBACK:] for pair in zip(older, columns, strict=True)]
    return PriorBars(*columns)


def _without_symbol(cells: Table) -> Iterator[Finding]:
    assert cells.symbols is not None  # noqa: S101  the caller looked
    for row in np.flatnonzero(~cells.symbols.fine).tolist():
        if cells.symbols.null[row]:
            yield finding("value_ranges", row, "symbol is missing")
        else:
            yield finding("data_types", row, f"symbol is not text: {cells.shown('symbol', row)}")


def _by_symbol(cells: Table) -> Iterator[tuple[str, Rows]]:
    """Each symbol with its rows, in the order of the frame."""
    assert cells.symbols is not None  # noqa: S101  the caller looked
    rows = np.flatnonzero(cells.symbols.fine)
    if not len(rows):
        return
    codes, symbols = pd.factorize(cells.symbols.values[rows])
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(symbols)))
    for symbol, places in zip(symbols, np.split(rows[order], ends[:-1]), strict=True):
        yield str(symbol), places


def _context(
    symbol: str, calendar: str | None, interval: Interval, splits: Sequence[tuple[date | str, float]]
) -> ValidationContext:
    kind = AssetClass.by_form(symbol.strip().upper())
    sessions = calendar_sessions(calendar or calendar_name(Instrument(symbol.strip().upper(), kind)))
    return ValidationContext(
        kind, sessions, splits=tuple((_first(day, sessions, interval), ratio) for day, ratio in splits)
    )


def _first(day: date | str, sessions: TradingSessions, interval: Interval) -> int:
    """The first stamp that a split of this ex-date applies to.

    :raises ValueError: when ``day`` is not a date.
    """
    midnight = int(np.datetime64(date.fromisoformat(str(day)[:10]), "us").astype(np.int64))
    if interval is Interval.D1:
        return midnight
    place = int(np.searchsorted(sessions.dates, midnight))
    return int(sessions.starts[place]) if place < len(sessions.starts) else midnight
