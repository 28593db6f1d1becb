"""The consensus of several providers' quotes: their median, and the measures of how far they lie apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from statistics import median
from typing import Any, Final

from fintrack_tasks.domain import Batch

__all__ = ["SOURCE", "combine"]

SOURCE: Final = "consensus"
_BASIS_POINTS: Final = 10_000
_PLACES: Final = Decimal("0.0001")
_LARGEST_BPS: Final = Decimal(10) ** 12
"""Larger values, which only a wrong quote gives, are stored as this one: one provider's error fails no item."""


def combine(quotes: Sequence[Batch], deviation_bps: float, wanted: int = 1) -> Batch:
    """The median quote of one or more providers' quotes, with the measures of their agreement in ``meta``.

    Prices are compared in the currency that most quotes name (of equally many, the first by name). Quotes in another
    currency are left out and listed in the detail; a quote that names none, as not every provider does, is taken to be
    in the same one. The median of an even count is the mean of the middle two, exact in decimals. The row is that of
    the provider nearest to the median, of several the newest; its price is the median, its time the newest of all that
    were compared, and ``bid`` and ``ask`` are kept only when the price is that provider's own.

    ``meta["metrics"]`` holds ``provider_spread_bps``, (highest - lowest) / median, and for each provider that lies
    further than ``deviation_bps`` from the median a ``provider_deviation_bps``; both in basis points. Where fewer than
    ``wanted`` were compared it also holds ``consensus_answers``, how many they were, and ``meta["note"]`` says so.

    :param quotes: batches of one row, one a provider.
    """
    counts = Counter(quote.currency for quote in quotes if quote.currency)
    currency = min(counts, key=lambda each: (-counts[each], each), default=None)
    compared = [quote for quote in quotes if quote.currency in (currency, None)]
    prices = {quote.source: Decimal(quote.columns["price"][0]) for quote in compared}
    middle = median(prices.values())
    nearest = min(compared, key=lambda q: (abs(prices[q.source] - middle), -q.columns["timestamp"][0]))
    row = {name: list(values) for name, values in nearest.columns.items()}
    if prices[nearest.source] != middle:
        row |= {name: [None] for name in ("bid", "ask") if name in row}
    row |= {"price": [format(middle, "f")], "timestamp": [max(q.columns["timestamp"][0] for q in compared)]}
    left_out = {q.source: str(q.currency) for q in quotes if q.currency not in (currency, None)}
    metrics, note = _metrics(prices, middle, deviation_bps, left_out), {}
    if len(compared) < wanted:
        note = {"note": f"{len(compared)} of {wanted} providers: {', '.join(sorted(prices))}"}
        detail = {"wanted": wanted, "answered": sorted(prices), **note}
        metrics.append({"metric": "consensus_answers", "value": str(len(compared)), "detail": detail})
    return Batch(
        kind=nearest.kind,
        symbol=nearest.symbol,
        source=SOURCE if len(compared) > 1 else nearest.source,
        columns=row,
        currency=currency,
        meta={**nearest.meta, "metrics": metrics, **note},
    )


def _metrics(
    prices: dict[str, Decimal], middle: Decimal, deviation_bps: float, left_out: dict[str, str]
) -> list[dict[str, Any]]:
    texts = {name: format(price, "f") for name, price in prices.items()}
    spread = (max(prices.values()) - min(prices.values())) / abs(middle) * _BASIS_POINTS if middle else Decimal(0)
    detail: dict[str, Any] = {"prices": texts, "median": format(middle, "f")}
    if left_out:
        detail["other_currency"] = left_out
    found = [{"metric": "provider_spread_bps", "value": _text(spread), "detail": detail}]
    for name, price in prices.items():
        off = (price - middle) / abs(middle) * _BASIS_POINTS if middle else Decimal(0)
        if abs(off) > Decimal(str(deviation_bps)):
            flagged = {"provider": name, "price": texts[name], "median": format(middle, "f"), "flagged": True}
            found.append({"metric": "provider_deviation_bps", "value": _text(off), "detail": flagged})
    return found


def _text(value: Decimal) -> str:
    return format(max(-_LARGEST_BPS, min(_LARGEST_BPS, value)).quantize(_PLACES), "f")
