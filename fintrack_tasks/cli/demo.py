"""``fintrack demo``: the three jobs once, on real servers and real prices, shown and stopped."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from fintrack_tasks.cli.context import open_connections
from fintrack_tasks.cli.output import console, errors, print_json, table
from fintrack_tasks.cli.run import enqueue_job, events, refusal
from fintrack_tasks.cli.run_progress import RunProgress, counts, follow
from fintrack_tasks.cli.stack import boot, requested_mode, start_workers, wait_for_workers
from fintrack_tasks.connections import Connections
from fintrack_tasks.embedded import Stack
from fintrack_tasks.errors import FinTrackError
from fintrack_tasks.queries.bars import daily_bars
from fintrack_tasks.queries.overview import by_instrument, totals
from fintrack_tasks.queries.runs import events_of_run
from fintrack_tasks.settings import Settings, load_settings

__all__ = ["demo"]

_JOBS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("fetch_market_data", {}),
    ("fetch_historical_market_data", {"start": "2010-01-01", "end": "2013-03-02"}),
    ("fetch_market_index_data", {"end": "2019-01-01"}),
)
"""The spans lie where the bundled real prices do."""


class IncompleteError(FinTrackError):
    """The demo ended with items that were not accounted for."""


def demo(
    live: Annotated[bool, typer.Option("--live", help="Ask the real providers instead of the sandbox.")] = False,
    seed: Annotated[int, typer.Option(help="The sandbox's seed.")] = 7,
    timeout: Annotated[float, typer.Option(help="Seconds for the three jobs.", min=1)] = 240.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Start everything, run the three jobs once, show what came of it, stop everything."""
    began = time.monotonic()
    stack = Stack(load_settings().fintrack_home)
    stack.require_mode(requested_mode(live=live))
    ours = not any(server.running for server in stack.health().values())
    try:
        environment = boot(stack, live=live, seed=seed)
        if ours or not stack.processes():
            errors.print("starting the workers", markup=False)
            start_workers(stack, environment, workers=1)
        wait_for_workers(stack)
        with open_connections(Settings.from_mapping(environment)) as connections:
            runs = [enqueue_job(name, **named) for name, named in _jobs(live=live)]
            followed = follow(connections, runs, timeout=timeout, refusal=refusal)
            result = _result(connections, runs, followed)
            details = _details(connections, live=live)
    finally:
        if ours:
            errors.print("stopping everything", markup=False)
            stack.stop()
    result["seconds"] = round(time.monotonic() - began, 3)
    if as_json:
        print_json(result)
    else:
        _show(result, details, kept=str(stack.home) if ours else None)
    if followed.outage:
        raise followed.outage
    _judge(result, details, followed)


def _jobs(*, live: bool) -> list[tuple[str, dict[str, Any]]]:
    return [(name, {} if live else named) for name, named in _JOBS]


def _result(connections: Connections, runs: list[UUID], followed: RunProgress) -> dict[str, Any]:
    with connections.database.connection() as conn:
        rows = totals(conn)
        acknowledged = sum((Counter(events_of_run(conn, run)) for run in runs), Counter[str]())
    topics = (connections.settings.kafka_topic_market_data, connections.settings.kafka_topic_notifications)
    # Kafka itself is asked what it holds, unless it does not answer: then the ledger says what it has acknowledged.
    sent = {topic: acknowledged[topic] for topic in topics} if followed.outage else events(connections)
    found = [followed.summaries[run] for run in runs if run in followed.summaries]
    return {"jobs": {s.job: counts(s) for s in found}, "rows": rows, "events": sent}


def _details(connections: Connections, *, live: bool) -> dict[str, Any]:
    with connections.database.connection() as conn:
        instruments = by_instrument(conn)
        compared, different = (0, 0) if live else _compare(conn)
    return {"instruments": instruments, "compared": compared, "different": different}


def _compare(conn: Any) -> tuple[int, int]:
    """How many stored daily bars have a bundled real price, and how many of these differ from it in any field."""
    from fintrack_tasks.sandbox import real_daily_bars  # noqa: PLC0415  the local market, when all is done

    compared = different = 0
    for symbol, bars in real_daily_bars().items():
        for stored in daily_bars(conn, symbol):
            real = bars.get(stored["timestamp"].date())
            if real is None:
                continue
            compared += 1
            different += any(stored[field] != value for field, value in real.items() if value is not None)
    return compared, different


def _show(result: dict[str, Any], details: dict[str, Any], kept: str | None) -> None:
    columns = ["symbol", "class", "price", "in", "quoted at", "source", "daily bars", "span", "indicators"]
    rows = [_line(row) for row in details["instruments"]]
    console.print(table("in PostgreSQL now", columns, rows, spare=("quoted at", "class", "indicators", "source")))
    console.print()
    names = ["items", "loaded", "empty", "failed", "quarantined_rows"]
    console.print(table("jobs", ["job", *names], [[job, *(c[n] for n in names)] for job, c in result["jobs"].items()]))
    console.print()
    console.print(table("in Kafka now", ["topic", "events"], list(result["events"].items())))
    console.print()
    if details["compared"]:
        console.print(
            f"{details['compared']:,} daily bars compared with the bundled real prices: {details['different']} differ"
        )
    console.print(
        f"{result['seconds']:.1f} s"
        + (f"; the data stays in {kept}; keep it on schedule with: fintrack up" if kept else "")
    )


def _line(row: dict[str, Any]) -> list[Any]:
    """An instrument in the table's columns; times in UTC."""
    quoted = f"{row['quoted_at'].astimezone(UTC):%Y-%m-%d %H:%M:%S}" if row["quoted_at"] else None
    first, last = row["first_bar"], row["last_bar"]
    span = f"{first.astimezone(UTC):%Y-%m-%d} to {last.astimezone(UTC):%Y-%m-%d}" if first else None
    plain = [row[name] for name in ("symbol", "asset_class", "price", "currency")]
    return [*plain, quoted, row["source"], row["daily_bars"], span, row["indicators"]]


def _judge(result: dict[str, Any], details: dict[str, Any], followed: RunProgress) -> None:
    """Exit 0 only when every item is accounted for and no stored bar differs from its real price."""
    lost = [c["items"] - c["loaded"] - c["empty"] - c["failed"] for c in result["jobs"].values()]
    if not followed.ended:
        raise IncompleteError(
            f"not all items ended: {sum(lost)} are missing; see the logs in the folder logs of FINTRACK_HOME"
        )
    if not followed.complete:
        raise IncompleteError(f"{followed.waiting} events still wait in the outbox; see: fintrack health")
    if details["different"]:
        raise IncompleteError(f"{details['different']} stored bars differ from the bundled prices")
    if any(c["failed"] for c in result["jobs"].values()):
        raise typer.Exit(3)
