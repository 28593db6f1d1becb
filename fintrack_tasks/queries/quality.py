"""The history of quality metrics and the flagged rows, as ``fintrack quality`` and ``quarantine flags`` list them.

What is measured is decided in :mod:`fintrack_tasks.pipeline.quality` and computed in
:mod:`fintrack_tasks.validate.quality`; :mod:`fintrack_tasks.store.quality` keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import psycopg
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from fintrack_tasks.queries import relations
from fintrack_tasks.queries.execute import fetch_all, fetch_tuples

__all__ = ["flagged_rows", "flags_by_instrument", "metrics_history"]

_instrument = relations.instruments.c
_metric = relations.quality_metrics.c
_flag = relations.flags.c


def metrics_history(
    conn: psycopg.Connection, metrics: Sequence[str], since: date, symbol: str | None = None
) -> list[dict[str, Any]]:
    """One dict for each instrument, metric, job and day, in this order.

    ``lowest`` and ``newest`` are values of that day; ``detail``, ``run_id`` and ``measured_at`` are the newest's.
    """
    return fetch_all(conn, select_metrics_history(metrics, since, symbol))


def select_metrics_history(metrics: Sequence[str], since: date, symbol: str | None = None) -> Select[Any]:
    """The statement of :func:`metrics_history`."""
    job = func.coalesce(relations.runs.c.job, "")
    statement = (
        select(
            *(_instrument.symbol, _instrument.asset_class, _metric.instrument_id, _metric.metric),
            job.label("job"),
            _metric.day,
            func.min(_metric.value).label("lowest"),
            _newest(_metric.value).label("newest"),
            _newest(_metric.detail).label("detail"),
            _newest(_metric.run_id).label("run_id"),
            func.max(_metric.created_at).label("measured_at"),
        )
        .join_from(relations.quality_metrics, relations.instruments, _instrument.id == _metric.instrument_id)
        .outerjoin(relations.runs, relations.runs.c.id == _metric.run_id)
        .where(_metric.day >= since, _metric.metric.in_(metrics))
        .group_by(
            *(_instrument.symbol, _instrument.asset_class, _metric.instrument_id, _metric.metric),
            *(relations.runs.c.job, _metric.day),
        )
        .order_by(_instrument.symbol, _metric.instrument_id, _metric.metric, _metric.day)
    )
    return statement if symbol is None else statement.where(_instrument.symbol == symbol)


def _newest(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.array_agg(aggregate_order_by(column, _metric.created_at.desc(), _metric.id.desc()))[1]


def flags_by_instrument(conn: psycopg.Connection, since: date) -> dict[int, int]:
    """Instrument id to the number of its bars and quotes that a rule or a model of any version flagged since a day.

    A row that several of them flagged counts once.
    """
    return dict(fetch_tuples(conn, select_flags_by_instrument(since)))


def select_flags_by_instrument(since: date) -> Select[Any]:
    """The statement of :func:`flags_by_instrument`."""
    anomaly = relations.anomalies.c
    flagged = (
        select(_flag.instrument_id, _flag.interval, _flag.timestamp)
        .where(_flag.created_at >= since)
        .union(select(anomaly.instrument_id, anomaly.interval, anomaly.timestamp).where(anomaly.flagged_at >= since))
        .subquery("flagged")
    )
    return select(flagged.c.instrument_id, func.count()).group_by(flagged.c.instrument_id)


def flagged_rows(
    conn: psycopg.Connection, symbol: str | None = None, rule: str | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """The newest flags as dicts, newest first; of one symbol or rule alone where it is given."""
    return fetch_all(conn, select_flagged_rows(symbol, rule, limit))


def select_flagged_rows(symbol: str | None, rule: str | None, limit: int) -> Select[Any]:
    """The statement of :func:`flagged_rows`."""
    statement = (
        select(
            *(_instrument.symbol, _flag.interval, _flag.timestamp, _flag.rule, _flag.detail, _flag.source),
            *(_flag.item_id, _flag.created_at),
        )
        .join(relations.instruments, _instrument.id == _flag.instrument_id)
        .order_by(_flag.id.desc())
        .limit(limit)
    )
    if symbol is not None:
        statement = statement.where(_instrument.symbol == symbol)
    return statement if rule is None else statement.where(_flag.rule == rule)
