"""The quality work after loads: measure each ended run, train anomaly models, flag anomalous bars.

The metrics are computed in :mod:`fintrack_tasks.validate.quality` and kept by :mod:`fintrack_tasks.store.quality`.

Items never wait for this: runs are measured after they have ended, and nothing is rejected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import psycopg
import structlog

from fintrack_tasks.calendars import calendar_name
from fintrack_tasks.domain import Interval, ItemState, Kind, from_micros, to_micros
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.store import anomalies as flags
from fintrack_tasks.store import instruments, quality
from fintrack_tasks.store.quality import Outcome, Run
from fintrack_tasks.validate.quality import QualityCounts, count_bars, count_quote, measure, stored_series

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fintrack_tasks.validate.anomalies import Anomaly

__all__ = ["TRAINED", "measure_run", "train_model"]

log = structlog.get_logger("fintrack.quality")

TRAINED: Final = Interval.D1
"""The bars that are watched: within a day volume and range follow the hour, which a model of bars alone cannot know."""

_TRAIL: Final = {Interval.D1: timedelta(days=366), Interval.H1: timedelta(days=60), Interval.M15: timedelta(days=14)}
"""How far back bars are expected at least, however short the windows of a run are."""

_OFTEN: Final = "fetch_market_data"
"""The job whose measures are thinned out: it runs every five minutes."""

_PAGE: Final = 500
_MOST_BARS: Final = 2_520
"""Bars of a training: ten years of days."""


def measure_run(*, context: StageContext) -> int | None:
    """Measure the next instruments of the oldest run that has ended, in one transaction.

    Returns how many, ``None`` when there is nothing to do or another process measures. Call it until then; a page that
    was cut off is measured again.
    """
    with context.database.connection() as conn, conn.transaction():
        run = quality.unmeasured(conn, claim=True)
        if run is None:
            return None
        page = quality.outcomes(conn, run.id, _PAGE)
        if page:
            _measure(conn, run, page, context.now)
        else:
            quality.mark_measured(conn, run.id, context.now)
            if run.job == _OFTEN:
                quality.thin(conn, run.job, run.finished_at.date())
    return len(page)


def train_model(*, context: StageContext, after: int = 0) -> int | None:
    """Train a model for the next registered instrument by id, if it has enough bars; returns its id.

    ``None`` when there is none after ``after``. An instrument whose bars did not change keeps its newest model. The
    first model of an instrument also scores the bars that it was trained on; later ones only new bars.
    """
    from fintrack_tasks.validate import anomalies  # noqa: PLC0415  # numpy, for a worker that trains alone

    with context.database.connection() as conn:
        number = min((n for n, _ in instruments.active(conn) if n > after), default=None)
        if number is None:
            return None
        bars = _arrays(flags.bars(conn, number, TRAINED, context.now, _MOST_BARS + anomalies.ANOMALY_LOOKBACK))
        if len(bars["timestamp"]) < anomalies.MINIMUM:
            return number
        try:
            model = anomalies.train(bars)
        except ValueError as error:
            log.info("not_trained", instrument=number, detail=str(error))
            return number
        version = flags.save_model(conn, number, TRAINED, model.summary(), model.forest.to_json(), context.now)
        if version:
            log.info("trained", instrument=number, version=version, bars=model.bars)
        if version == 1:
            _keep(conn, number, version, model.span, anomalies.score(model, bars), None, context.now)
    return number


# --- measuring


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the database holds of a page of instruments, one query for each kind."""

    run: Run
    findings: Mapping[UUID, Mapping[str, set[str]]]
    quotes: Mapping[int, int]
    agreement: Mapping[int, float]


def _measure(conn: psycopg.Connection, run: Run, page: Mapping[int, Sequence[Outcome]], now: datetime) -> None:
    items = [outcome.item for outcomes in page.values() for outcome in outcomes]
    quoted = [item.instrument_id for item in items if item.kind is Kind.QUOTE]
    facts = _Facts(
        run,
        quality.findings(conn, [item.id for item in items]),
        quality.newest_quotes(conn, quoted, run.finished_at) if quoted else {},
        quality.agreement(conn, run.id) if quoted else {},
    )
    rows: list[tuple[int, str, float, Mapping[str, Any]]] = []
    for number, outcomes in page.items():
        found = measure(_parts(conn, facts, number, outcomes))
        rows += [(number, each.metric, round(each.value, 6), each.detail) for each in found]
        _score(conn, run, number, outcomes, now)
    quality.save(conn, run.id, run.finished_at.date(), rows, now)


def _parts(conn: psycopg.Connection, facts: _Facts, number: int, outcomes: Sequence[Outcome]) -> list[QualityCounts]:
    by_interval: dict[Interval | None, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_interval[outcome.item.interval].append(outcome)
    return [
        _quote_part(facts, number, some) if interval is None else _bars_part(conn, facts, number, interval, some)
        for interval, some in by_interval.items()
    ]


def _quote_part(facts: _Facts, number: int, outcomes: Sequence[Outcome]) -> QualityCounts:
    loaded = any(outcome.state is ItemState.LOADED for outcome in outcomes)
    rows = {**_rows(facts, outcomes), "agreement": facts.agreement.get(number, 1.0)}
    instrument = outcomes[0].item.instrument
    if calendar_name(instrument) is None:  # as below
        return QualityCounts("quote", 1, int(loaded), None, **rows)
    try:
        return count_quote(instrument, facts.run.created_at, loaded, facts.quotes.get(number), **rows)
    except ConfigurationError:  # a price needs no calendar: nobody can say whether it is late
        return QualityCounts("quote", 1, int(loaded), None, **rows)


def _bars_part(
    conn: psycopg.Connection, facts: _Facts, number: int, interval: Interval, outcomes: Sequence[Outcome]
) -> QualityCounts:
    """From the first bar that is stored, or the first that could not be fetched, to the newest that was asked for.

    What lies before an instrument's first bar is no gap: it may not have been listed yet.
    """
    instrument, windows = outcomes[0].item.instrument, [o.item.window for o in outcomes if o.item.window]
    asked, end = min(window.start for window in windows), max(window.end for window in windows)
    moment = min(facts.run.created_at, end)
    whole = quality.final_stamps(conn, number, interval)
    stored = [stamp for stamp in whole if to_micros(min(asked, moment - _TRAIL[interval])) <= stamp < to_micros(end)]
    failed = [o.item.window.start for o in outcomes if o.state is ItemState.FAILED and o.item.window]
    start = min([from_micros(stored[0]), *failed]) if stored else asked
    rows = _rows(facts, outcomes)
    if calendar_name(instrument) is None:
        return QualityCounts(interval.value, 0, 0, None, dated=False, **rows)
    try:
        rows["series"] = stored_series(instrument, interval, whole)
        return count_bars(instrument, interval, start, moment, set(stored), **rows)
    except ConfigurationError:  # a calendar that is none expects nothing
        return QualityCounts(interval.value, 0, 0, None, **rows)


def _rows(facts: _Facts, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    found: dict[str, set[Hashable]] = defaultdict(set)
    for outcome in outcomes:
        for rule, keys in facts.findings.get(outcome.item.id, {}).items():
            found[rule] |= {(outcome.item.id, key) for key in keys}
    return {"rows": sum(outcome.rows for outcome in outcomes), "findings": found}


# --- flagging


def _score(conn: psycopg.Connection, run: Run, number: int, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Score the bars of a run with the instrument's newest model, if it has one."""
    windows = [o.item.window for o in outcomes if o.item.window and o.item.interval is TRAINED and o.rows]
    if not windows or (kept := flags.newest_model(conn, number, TRAINED)) is None:
        return
    from fintrack_tasks.validate import anomalies  # noqa: PLC0415  # numpy, where there is a model alone

    version, summary, forest = kept
    first, end = min(window.start for window in windows), max(window.end for window in windows)
    span = (to_micros(first), to_micros(end) - 1)
    size = (end - first) // TRAINED.delta + anomalies.ANOMALY_LOOKBACK + 1
    bars = _arrays(flags.bars(conn, number, TRAINED, end, size))
    try:
        found = anomalies.score(anomalies.Model.of(summary, forest), bars)
    except ValueError as error:  # of another release of ours: the next training takes its place
        log.warning("model_not_read", instrument=number, version=version, detail=str(error))
        return
    _keep(conn, number, version, span, [one for one in found if one.timestamp >= span[0]], run.id, now)


def _keep(
    conn: psycopg.Connection,
    number: int,
    version: int,
    span: tuple[int, int],
    found: Sequence[Anomaly],
    run_id: UUID | None,
    now: datetime,
) -> None:
    rows = [(one.timestamp, one.detectors, one.score, {"values": dict(one.values), "z": dict(one.z)}) for one in found]
    flags.replace_flags(conn, number, TRAINED, version, span, rows, run_id, now)


def _arrays(columns: Mapping[str, Sequence[Any]]) -> dict[str, NDArray[Any]]:
    import numpy as np  # noqa: PLC0415  # see train and _score

    made: dict[str, NDArray[Any]] = {"timestamp": np.array(columns["timestamp"], dtype=np.int64)}
    for name in ("open", "high", "low", "close", "volume"):
        made[name] = np.array(columns[name], dtype=np.float64)
    return made
