"""Runs, their items and their events for the commands that list and watch them: rows, counts and deadlines.

The pipeline's own reads and writes of a run are in :mod:`fintrack_tasks.store.runs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import ColumnElement, Select, and_, func, select

from fintrack_tasks.queries import relations
from fintrack_tasks.queries.execute import fetch_all, fetch_one, fetch_tuples
from fintrack_tasks.store import runs
from fintrack_tasks.store.runs import RunSummary

__all__ = [
    "events_of_run",
    "events_waiting",
    "items_of_run",
    "newest_runs",
    "next_deadline",
    "rows_of_run",
    "waiting_of_run",
]

_run = relations.runs.c
_item = relations.run_items.c
_event = relations.outbox.c


def newest_runs(conn: psycopg.Connection, limit: int, budget: str | None = None) -> list[RunSummary]:
    """The newest runs with the counts of their items, newest first.

    :param budget: the runs of one budget class alone, by its name.
    """
    chosen = [run_id for (run_id,) in fetch_tuples(conn, select_newest_runs(limit, budget))]
    return runs.run_summaries(conn, chosen)


def select_newest_runs(limit: int, budget: str | None = None) -> Select[Any]:
    """The ids of the newest runs, newest first."""
    statement = select(_run.id).order_by(_run.created_at.desc(), _run.id.desc()).limit(limit)
    return statement if budget is None else statement.where(_run.arguments["budget"].astext == budget)


def items_of_run(conn: psycopg.Connection, run_id: UUID, states: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The items of a run as dicts, by symbol and window: identity, state, provider, attempts and reason.

    :param states: the items in one of these states alone.
    """
    return fetch_all(conn, select_items_of_run(run_id, states))


def select_items_of_run(run_id: UUID, states: Sequence[str] | None = None) -> Select[Any]:
    """The statement of :func:`items_of_run`."""
    instrument = relations.instruments.c
    statement = (
        select(
            *(_item.id, instrument.symbol, instrument.asset_class, _item.kind, _item.interval),
            *(_item.window_start, _item.window_end, _item.state, _item.generation, _item.provider),
            *(_item.attempts, _item.attempt_log, _item.reason, _item.detail),
            *(_item.rows_loaded, _item.rows_quarantined),
            func.encode(_item.payload_sha, "hex").label("payload"),
            *(_item.created_at, _item.finished_at, _item.deadline_at, _item.deferred),
        )
        .join(relations.instruments, instrument.id == _item.instrument_id)
        .where(_item.run_id == run_id)
        .order_by(instrument.symbol, _item.window_start)
    )
    return statement.where(_item.state.in_(states)) if states else statement


def rows_of_run(conn: psycopg.Connection, run_id: UUID) -> dict[str, int]:
    """How many rows the loaded items of a run wrote, by table."""

    def loaded(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.coalesce(func.sum(_item.rows_loaded).filter(condition), 0)

    row = fetch_one(
        conn,
        select(
            loaded(_item.kind == "quote").label("quotes"),
            loaded(_item.kind != "quote").label("bars"),
            loaded(_item.kind == "index").label("index_indicators"),
        ).where(_item.run_id == run_id, _item.state == "loaded"),
    )
    return {name: int(count) for name, count in (row or {}).items()}


def waiting_of_run(conn: psycopg.Connection, run_id: UUID) -> dict[str, Any]:
    """``deferred``: how many items of a run wait for a quota; ``next_at``: when the first of them goes on."""
    row = fetch_one(
        conn,
        select(func.count().label("deferred"), func.min(_item.deadline_at).label("next_at")).where(
            _item.run_id == run_id, _item.deferred, _item.finished_at.is_(None)
        ),
    )
    return row or {"deferred": 0, "next_at": None}


def next_deadline(conn: psycopg.Connection, runs: Sequence[UUID]) -> datetime | None:
    """When the first open item of these runs is enqueued again, if it does not move before that."""
    row = fetch_one(
        conn,
        select(func.min(_item.deadline_at).label("next_at")).where(_item.run_id.in_(runs), _item.finished_at.is_(None)),
    )
    return row["next_at"] if row else None


def events_of_run(conn: psycopg.Connection, run_id: UUID) -> dict[str, int]:
    """How many events of a run Kafka has acknowledged, by topic."""
    rows = fetch_tuples(
        conn,
        select(_event.topic, func.count())
        .join_from(relations.runs, relations.outbox, _events_of_a_run())
        .where(_run.id == run_id, _event.published_at.is_not(None))
        .group_by(_event.topic),
    )
    return {topic: int(count) for topic, count in rows}


def events_waiting(conn: psycopg.Connection, runs: Sequence[UUID]) -> tuple[int, int | None]:
    """How many events of these runs Kafka has not acknowledged, and the id of the oldest one of any run."""
    waiting = (
        select(func.count())
        .select_from(relations.runs.join(relations.outbox, _events_of_a_run()))
        .where(_run.id.in_(runs), _event.published_at.is_(None))
    )
    oldest = select(func.min(_event.id)).where(_event.published_at.is_(None))
    [(count, first)] = fetch_tuples(conn, select(waiting.scalar_subquery(), oldest.scalar_subquery()))
    return int(count), first


def _events_of_a_run() -> ColumnElement[bool]:
    """The outbox is indexed by time: no event of a run is older than the run."""
    return and_(_event.created_at >= _run.created_at, _event.run_id == _run.id)
