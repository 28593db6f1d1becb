"""Checks a batch by every rule, and splits it into accepted and rejected rows.

The rules for one row are in :mod:`.row`, with :mod:`.screen` to find the rows worth a look; those that need a context
in :mod:`.bars` and :mod:`.quote`; those for splits and dividends in :mod:`.corporate_actions`. A user's DataFrame is
checked in :mod:`.frames`.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from fintrack_tasks.domain import REJECT, AssetClass, Batch, Finding, Kind, to_micros
from fintrack_tasks.validate.context import ValidationContext
from fintrack_tasks.validate.corporate_actions import check_corporate_actions
from fintrack_tasks.validate.quote import check_quotes
from fintrack_tasks.validate.row import as_number, check_row
from fintrack_tasks.validate.rules import Limits, finding
from fintrack_tasks.validate.shapes import SHAPES

if TYPE_CHECKING:
    pass

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
        from fintrack_tasks.validate.bars import check_bars  # noqa: PLC0415  see above

        by_row += check_bars(batch, seen.values, by_row, limits, context)
    if not seen.in_order or context is not None:
        by_row.sort(key=_row)  # stable: a row's findings keep the rules' order
    return by_row


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
