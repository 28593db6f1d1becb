"""Checks the bars of a batch against its context: first by trading sessions, then the rest by prior bars.

The rules are in :mod:`.trading_sessions` and :mod:`.sequence`. A user's DataFrame of bars is checked in
:mod:`fintrack_tasks.validate.frames.bars`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fintrack_tasks.calendars import EARLY_PRINTS
from fintrack_tasks.domain import REJECT, Batch, Finding
from fintrack_tasks.symbols import RATE_INDICES
from fintrack_tasks.validate.context import ValidationContext
from fintrack_tasks.validate.rules import Limits
from fintrack_tasks.validate.sequence import BarSequence, check_sequence
from fintrack_tasks.validate.trading_sessions import check_trading_sessions
from fintrack_tasks.validate.unlisted_sessions import Traded

__all__ = ["check_bars"]

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]


def check_bars(
    batch: Batch, values: Mapping[str, Floats], so_far: Sequence[Finding], limits: Limits, context: ValidationContext
) -> list[Finding]:
    """The findings on the bars that are not rejected so far, in the order of time; none without an interval.

    :param values: the columns of the batch as floats, NaN where there is no number.
    """
    if batch.interval is None:
        return []
    rows = np.arange(len(batch))
    rows = rows[_accepted(rows, so_far)]
    given = batch.columns["timestamp"]
    stamps = np.array(given if len(rows) == len(given) else [given[row] for row in rows.tolist()], dtype=np.int64)
    found = _check_sessions(batch, values, rows, stamps, limits, context)
    accepted = _accepted(rows, found)
    rows, stamps = rows[accepted], stamps[accepted]
    if (stamps[1:] < stamps[:-1]).any():
        order = np.argsort(stamps, kind="stable")
        rows, stamps = rows[order], stamps[order]
    columns = (values[name][rows] for name in ("open", "high", "low", "close", "volume"))
    bars = BarSequence(rows, stamps, *columns)
    # A yield may move by any factor: it has no wrong units and no splits.
    ratios = batch.symbol not in RATE_INDICES
    return found + check_sequence(bars, context, batch.interval, batch.source, limits, ratios=ratios)


def _check_sessions(
    batch: Batch, values: Mapping[str, Floats], rows: Rows, stamps: Rows, limits: Limits, context: ValidationContext
) -> list[Finding]:
    if context.sessions is None or batch.interval is None:
        return []
    sessions = replace(context.sessions, early=EARLY_PRINTS.get(batch.symbol, context.sessions.early))
    high, low, volume = (values[name][rows] for name in ("high", "low", "volume"))
    prior = context.prior_bars
    newest = int(prior.timestamp[-1]) if prior is not None and len(prior.timestamp) else None
    traded = Traded(high, low, volume, context.asset_class, newest)
    margin = limits.by_class[context.asset_class].margin
    return check_trading_sessions(rows, stamps, sessions, batch.interval, margin, traded)


def _accepted(rows: Rows, findings: Sequence[Finding]) -> NDArray[np.bool_]:
    """A mask of the rows on which there is no rejecting finding."""
    return ~np.isin(rows, [one.row for one in findings if one.severity == REJECT and one.row is not None])
