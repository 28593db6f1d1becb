"""Checks a batch by every rule, and splits it into accepted and rejected rows.

The rules for one row are in :mod:`.row`, with :mod:`.screen` to find the rows worth a look; those for bars against the
calendar in :mod:`.trading_sessions`, against earlier bars and other providers in :mod:`.sequence`; those for quotes in
:mod:`.quote`, for splits and dividends in :mod:`.corporate_actions`. A user's DataFrame is checked in :mod:`.frames`.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from fintrack_tasks.calendars import EARLY_PRINTS
from fintrack_tasks.domain import REJECT, AssetClass, Batch, Finding, Kind, to_micros
from fintrack_tasks.symbols import RATE_INDICES
from fintrack_tasks.validate.context import ValidationContext
from fintrack_tasks.validate.corporate_actions import check_corporate_actions
from fintrack_tasks.validate.quote import check_quotes
from fintrack_tasks.validate.row import as_number, check_row
from fintrack_tasks.validate.rules import Limits, finding
from fintrack_tasks.validate.shapes import SHAPES

if TYPE_CHECKING:
    from fintrack_tasks.validate.screen import Screened

__all__ = ["check_batch", "check_rows", "repeats", "split"]

_DEFAULT = Limits()


def check_batch(
    batch: Batch, now: datetime | None, limits: Limits = _DEFAULT, context: ValidationContext | None = None
) -> list[Finding]:
    """Every finding on a batch, ordered by row; findings on the batch as a whole (row ``None``) come first.

    Never raises for what a batch may hold. A single row is checked in plain Python; many rows are screened with numpy,
    and only suspects are checked one by one, with the same result. Rules that need the context are applied, in the
    order of time, to the rows that no other rule rejects.

    :param now: the caller's clock, aware; without it no time counts as being in the future, and no quote as stale.
    :param context: without it the rules that need one find nothing.
    """
    found: list[Finding] = []
    if not isinstance(batch.symbol, str) or not batch.symbol.strip():
        found.append(finding("value_ranges", None, "symbol is missing"))
    missing = [name for name in SHAPES[batch.kind].required if name not in batch.columns]
    if missing:
        found.append(finding("required_columns", None, f"missing columns: {', '.join(missing)}"))
    span = limits.span(now, batch.interval)
    bars_in_context = context is not None and batch.kind is not Kind.QUOTE and not missing
    signed = _is_signed(batch, context)
    if len(batch) == 1 and not bars_in_context:
        by_row = check_rows(batch, [0], span, limits, signed=signed)
    else:
        by_row = _check_many(batch, span, limits, context if bars_in_context else None, signed=signed)
    if context is not None and now is not None and batch.kind is Kind.QUOTE and not missing:
        by_row += check_quotes(batch, context, to_micros(now), limits)
        by_row.sort(key=_row)
    if actions := check_corporate_actions(batch):
        by_row = sorted([*by_row, *actions], key=_row)
    return found + by_row


def _is_signed(batch: Batch, context: ValidationContext | None) -> bool:
    """Whether prices may be zero or negative: by the context's asset class, else by that of the symbol's form."""
    if not isinstance(batch.symbol, str):
        return False
    kind = context.asset_class if context is not None else AssetClass.by_form(batch.symbol.strip().upper())
    return kind.is_signed(batch.symbol.strip().upper())


def _check_many(
    batch: Batch, span: tuple[int, int], limits: Limits, context: ValidationContext | None, *, signed: bool
) -> list[Finding]:
    from fintrack_tasks.validate.screen import screen  # noqa: PLC0415  # a worker that sees quotes alone loads no numpy

    seen = screen(batch, span, limits.ohlc_tolerance, signed=signed)
    by_row = check_rows(batch, seen.suspects, span, limits, signed=signed)
    if not seen.in_order:
        rejected = {one.row for one in by_row if one.severity == REJECT}
        by_row += _check_order(batch)
        by_row += _check_repeats(batch, rejected)
    if context is not None:
        by_row += _check_in_context(batch, seen, by_row, limits, context)
    if not seen.in_order or context is not None:
        by_row.sort(key=_row)  # stable: a row's findings keep the rules' order
    return by_row


def _check_in_context(
    batch: Batch, seen: Screened, by_row: Sequence[Finding], limits: Limits, context: ValidationContext
) -> list[Finding]:
    """The findings on the rows not rejected so far: first by the calendar, then on what is left by prior bars."""
    import numpy as np  # noqa: PLC0415  # see _check_many

    from fintrack_tasks.validate.sequence import BarSequence, check_sequence  # noqa: PLC0415  # see _check_many
    from fintrack_tasks.validate.trading_sessions import check_trading_sessions  # noqa: PLC0415  # see _check_many
    from fintrack_tasks.validate.unlisted_sessions import Traded  # noqa: PLC0415  # see _check_many

    interval = batch.interval
    if interval is None:
        return []
    accepted = np.ones(len(batch), dtype=np.bool_)
    accepted[[one.row for one in by_row if one.severity == REJECT and one.row is not None]] = False
    rows = np.flatnonzero(accepted)
    given = batch.columns["timestamp"]
    stamps = np.array(given if len(rows) == len(given) else [given[row] for row in rows.tolist()], dtype=np.int64)
    found: list[Finding] = []
    if context.sessions is not None:
        margin = limits.by_class[context.asset_class].margin
        sessions = replace(context.sessions, early=EARLY_PRINTS.get(batch.symbol, context.sessions.early))
        high, low, volume = (seen.values[name][rows] for name in ("high", "low", "volume"))
        newest = (
            context.prior_bars.timestamp[-1]
            if context.prior_bars is not None and len(context.prior_bars.timestamp)
            else None
        )
        traded = Traded(high, low, volume, context.asset_class, None if newest is None else int(newest))
        found = check_trading_sessions(rows, stamps, sessions, interval, margin, traded)
        kept = ~np.isin(rows, [_row(one) for one in found if one.severity == REJECT])
        rows, stamps = rows[kept], stamps[kept]
    if not seen.in_order:
        order = np.argsort(stamps, kind="stable")
        rows, stamps = rows[order], stamps[order]
    columns = (seen.values[name][rows] for name in ("open", "high", "low", "close", "volume"))
    # A yield may move by any factor: it has no wrong units and no splits.
    ratios = batch.symbol not in RATE_INDICES
    return found + check_sequence(
        BarSequence(rows, stamps, *columns), context, interval, batch.source, limits, ratios=ratios
    )


def _row(one: Finding) -> int:
    return one.row or 0


def check_rows(
    batch: Batch, rows: Iterable[int], span: tuple[int, int], limits: Limits, *, signed: bool = False
) -> list[Finding]:
    """The findings on these rows, each by itself, without context."""
    shape, tolerance = SHAPES[batch.kind], limits.ohlc_tolerance
    return [one for row in rows for one in check_row(row, batch.row(row), shape, span, tolerance, signed=signed)]


def split(batch: Batch, findings: Iterable[Finding]) -> tuple[Batch, list[int]]:
    """The batch of the rows without a rejecting finding, and the positions of the others, ascending.

    A rejecting finding on the batch as a whole rejects every row. A zero that ``unknown_price`` names becomes null. The
    batch itself is returned when nothing changes.
    """
    findings = list(findings)
    batch = _without_zeros(batch, {one.row for one in findings if one.rule == "unknown_price" and one.row is not None})
    rejecting = {one.row for one in findings if one.severity == REJECT}
    if not rejecting:
        return batch, []
    if None in rejecting:
        return batch.take([]), list(range(len(batch)))
    rejected = {row for row in rejecting if row is not None}
    return batch.take(row for row in range(len(batch)) if row not in rejected), sorted(rejected)


def _without_zeros(batch: Batch, rows: Container[int]) -> Batch:
    """The batch with null for each zero in these rows among the prices that may be unknown."""
    names = [name for name in SHAPES[batch.kind].partial if name in batch.columns]
    changed = {}
    for name in names:
        cells = batch.columns[name]
        zeros = {row for row, cell in enumerate(cells) if row in rows and as_number(cell) == 0}
        if zeros:
            changed[name] = [None if row in zeros else cell for row, cell in enumerate(cells)]
    return batch.with_columns(**changed) if changed else batch


def repeats(keys: Sequence[Hashable], skip: Iterable[int | None]) -> list[tuple[int, int]]:
    """Pairs of a row and the first row with the same key. Rows in ``skip`` are left out."""
    skipped = set(skip)
    first: dict[Hashable, int] = {}
    return [
        (row, first[key]) for row, key in enumerate(keys) if row not in skipped and first.setdefault(key, row) != row
    ]


def _check_repeats(batch: Batch, rejected: set[int | None]) -> list[Finding]:
    found = []
    for row, first in repeats(batch.columns["timestamp"], rejected):
        verb = "repeats" if batch.row(row) == batch.row(first) else "conflicts with"
        found.append(finding("duplicates", row, f"{verb} row {first}, which has the same time and stands"))
    return found


def _check_order(batch: Batch) -> list[Finding]:
    found = []
    latest: int | None = None
    for row, stamp in enumerate(batch.columns["timestamp"]):
        if type(stamp) is not int:
            continue
        if latest is not None and stamp < latest:
            found.append(finding("timestamp_order", row, "older than a row before it"))
        else:
            latest = stamp
    return found
