"""Data-quality metrics of one instrument after a run, as pure functions: shares in [0, 1], 1.0 the best.

What is expected is taken from the calendar, and the run's own moment in the ledger stands for now, so that measuring
again later gives the same. :mod:`fintrack_tasks.pipeline.quality` gathers what is counted,
:mod:`fintrack_tasks.store.quality` stores the metrics; those of a user's DataFrame, which is measured by itself, are in
:mod:`fintrack_tasks.validate.frames.quality`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from fintrack_tasks.domain import Instrument, Interval, TimeRange, from_micros
from fintrack_tasks.sessions import are_final, expected_bars, requested_stamps

__all__ = [
    "METRICS",
    "NO_CALENDAR",
    "Metric",
    "QualityCounts",
    "StoredSeries",
    "count_bars",
    "count_quote",
    "measure",
    "stored_series",
]

METRICS: Final = ("completeness", "requested", "accuracy", "consistency", "timeliness", "validity")

_CONTRADICTION: Final = frozenset({"ohlc", "duplicates", "timestamp_order", "provider_disagreement"})
_INVALID: Final = frozenset(
    {"required_columns", "data_types", "value_ranges", "timestamps", "shifted_zone", "outside_session"}
)
NO_CALENDAR: Final = {"calendar": None}
"""The detail of completeness for bars without a known calendar."""
_FARTHEST: Final = timedelta(days=30)
"""How far back a quote's late bars are counted."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: a value in [0, 1], and in ``detail`` the counts behind it as a JSON object."""

    metric: str
    value: float
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """All stored bars of one interval, from the first to the last of them.

    ``expected`` counts the bars of the calendar between these two, ``present`` those of them that are stored.
    """

    first: datetime
    last: datetime
    expected: int
    present: int


@dataclass(frozen=True, slots=True)
class QualityCounts:
    """The counts behind the metrics: of one instrument's quotes, or of its bars of one interval.

    :param label: ``quote`` or the interval.
    :param expected: rows that should be there by now, ``present`` those of them that are.
    :param late: expected bars since the newest row; ``inf`` without any row, ``None`` where it is not known.
    :param rows: rows that came, rejected ones included.
    :param findings: rule to the keys of the rows that it has findings on.
    :param agreement: the share of the providers compared that agree; 1 where one was asked.
    :param series: all that is stored, also what the run did not ask for; ``None`` where nothing is.
    :param dated: whether a calendar says what is expected.
    """

    label: str
    expected: int
    present: int
    late: float | None
    rows: int = 0
    findings: Mapping[str, AbstractSet[Hashable]] = field(default_factory=dict)
    agreement: float = 1.0
    series: StoredSeries | None = None
    dated: bool = True


def measure(parts: Sequence[QualityCounts]) -> list[Metric]:
    """The metrics of one instrument in a run, in the order of :data:`METRICS`. Over all parts together:

    - completeness = expected bars that are stored / expected bars, between the first and the last stored one by the
      instrument's own calendar, whatever the run asked for; where nothing is stored, and of quotes, as requested.
    - requested = expected rows that are present / expected rows, of what the run asked for; 1.0 where none is expected.
      Expected are the bars that the calendar has and that are final at the run's moment, and one quote for each that
      was asked for.
    - accuracy = rows without any finding / rows that came, rejected ones included.
    - consistency = rows that contradict neither themselves (OHLC) nor others (duplicates, order, other providers) /
      rows that came; a quote of several providers counts as the share of them that agree.
    - timeliness = mean over parts of 1 / (1 + expected bars since the newest row): 1.0 when the calendar has had none
      since, 0.5 after one, 0.0 without any row. A weekend makes nothing late. A quote is late by bars of 15 minutes.
    - validity = rows whose schema, ranges and times are right / rows that came.

    Where no row came, accuracy, consistency and validity are left out. Bars without a known calendar have no expected
    count: completeness lists them in its detail only, and requested is left out where there is nothing else.
    """
    made: dict[str, Metric | None] = {"completeness": _completeness(parts), "timeliness": _timeliness(parts)}
    dated = [part for part in parts if part.dated]
    if dated or not parts:
        made["requested"] = _requested(dated)
    if any(part.rows for part in parts):
        made["accuracy"] = _share("accuracy", parts, None)
        made["consistency"] = _share("consistency", parts, _CONTRADICTION)
        made["validity"] = _share("validity", parts, _INVALID)
    return [found for name in METRICS if (found := made.get(name))]


def count_bars(
    instrument: Instrument,
    interval: Interval,
    start: datetime,
    moment: datetime,
    final: AbstractSet[int],
    **rows: Any,
) -> QualityCounts:
    """The counts of an instrument's bars from ``start`` to the run's ``moment``.

    :param final: stamps of the stored bars that can no longer change (microseconds).
    :param rows: ``rows`` and ``findings`` of :class:`QualityCounts`.
    :raises ConfigurationError: when the instrument's calendar is unknown or cannot be computed.
    """
    expected = expected_until(instrument, interval, start, moment)
    have = set(requested_stamps(instrument, interval, sorted(final)))
    present = [stamp for stamp in expected if stamp in have]
    late = sum(stamp > present[-1] for stamp in expected) if present else math.inf if expected else 0
    return QualityCounts(interval.value, len(expected), len(present), late, **rows)


def count_quote(
    instrument: Instrument, moment: datetime, loaded: bool, newest: int | None, **rows: Any
) -> QualityCounts:
    """The counts of the quote that a run asked for.

    :param newest: the time of the instrument's newest quote at the run's end (microseconds), ``None`` without any.
    :param rows: ``rows``, ``findings`` and ``agreement`` of :class:`QualityCounts`.
    :raises ConfigurationError: when the instrument's calendar is unknown or cannot be computed.
    """
    late = math.inf
    if newest is not None:
        since = max(from_micros(newest), moment - _FARTHEST)
        late = len(expected_until(instrument, Interval.M15, since, moment))
    return QualityCounts("quote", 1, int(loaded), late, **rows)


def expected_until(instrument: Instrument, interval: Interval, start: datetime, moment: datetime) -> list[int]:
    """The stamps of the bars from ``start`` on that are final at a moment, ascending."""
    if start >= moment:
        return []
    stamps = expected_bars(instrument, interval, TimeRange(start, moment))
    return [stamp for stamp, over in zip(stamps, are_final(instrument, interval, stamps, moment), strict=True) if over]


def stored_series(instrument: Instrument, interval: Interval, stored: Sequence[int]) -> StoredSeries | None:
    """What the calendar has between the first and the last of the stored stamps (microseconds, ascending).

    :raises ConfigurationError: when the instrument's calendar is unknown or cannot be computed.
    """
    if not stored:
        return None
    first, last = from_micros(stored[0]), from_micros(stored[-1])
    have = set(requested_stamps(instrument, interval, stored))
    expected = expected_bars(instrument, interval, TimeRange(first, last + timedelta(microseconds=1)))
    return StoredSeries(first, last, len(expected), sum(stamp in have for stamp in expected))


def _completeness(parts: Sequence[QualityCounts]) -> Metric:
    counted = {part.label: part.series or part for part in parts if part.dated}
    detail: dict[str, dict[str, Any]] = {
        label: {"expected": one.expected, "present": one.present}
        | (_span(one) if isinstance(one, StoredSeries) else {})
        for label, one in counted.items()
    }
    detail |= {part.label: dict(NO_CALENDAR) for part in parts if not part.dated}
    return Metric("completeness", _ratio(counted.values()), detail)


def _requested(parts: Sequence[QualityCounts]) -> Metric:
    detail = {part.label: {"expected": part.expected, "present": part.present} for part in parts}
    return Metric("requested", _ratio(parts), detail)


def _ratio(counted: Iterable[QualityCounts | StoredSeries]) -> float:
    expected = present = 0
    for one in counted:
        expected, present = expected + one.expected, present + one.present
    return present / expected if expected else 1.0


def _span(one: StoredSeries) -> dict[str, str]:
    return {"first": one.first.date().isoformat(), "last": one.last.date().isoformat()}


def _timeliness(parts: Sequence[QualityCounts]) -> Metric | None:
    known = {part.label: part.late for part in parts if part.late is not None}
    if not known:
        return None
    detail = {label: {"late_bars": None if math.isinf(late) else int(late)} for label, late in known.items()}
    return Metric("timeliness", sum(1 / (1 + late) for late in known.values()) / len(known), detail)


def _share(metric: str, parts: Sequence[QualityCounts], rules: AbstractSet[str] | None) -> Metric:
    """The share of rows without a finding of these rules, or of any rule when ``rules`` is ``None``."""
    rows, right = sum(part.rows for part in parts), 0.0
    counted: dict[str, int] = {}
    for part in parts:
        mine = {rule: keys for rule, keys in part.findings.items() if rules is None or rule in rules}
        wrong = len(set().union(*mine.values()))
        right += (part.rows - wrong) * (part.agreement if metric == "consistency" else 1.0)
        for rule, keys in mine.items():
            counted[rule] = counted.get(rule, 0) + len(keys)
    detail: dict[str, Any] = {"rows": rows} | ({"findings": counted} if counted else {})
    if metric == "consistency" and (shares := [part.agreement for part in parts if part.agreement < 1]):
        detail["agreement"] = min(shares)
    return Metric(metric, max(0.0, right / rows), detail)
