"""Checks a user's DataFrame of quotes or bars: :class:`DataValidator` and its result.

What cells may be: ``symbol`` text; ``timestamp`` aware or naive times (naive is read as UTC), dates, or ISO 8601 text;
``price`` and ``volume`` numbers, or text that is a decimal number, since that is how exact prices travel. Everything
else is a finding of ``data_types``. None of it raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintrack_tasks.domain import REJECT, AssetClass, Finding, Interval
from fintrack_tasks.validate.batch import repeats
from fintrack_tasks.validate.frames.columns import Column, Table, read_table
from fintrack_tasks.validate.row import check_row
from fintrack_tasks.validate.rules import CHECKS, RULES, Limits, finding
from fintrack_tasks.validate.shapes import Shape

if TYPE_CHECKING:
    from fintrack_tasks.validate.frames.bars import Splits

__all__ = ["REQUIRED", "CheckResult", "DataValidator", "ValidationResult", "frame_findings"]

REQUIRED = ("symbol", "timestamp", "price", "volume")
_SHAPE = Shape(required=REQUIRED, prices=("price",), amounts=("volume",), others=(), ohlc=False)
_SHOWN = 20  # of a check's findings, in its details


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check. ``details`` is JSON-able: ``required_columns`` gives ``{"missing_columns": [...]}``, the
    others ``{"rejected_rows": n, "examples": [...]}``, with ``flagged_rows`` in its place where a rule only flags."""

    name: str
    passed: bool
    details: Mapping[str, Any]


class ValidationResult:
    """The result of all checks of a frame.

    :ivar checks: the checks in their order.
    :ivar is_valid: every check passed.
    :ivar completeness_score: share of non-null cells among the cells that the required columns should have, in [0, 1];
        a missing column counts as null, a frame without rows scores 0.0.
    :ivar quality_score: share of rows without a rejecting finding, in [0, 1]; 0.0 when the frame as a whole is
        rejected, 1.0 for a valid frame without rows.
    :ivar findings: every finding; ``row`` is the position in the frame.

    Made from checks alone, both scores are the share of checks that passed.
    """

    def __init__(
        self,
        checks: Sequence[CheckResult],
        completeness_score: float | None = None,
        quality_score: float | None = None,
        findings: Sequence[Finding] = (),
    ) -> None:
        self.checks = list(checks)
        passed = sum(check.passed for check in self.checks)
        share = passed / len(self.checks) if self.checks else 1.0
        self.is_valid = passed == len(self.checks)
        self.completeness_score = share if completeness_score is None else completeness_score
        self.quality_score = share if quality_score is None else quality_score
        self.findings = tuple(findings)

    def __repr__(self) -> str:
        failed = [check.name for check in self.checks if not check.passed]
        return (
            f"ValidationResult(is_valid={self.is_valid}, completeness_score={self.completeness_score:.4f}, "
            f"quality_score={self.quality_score:.4f}, failed={failed})"
        )


class DataValidator:
    """Checks frames of quotes (:meth:`validate_market_data`) and of bars (:meth:`validate_bars`): one row per symbol
    and time.

    :param now: the caller's clock, aware; without it no timestamp counts as being in the future.
    :param limits: thresholds, :class:`fintrack_tasks.validate.Limits`.
    """

    def __init__(self, now: datetime | None = None, limits: Limits | None = None) -> None:
        self._now = now
        self._limits = limits or Limits()

    def validate_market_data(self, data: pd.DataFrame) -> ValidationResult:
        """Check a frame of quotes: columns ``symbol``, ``timestamp``, ``price``, ``volume``, and the five
        checks of :data:`fintrack_tasks.validate.rules.CHECKS`. Never raises for what a frame may hold, and does not
        change it."""
        cells = read_table(data, REQUIRED)
        findings = frame_findings(cells, self._limits.span(self._now, None))
        missing = [name for name in REQUIRED if name not in cells.present]
        checks = [CheckResult(CHECKS[0], not missing, {"missing_columns": missing})]
        checks += [_result(name, findings) for name in CHECKS[1:]]
        return ValidationResult(checks, _completeness(cells), _quality(len(data), findings), findings)

    def validate_bars(
        self,
        data: pd.DataFrame,
        interval: Interval | str = Interval.D1,
        *,
        calendar: str | None = None,
        splits: Splits | None = None,
    ) -> ValidationResult:
        """Check a frame of bars by every rule of ``docs/rules.md`` that one provider's bars can break.

        Columns are ``symbol``, ``timestamp``, ``open``, ``high``, ``low``, ``close``, ``volume``. Daily bars are
        stamped with midnight UTC of the session's local date, others with the instant at which they open. Each
        symbol's bars are checked against those before them in the frame. Rules that flag, such as ``price_jump``, leave
        a frame valid; their check's ``details`` count them as ``flagged_rows``. Never raises for what a frame may hold,
        and does not change it.

        :param interval: ``1d``, ``1h`` or ``15m``.
        :param calendar: exchange_calendars' name of the sessions; by default the one of each symbol's form.
        :param splits: for each symbol the ex-dates and ratios of its splits, which are no jumps then.
        :raises fintrack_tasks.errors.ConfigurationError: when a calendar is unknown.
        :raises ValueError: for another interval, and for an ex-date that is not a date.
        """
        from fintrack_tasks.validate.frames.bars import BAR_COLUMNS, BAR_RULES, bar_findings  # noqa: PLC0415  calendars

        cells = read_table(data, BAR_COLUMNS)
        findings = bar_findings(cells, Interval(interval), self._now, self._limits, calendar, splits or {})
        missing = [name for name in BAR_COLUMNS if name not in cells.present]
        checks = [CheckResult(CHECKS[0], not missing, {"missing_columns": missing})]
        checks += [_result(name, findings) for name in BAR_RULES[1:]]
        return ValidationResult(checks, _completeness(cells, BAR_COLUMNS), _quality(len(data), findings), findings)


def frame_findings(cells: Table, span: tuple[int, int]) -> list[Finding]:
    """Every finding on a frame's required columns; those on the frame as a whole (row ``None``) come first."""
    found = [
        finding("required_columns", None, f"missing column: {name}") for name in REQUIRED if name not in cells.present
    ]
    found += [finding("data_types", None, f"more than one column is called {name}") for name in cells.ambiguous]
    by_row = [one for row in _suspects(cells, span) for one in _check(cells, row, span)]
    if cells.symbols is not None and cells.times is not None:
        by_row += _check_repeats(cells, cells.symbols, cells.times, {one.row for one in by_row})
        by_row.sort(key=lambda one: one.row or 0)
    return found + by_row


def _suspects(cells: Table, span: tuple[int, int]) -> list[int]:
    suspect = np.zeros(cells.size, dtype=np.bool_)
    if cells.symbols is not None:
        suspect |= ~cells.symbols.fine
    if cells.times is not None:
        suspect |= ~cells.times.fine | (cells.times.values < span[0]) | (cells.times.values > span[1])
    signed = _signed(cells)
    for name, column in cells.numeric.items():
        enough = (column.values > 0) | signed if name == "price" else column.values >= 0
        fine = np.isfinite(column.values) & enough
        if name != "price":
            fine |= column.null
        suspect |= ~fine | ~(column.fine | column.null)
    rows: list[int] = np.flatnonzero(suspect).tolist()
    return rows


def _check(cells: Table, row: int, span: tuple[int, int]) -> list[Finding]:
    found = []
    if cells.symbols is not None and not cells.symbols.fine[row]:
        if cells.symbols.null[row]:
            found.append(finding("value_ranges", row, "symbol is missing"))
        else:
            found.append(finding("data_types", row, f"symbol is not text: {cells.shown('symbol', row)}"))
    return found + check_row(row, cells.row(row), _SHAPE, span, signed=_may_be_negative(cells, row))


def _may_be_negative(cells: Table, row: int) -> bool:
    return cells.symbols is not None and _is_signed(str(cells.symbols.values[row]))


def _is_signed(symbol: str) -> bool:
    name = symbol.strip().upper()
    return AssetClass.by_form(name).is_signed(name)


def _signed(cells: Table) -> NDArray[np.bool_]:
    """For each row whether its symbol's prices may be zero or negative."""
    if cells.symbols is None:
        return np.zeros(cells.size, dtype=np.bool_)
    those = [symbol for symbol in set(cells.symbols.values.tolist()) if _is_signed(symbol)]
    return np.isin(cells.symbols.values, those) if those else np.zeros(cells.size, dtype=np.bool_)


def _check_repeats(cells: Table, symbols: Column, times: Column, rejected: set[int | None]) -> list[Finding]:
    keys = pd.MultiIndex.from_arrays([symbols.values, times.values])
    if not keys.has_duplicates:
        return []
    found = []
    for row, first in repeats(list(keys), rejected):
        verb = "repeats" if cells.row(row) == cells.row(first) else "conflicts with"
        found.append(finding("duplicates", row, f"{verb} row {first}, which has the same symbol and time and stands"))
    return found


def _result(name: str, findings: Sequence[Finding]) -> CheckResult:
    """The result of one rule. Rejected rows fail the check, flagged ones do not."""
    mine = [one for one in findings if one.rule == name]
    rejects = RULES[name].severity == REJECT
    examples = [one.detail if one.row is None else f"row {one.row}: {one.detail}" for one in mine[:_SHOWN]]
    rows = {"rejected_rows" if rejects else "flagged_rows": len({one.row for one in mine})}
    return CheckResult(name, not (mine and rejects), {**rows, "examples": examples})


def _completeness(cells: Table, required: Sequence[str] = REQUIRED) -> float:
    total = cells.size * len(required)
    known = sum(int((~column.null).sum()) for column in cells.columns.values())
    return known / total if total else 0.0


def _quality(size: int, findings: Sequence[Finding]) -> float:
    rejected = {one.row for one in findings if one.severity == REJECT}
    if None in rejected:
        return 0.0
    return 1.0 - len(rejected) / size if size else 1.0
