"""The catalogue of rules (name, layer, severity, demand) and their thresholds; the checks themselves are beside it.

``docs/rules.md`` is generated from it by :mod:`fintrack_tasks.validate.rules_document`. Names and severities are stored
with every finding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import inf
from typing import Final

from fintrack_tasks.domain import FLAG, REJECT, AssetClass, Finding, Interval, to_micros

__all__ = [
    "CHECKS",
    "RULES",
    "Layer",
    "Limits",
    "Rule",
    "Thresholds",
    "finding",
    "unstorable",
]


class Layer(StrEnum):
    """The layers of rules, in the order in which they are applied.

    A row that a rule of the first two rejects cannot be stored at all, see :func:`unstorable`.
    """

    SCHEMA = "schema"
    RANGES = "ranges"
    CONSISTENCY = "consistency"
    TIME = "time"
    DUPLICATES = "duplicates"
    STALENESS = "staleness"
    JUMPS = "jumps"
    VOLUME = "volume"
    PROVIDERS = "providers"


@dataclass(frozen=True, slots=True)
class Rule:
    """What rows have to satisfy. A ``reject`` keeps the row out of the tables, a ``flag`` only marks it.

    :param demand: what is right, for ``docs/rules.md``.
    :param needs: what the rule needs beside the batch (a field of
        :class:`fintrack_tasks.validate.context.ValidationContext`); without it the rule finds nothing.
    :param thresholds: the fields of :class:`Limits` and :class:`Thresholds` that it uses.
    """

    name: str
    layer: Layer
    severity: str
    demand: str
    needs: str | None = None
    thresholds: tuple[str, ...] = ()


RULES: Final = {
    rule.name: rule
    for rule in (
        Rule(
            "required_columns",
            Layer.SCHEMA,
            REJECT,
            "symbol, timestamp, price and volume (bars: open to close) are there",
        ),
        Rule("data_types", Layer.SCHEMA, REJECT, "numbers are decimal numbers, times are times, symbols are text"),
        Rule(
            "value_ranges",
            Layer.RANGES,
            REJECT,
            "prices are known, finite and above zero (those of futures and of yields may be zero or negative); volume"
            " is unknown or at least zero",
        ),
        Rule(
            "unknown_price",
            Layer.RANGES,
            FLAG,
            "a bar's open, high and low are known; a zero among them beside a close above zero is none (yfinance#1281):"
            " it is stored as null, and the rest stands",
        ),
        Rule(
            "ohlc",
            Layer.CONSISTENCY,
            REJECT,
            "low <= open <= high and low <= close <= high",
            thresholds=("ohlc_tolerance",),
        ),
        Rule(
            "split_values",
            Layer.RANGES,
            FLAG,
            "a split beside bars has numbers above zero, of at most 40 digits, and a ratio that is not 1 and lies"
            " between 1:100,000 and 100,000:1; any other is left out of the corporate actions",
        ),
        Rule(
            "payment_values",
            Layer.RANGES,
            FLAG,
            "a dividend or capital gain beside bars is above zero, of at most 40 digits and 1,000,000,000 a share, and"
            " a currency that it names has the form of a code; any other is left out of the corporate actions",
        ),
        Rule(
            "payment_currency",
            Layer.CONSISTENCY,
            FLAG,
            "a dividend or capital gain is in the currency of the prices beside it; one in another is kept in its own"
            " and converted at the rate of its ex-date, and adjusts nothing where no rate is known",
        ),
        Rule(
            "timestamps",
            Layer.TIME,
            REJECT,
            "times are known, not before 1900 and not in the future",
            thresholds=("earliest", "future", "future_session"),
        ),
        Rule("timestamp_order", Layer.TIME, FLAG, "rows of a batch run from the oldest to the newest"),
        Rule(
            "shifted_zone",
            Layer.TIME,
            REJECT,
            "daily bars are stamped with midnight UTC of the session's local date; no run of bars fits the sessions"
            " only when it is moved by a zone's offset",
            needs="sessions",
        ),
        Rule(
            "outside_session",
            Layer.TIME,
            REJECT,
            "a daily bar's date is a session of the instrument's calendar; an intraday bar's span touches one",
            needs="sessions",
            thresholds=("margin",),
        ),
        Rule(
            "unlisted_session",
            Layer.TIME,
            FLAG,
            "stocks, indices and futures (these on weekdays) do not trade on days that the calendar closes; bars that"
            " did are kept: they have a"
            " range, and a volume of their own (an index may have none), and the listed sessions next to them are there"
            " as far as the batch and the bars before it reach",
            needs="sessions",
        ),
        Rule(
            "duplicates",
            Layer.DUPLICATES,
            REJECT,
            "one row per symbol and time: the first that is right otherwise stands, whether others repeat it or"
            " conflict with it",
        ),
        Rule(
            "stale_repeat",
            Layer.STALENESS,
            REJECT,
            "a bar whose high lies above its low does not repeat all prices and the volume of the bar before it",
            needs="prior_bars",
        ),
        Rule(
            "stale_quote",
            Layer.STALENESS,
            FLAG,
            "no more time of trading has passed since a quote's own time than allowed; a weekend or a holiday is none",
            needs="sessions",
            thresholds=("stale_after",),
        ),
        Rule(
            "unit_error",
            Layer.JUMPS,
            REJECT,
            "prices are not about 100 times, or a hundredth of, those before them (pence for pounds), unless a known"
            " split says so",
            needs="prior_bars",
            thresholds=("unit_tolerance",),
        ),
        Rule(
            "missed_split",
            Layer.JUMPS,
            FLAG,
            "no close lies near a split's ratio (3:2, 2, 3, 4, 5, 7, 10, 20 or inverse) of the close before it, unless"
            " a known split says so; the move may also be real",
            needs="prior_bars",
            thresholds=("split_tolerance",),
        ),
        Rule(
            "price_jump",
            Layer.JUMPS,
            FLAG,
            "a log return is not many times the usual one, 1.4826 times the median of the last 60 absolute returns, nor"
            " is its difference from an opposite one after it, over the root of two; known splits are taken out, and"
            " longer gaps between bars widen the limit by their square root. A quote is measured against its own"
            " previous close",
            needs="prior_bars",
            thresholds=("jump", "quote_jump"),
        ),
        Rule(
            "volume_anomaly",
            Layer.VOLUME,
            FLAG,
            "a volume is not many times the median of the last 60, and not zero where prices moved and trade is usual",
            needs="prior_bars",
            thresholds=("volume", "volume_intraday"),
        ),
        Rule(
            "provider_disagreement",
            Layer.PROVIDERS,
            FLAG,
            "a close agrees with the final bar of the same time that another provider gave; of several quotes none"
            " lies further from the median than the consensus allows",
            needs="other_provider_bars",
            thresholds=("disagreement",),
        ),
        Rule(
            "short_consensus",
            Layer.PROVIDERS,
            FLAG,
            "of a quote for which several providers were to be asked as many answered as were wanted",
        ),
    )
}
"""Every rule by its name, in the order of the layers."""

CHECKS: Final = ("required_columns", "data_types", "value_ranges", "timestamps", "duplicates")
"""The rules of a frame of quotes: :meth:`fintrack_tasks.validate.DataValidator.validate_market_data`, in this order."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds that differ by asset class.

    :param margin: how far from its session an intraday bar may lie. Currencies have no official open: some feeds begin
        before 17:00 in New York on Sunday, or go on after it on Friday, by the clocks of London. Futures of one
        exchange differ in their sessions, on holidays above all.
    :param stale_after: the time of trading after which a quote is stale.
    :param jump: how many times the usual return a return may be.
    :param quote_jump: how far a quote may lie from its previous close, as a log return.
    :param volume: how many times the usual volume a daily volume may be; ``inf`` where volumes mean nothing.
    :param volume_intraday: the same for shorter bars, which are much busier at the open and the close.
    :param disagreement: how far two providers' closes may lie apart, as a fraction.
    """

    margin: timedelta = timedelta(0)
    stale_after: timedelta = timedelta(hours=1)
    jump: float = 4.5
    quote_jump: float = 0.25
    volume: float = 10.0
    volume_intraday: float = 40.0
    disagreement: float = 0.005


_BY_CLASS: Final = {
    AssetClass.STOCK: Thresholds(),
    AssetClass.INDEX: Thresholds(quote_jump=0.1, disagreement=0.002),
    AssetClass.CRYPTO: Thresholds(
        stale_after=timedelta(minutes=15), jump=6.0, quote_jump=0.4, volume=20.0, disagreement=0.01
    ),
    AssetClass.FOREX: Thresholds(
        margin=timedelta(hours=2), jump=6.0, quote_jump=0.05, volume=inf, volume_intraday=inf, disagreement=0.003
    ),
    AssetClass.COMMODITY: Thresholds(margin=timedelta(hours=2), volume=20.0, disagreement=0.01),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds of all rules; those by asset class in ``by_class``.

    :param future: how far a quote or an intraday bar may lie ahead of ``now``: clocks differ.
    :param future_session: the same for daily bars. They are stamped with midnight UTC of the local session's date,
        which in Auckland lies up to 14 hours ahead of the time at which that session opens.
    :param earliest: times before it are errors, such as a zero date.
    :param ohlc_tolerance: relative; 0 demands the inequalities exactly.
    :param unit_tolerance: how far a log return may lie from that of the factor 100 and still be taken for it.
    :param split_tolerance: the least and the most that a log return may lie from that of a split's ratio and still be
        taken for it; between them five times the usual return.
    :param by_class: what differs by asset class.
    """

    future: timedelta = timedelta(minutes=5)
    future_session: timedelta = timedelta(hours=14)
    earliest: datetime = datetime(1900, 1, 1, tzinfo=UTC)
    ohlc_tolerance: float = 0.0
    unit_tolerance: float = 0.25
    split_tolerance: tuple[float, float] = (0.05, 0.15)
    by_class: Mapping[AssetClass, Thresholds] = field(default_factory=lambda: _BY_CLASS)

    def span(self, now: datetime | None, interval: Interval | None) -> tuple[int, int]:
        """The first and the last microsecond that a timestamp may have; without ``now`` the future is not checked."""
        first = to_micros(self.earliest)
        if now is None:
            return first, _LAST
        return first, to_micros(now + (self.future_session if interval is Interval.D1 else self.future))


_FIRST: Final = to_micros(datetime.min.replace(tzinfo=UTC))
_LAST: Final = to_micros(datetime.max.replace(tzinfo=UTC))


def finding(rule: str, row: int | None, detail: str) -> Finding:
    """A finding of a rule of the catalogue, with that rule's severity.

    :raises KeyError: when there is no such rule.
    """
    return Finding(rule, RULES[rule].severity, row, detail)


def unstorable(rules: Sequence[str], timestamp: object) -> str | None:
    """The rule that keeps a rejected row from being released, ``None`` when it can be stored.

    It can be stored when no rule of the layers *schema* and *ranges* rejects it and its time, in microseconds, lies in
    the years 1 to 9999.

    :param rules: the names of the rules that rejected the row.
    """
    if type(timestamp) is not int or not _FIRST <= timestamp <= _LAST:
        return "timestamps"
    kept_out = (name for name in rules if name in RULES and RULES[name].severity == REJECT)
    return next((name for name in kept_out if RULES[name].layer in (Layer.SCHEMA, Layer.RANGES)), None)
