"""Checks a quote against its previous close, the trading time since, and other providers, in plain Python.

Bars are checked against earlier bars in :mod:`.sequence`.
"""

from __future__ import annotations

from datetime import timedelta
from math import inf, log
from typing import Final

from fintrack_tasks.domain import Batch, Finding
from fintrack_tasks.session_times import TradingSessions
from fintrack_tasks.validate.context import ValidationContext
from fintrack_tasks.validate.row import as_number
from fintrack_tasks.validate.rules import Limits, finding

__all__ = ["check_quotes", "traded_time"]

_HUNDRED: Final = log(100)


def check_quotes(batch: Batch, context: ValidationContext, now: int, limits: Limits) -> list[Finding]:
    """The findings on quotes' prices, times and consensus. Cells that cannot be read are left to :mod:`.row`.

    :param now: the caller's clock in microseconds since 1970 UTC.
    """
    found: list[Finding] = []
    usual = limits.by_class[context.asset_class]
    for row in range(len(batch)):
        if "previous_close" in batch.columns:
            _check_change(found, row, batch, usual.quote_jump, limits.unit_tolerance)
        stamp = batch.columns["timestamp"][row]
        if context.sessions is not None and type(stamp) is int and abs(stamp) < 2**62:
            traded = timedelta(microseconds=traded_time(context.sessions, stamp, now))
            if traded > usual.stale_after:
                detail = f"{traded} of trading passed since the quote, more than {usual.stale_after}"
                found.append(finding("stale_quote", row, detail))
    for metric in batch.meta.get("metrics") or ():
        if metric.get("metric") == "provider_deviation_bps":
            off = metric["detail"]
            detail = f"{off['provider']} said {off['price']}, {metric['value']} basis points off {off['median']}"
            found.append(finding("provider_disagreement", 0, detail[:300]))
        elif metric.get("metric") == "consensus_answers":
            found.append(finding("short_consensus", 0, str(metric["detail"]["note"])[:300]))
    return found


def traded_time(sessions: TradingSessions, since: int, until: int) -> int:
    """The microseconds of trading between two moments, themselves in microseconds since 1970 UTC."""
    first, last = sessions.ends.searchsorted(since, "right"), sessions.starts.searchsorted(until, "left")
    starts, ends = sessions.starts[first:last], sessions.ends[first:last]
    return int((ends.clip(max=until) - starts.clip(min=since)).sum()) if len(starts) else 0


def _check_change(found: list[Finding], row: int, batch: Batch, jump: float, unit_tolerance: float) -> None:
    price, before = as_number(batch.columns["price"][row]), as_number(batch.columns["previous_close"][row])
    if not price or not before or not 0 < price < inf or not 0 < before < inf:
        return
    change = log(price / before)
    if abs(abs(change) - _HUNDRED) < unit_tolerance:
        found.append(finding("unit_error", row, f"price {price:g} against a previous close of {before:g}"))
    elif abs(change) > jump:
        detail = f"price {price:g} lies {change:+.3f} (log) from the previous close {before:g}, more than {jump:g}"
        found.append(finding("price_jump", row, detail))
