"""``fintrack run JOB``: enqueue a job as beat would and follow it to its end."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from fintrack_tasks.cli import completion
from fintrack_tasks.cli.context import open_connections, utc_now
from fintrack_tasks.cli.health_checks import require_workers
from fintrack_tasks.cli.output import console, errors, print_json, table
from fintrack_tasks.cli.run_progress import counts, follow
from fintrack_tasks.connections import Connections
from fintrack_tasks.domain import AssetClass, uuid7
from fintrack_tasks.errors import FinTrackError, OutageError, UsageError
from fintrack_tasks.pipeline.run_arguments import check_arguments
from fintrack_tasks.pipeline.span import check_span
from fintrack_tasks.queries import runs
from fintrack_tasks.settings import load_settings
from fintrack_tasks.store.connection import require_schema
from fintrack_tasks.store.runs import RunSummary

__all__ = ["enqueue_job", "events", "follow_run", "listed", "refusal", "run"]


NOTHING: Final = (
    "nothing was to be fetched: no bar is missing between FINTRACK_HISTORY_START and FINTRACK_HISTORY_END, as far back"
    " as intraday bars are asked for, or no instrument is registered; --start and --end ask for other days"
)
NOTHING_IN_SPAN: Final = (
    "nothing was to be fetched: every bar of the days between --start and --end is stored, or was asked for in vain, or"
    " no instrument is registered; fintrack run historical --refetch asks for them all the same"
)


class RefusedError(FinTrackError):
    """A job's task ended with an error outside the project's tree of errors."""


class Job(StrEnum):
    """The jobs by the names that people type."""

    MARKET_DATA = "market-data"
    HISTORICAL = "historical"
    INDEX_DATA = "index-data"


NAMES: Final = {
    Job.MARKET_DATA: "fetch_market_data",
    Job.HISTORICAL: "fetch_historical_market_data",
    Job.INDEX_DATA: "fetch_market_index_data",
}


def run(
    job: Annotated[Job, typer.Argument(help="Which job.")],
    symbols: Annotated[
        str | None,
        typer.Option(help="Such as AAPL,BTC-USD; default: all registered.", autocompletion=completion.symbols),
    ] = None,
    intervals: Annotated[
        str | None,
        typer.Option(help="historical, index-data: of 1d,1h,15m; default 1d.", autocompletion=completion.intervals),
    ] = None,
    start: Annotated[str | None, typer.Option(help="historical, index-data: first date, such as 2024-01-31.")] = None,
    end: Annotated[str | None, typer.Option(help="historical, index-data: the date after the last one.")] = None,
    asset_class: Annotated[AssetClass | None, typer.Option(help="Overrules what the symbols' form says.")] = None,
    consensus: Annotated[
        int | None, typer.Option(help="market-data: ask so many providers and store the median.", min=2)
    ] = None,
    refetch: Annotated[
        bool, typer.Option("--refetch", help="historical: ask for every bar of the span, whatever is there.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the run's end.", min=1)] = 900.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Run a job once on the running workers and wait for it."""
    named: dict[str, Any] = {
        "symbols": listed(symbols),
        "intervals": listed(intervals),
        "start": start,
        "end": end,
        "asset_class": asset_class,
        "consensus": consensus,
        "refetch": refetch or None,
    }
    named = {name: value for name, value in named.items() if value is not None}
    arguments = check_arguments(NAMES[job], now=utc_now(), **named)
    if consensus and job is not Job.MARKET_DATA:
        raise UsageError("--consensus belongs to the job market-data: only quotes are compared")
    check_span(arguments, load_settings(), utc_now())
    follow_run(NAMES[job], named, time.monotonic(), timeout=timeout, as_json=as_json)


def follow_run(name: str, named: dict[str, Any], began: float, *, timeout: float, as_json: bool) -> None:
    """Enqueue a job, follow it to its end and show its results.

    :param began: the monotonic time from which its seconds are counted.
    :raises typer.Exit: with 3 when items failed or are still on their way.
    :raises OutageError: when nobody would work on it, or its events do not go out; what came of it is shown first.
    """
    with open_connections() as connections:
        with connections.database.connection() as conn:
            require_schema(conn)
        require_workers(connections)
        run_id = enqueue_job(name, **named)
        try:
            followed = follow(connections, [run_id], timeout=timeout, refusal=refusal)
        except KeyboardInterrupt:
            errors.print(f"the run goes on; follow it with: fintrack runs show {run_id}", markup=False, soft_wrap=True)
            raise
        summary = followed.summaries.get(run_id)
        if summary is None:
            raise OutageError(
                "Celery workers (queue ops)",
                "Redis",
                f"the run {run_id} was enqueued but not begun; see: fintrack health",
            )
        with connections.database.connection() as conn:
            rows = runs.rows_of_run(conn, run_id)
            failures = runs.items_of_run(conn, run_id, states=("failed",))
            sent = runs.events_of_run(conn, run_id)
            noted = runs.items_of_run(conn, run_id, states=("loaded",)) if named.get("consensus") else []
        topics = (connections.settings.kafka_topic_market_data, connections.settings.kafka_topic_notifications)
    counted = {topic: sent.get(topic, 0) for topic in topics}
    short = [item for item in noted if item["detail"]]
    nothing = NOTHING_IN_SPAN if named.keys() & {"start", "end"} else NOTHING
    _show(summary, rows, counted, failures, short, time.monotonic() - began, as_json=as_json, nothing=nothing)
    if followed.outage:
        raise followed.outage
    if not followed.complete or summary.failed:
        raise typer.Exit(3)


def listed(text: str | None) -> list[str] | None:
    """The parts of a list with commas; ``None`` for none."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def enqueue_job(name: str, **named: Any) -> UUID:
    """Send a job's task with a new run id as its task id: the run is followed in the ledger, the task by its result."""
    from fintrack_tasks import tasks  # noqa: PLC0415  registers every task; the other commands do not need them

    run_id = uuid7(utc_now().timestamp())
    getattr(tasks, name).apply_async(kwargs=named, task_id=str(run_id))
    return run_id


def refusal(run_id: UUID) -> FinTrackError | None:
    """Why a job's task ended without a run; ``None`` as long as it waits, works or is tried again."""
    from fintrack_tasks.app import app as celery  # noqa: PLC0415  see enqueue_job

    result = celery.AsyncResult(str(run_id))
    if result.state not in ("FAILURE", "REVOKED"):
        return None
    error = result.result
    if isinstance(error, FinTrackError):
        return error
    return RefusedError(f"the run was not begun: {type(error).__name__}: {error}; see: fintrack logs ops")


def events(connections: Connections) -> dict[str, int]:
    """How many messages each topic of ours holds now."""
    from fintrack_tasks.publish.kafka import Cluster, count_messages  # noqa: PLC0415  Kafka's client, for the demo alone

    settings = connections.settings
    topics = (settings.kafka_topic_market_data, settings.kafka_topic_notifications)
    return {topic: count_messages(Cluster.of(settings), topic) for topic in topics}


def _show(
    summary: RunSummary,
    rows: dict[str, int],
    sent: dict[str, int],
    failures: list[dict[str, Any]],
    short: list[dict[str, Any]],
    seconds: float,
    *,
    as_json: bool,
    nothing: str = NOTHING,
) -> None:
    if as_json:
        _print_json(summary, rows, sent, failures, short, seconds)
        return
    console.print(
        table(
            f"run {summary.run_id}",
            ["job", *counts(summary), "seconds"],
            [[summary.job, *counts(summary).values(), round(seconds, 1)]],
        )
    )
    if summary.reason:
        errors.print(f"not asked for: {summary.reason}", markup=False, soft_wrap=True)
    elif not summary.items:
        errors.print(nothing, markup=False, soft_wrap=True)
    console.print()
    console.print(table("written", [*rows, *(f"events in {t}" for t in sent)], [[*rows.values(), *sent.values()]]))
    _print_items(failures, short)
    if waiting := summary.items - summary.loaded - summary.empty - summary.failed:
        console.print(f"{waiting} items are still on their way; follow them with: fintrack runs show {summary.run_id}")


def _print_json(
    summary: RunSummary,
    rows: dict[str, int],
    sent: dict[str, int],
    failures: list[dict[str, Any]],
    short: list[dict[str, Any]],
    seconds: float,
) -> None:
    print_json(
        {
            "jobs": {summary.job: counts(summary)},
            "rows": rows,
            "events": sent,
            "seconds": round(seconds, 3),
            "run_id": str(summary.run_id),
            "state": summary.state,
            "note": summary.reason,
            "failures": [{k: item[k] for k in ("symbol", "reason", "detail")} for item in failures],
            "short_consensus": [{k: item[k] for k in ("symbol", "detail")} for item in short],
        }
    )


def _print_items(failures: list[dict[str, Any]], short: list[dict[str, Any]]) -> None:
    """Tables of at most 20 failed items, and of 20 quotes whose consensus had fewer providers than requested."""
    if failures:
        console.print()
        console.print(
            table(
                "failed items",
                ["symbol", "interval", "reason", "detail"],
                [[i["symbol"], i["interval"], i["reason"], i["detail"]] for i in failures[:20]],
            )
        )
    if short:
        console.print()
        rows_of = [[item["symbol"], item["detail"]] for item in short[:20]]
        console.print(table("answered by fewer providers than were asked for", ["symbol", "answered"], rows_of))
