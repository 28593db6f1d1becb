"""The jobs: each plans a run, writes it to the ledger and fans out one chain per item.

A new job is one function here and one line of ``beat_schedule``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import structlog

from fintrack_tasks import pipeline
from fintrack_tasks.app import app
from fintrack_tasks.errors import UsageError
from fintrack_tasks.pipeline.plan import plan_run
from fintrack_tasks.pipeline.run_arguments import Arguments, check_arguments
from fintrack_tasks.pipeline.span import check_span
from fintrack_tasks.store import lost_items, runs
from fintrack_tasks.tasks import orphaned_items
from fintrack_tasks.tasks.base import BaseTask, connections, settings, utc_now
from fintrack_tasks.tasks.ingest import enqueue
from fintrack_tasks.tasks.publish import publish_soon

__all__ = ["fetch_historical_market_data", "fetch_market_data", "fetch_market_index_data"]

log = structlog.get_logger("fintrack.tasks")


class JobTask(BaseTask):
    """The base of a job's task: impossible arguments are refused in the caller's process, before it is enqueued."""

    abstract = True

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """As Celery's.

        :raises UsageError: for arguments that no worker could run.
        """
        positional, named = tuple(args or ()), dict(kwargs or {})
        if len(positional) > 1:
            raise UsageError(f"{self.__name__} takes one positional argument, the list of symbols")
        if positional:
            named["symbols"] = positional[0]
        named = {
            name: list(value) if isinstance(value, tuple | set | frozenset) else value for name, value in named.items()
        }
        now = utc_now()
        check_span(_checked(self.__name__, named, now), settings(), now)
        return super().apply_async((), named, **options)


def _checked(job: str, named: dict[str, Any], now: datetime) -> Arguments:
    known = {name: value for name, value in named.items() if name not in ("scheduled", "run_id")}
    try:
        if named.get("run_id"):
            UUID(named["run_id"])
        return check_arguments(job, now=now, **known)
    except TypeError:
        raise UsageError(f"{job} does not take {', '.join(sorted(known))}") from None
    except ValueError as error:
        raise UsageError(f"run_id: {error}") from None


def _dispatch(task: JobTask, scheduled: bool, run_id: str | None, **named: Any) -> dict[str, Any]:
    """The result of a call, with ``simulated`` where the prices are the local market's."""
    done = _planned(task, scheduled, run_id, **named)
    return {**done, "simulated": True} if connections().simulated else done


def _planned(task: JobTask, scheduled: bool, run_id: str | None, **named: Any) -> dict[str, Any]:
    """Plan, record, enqueue. A tick that finds its job still running is recorded as skipped.

    The run's id is the task's, unless the caller chose one: so a redelivered dispatch finds its own run.
    """
    now, job = utc_now(), task.__name__
    arguments = _checked(job, named, now)
    run_id = run_id or task.request.id
    chosen = UUID(run_id) if run_id else None
    with connections().database.connection() as conn:
        known = bool(chosen and runs.run_summary(conn, chosen))
        if not known and scheduled and (running := runs.running_run(conn, job, now)):
            skipped = runs.skip_run(conn, job, f"run {running} is still going on", now)
            log.warning("run_skipped", job=job, running=str(running))
            return {"run_id": str(skipped), "items": 0, "skipped": True}
        if known and chosen:
            return {"run_id": run_id, "items": _go_on(task, conn, chosen, now), "repeated": True}
        plan = plan_run(conn, arguments, settings(), now, chosen)
        pipeline.record_run(conn, plan, settings(), now)
    count = enqueue(plan.items)
    if not count:
        publish_soon()
    log.info("run_dispatched", job=job, run=str(plan.run_id), items=count, **({"note": plan.note} if plan.note else {}))
    return {"run_id": str(plan.run_id), "items": count}


def _go_on(task: JobTask, conn: psycopg.Connection, run_id: UUID, now: datetime) -> int:
    """Enqueue the rest of a dispatch that was cut off, when the broker delivers its message again."""
    if not (task.request.delivery_info or {}).get("redelivered"):
        return 0
    # What waits already is left alone: a dispatch that comes again and again would bury the queue in stale messages.
    left = orphaned_items.without_message(app, connections().redis, lost_items.not_begun(conn, run_id))
    return enqueue(lost_items.enqueue_again(conn, left, now, settings().fintrack_item_deadline_seconds))


@app.task(name="fintrack.fetch_market_data", base=JobTask, bind=True, ignore_result=False)
def fetch_market_data(
    self: JobTask,
    symbols: Sequence[str] | None = None,
    *,
    asset_class: str | None = None,
    consensus: int | None = None,
    scheduled: bool = False,
    run_id: str | None = None,
) -> dict[str, Any]:
    """Fetch a quote for each symbol, or for each registered instrument.

    :param symbols: such as ``["AAPL", "BTC-USD"]``; ``None`` for all registered ones.
    :param asset_class: overrules what the symbols' form says, or narrows the registered ones.
    :param consensus: ask so many providers of each symbol and store the median of their prices.
    :param scheduled: a tick of the schedule: skipped while the job still runs.
    :param run_id: a UUID chosen by the caller, to follow the run in the ledger.
    :returns: ``{"run_id": str, "items": int}``, and ``"simulated": True`` where the prices are the local market's.
    """
    return _dispatch(self, scheduled, run_id, symbols=symbols, asset_class=asset_class, consensus=consensus)


@app.task(name="fintrack.fetch_historical_market_data", base=JobTask, bind=True, ignore_result=False)
def fetch_historical_market_data(
    self: JobTask,
    symbols: Sequence[str] | None = None,
    *,
    intervals: Sequence[str] | None = None,
    start: str | None = None,
    end: str | None = None,
    asset_class: str | None = None,
    budget: str | None = None,
    refetch: bool = False,
    scheduled: bool = False,
    run_id: str | None = None,
) -> dict[str, Any]:
    """Fetch the bars that are missing between ``start`` and ``end`` (ISO dates, the end exclusive).

    :param intervals: of ``1d``, ``1h``, ``15m``; default ``["1d"]``.
    :param refetch: ask for every bar from ``start`` on, whatever is there; what differs becomes a revision.
    :param budget: ``gap_repair`` (the default) or ``deep_backfill``, which leaves more of each quota to others.
    :returns: ``{"run_id": str, "items": int}``, and ``"simulated": True`` where the prices are the local market's; an
        item is one window of one instrument and interval.
    """
    return _dispatch(
        self,
        scheduled,
        run_id,
        symbols=symbols,
        intervals=intervals,
        start=start,
        end=end,
        asset_class=asset_class,
        budget=budget,
        refetch=refetch or None,
    )


@app.task(name="fintrack.fetch_market_index_data", base=JobTask, bind=True, ignore_result=False)
def fetch_market_index_data(
    self: JobTask,
    symbols: Sequence[str] | None = None,
    *,
    intervals: Sequence[str] | None = None,
    start: str | None = None,
    end: str | None = None,
    asset_class: str | None = None,
    scheduled: bool = False,
    run_id: str | None = None,
) -> dict[str, Any]:
    """Fetch the recent bars of each index and store them with their indicators.

    :param intervals: of ``1d``, ``1h``, ``15m``; default ``["1d"]``.
    :returns: ``{"run_id": str, "items": int}``, and ``"simulated": True`` where the prices are the local market's.
    """
    return _dispatch(
        self, scheduled, run_id, symbols=symbols, intervals=intervals, start=start, end=end, asset_class=asset_class
    )
