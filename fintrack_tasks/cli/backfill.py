"""``fintrack backfill``: deep history, planned against the same budget that the gate holds."""

from __future__ import annotations

import time
from collections import Counter
from typing import Annotated, Any, Final

import typer

from fintrack_tasks.cli import completion
from fintrack_tasks.cli.command_groups import group
from fintrack_tasks.cli.context import open_connections, utc_now
from fintrack_tasks.cli.output import console, errors, print_json, table
from fintrack_tasks.cli.run import NAMES, Job, follow_run, listed
from fintrack_tasks.cli.run_progress import counts
from fintrack_tasks.connections import Connections
from fintrack_tasks.domain import AssetClass, Budget, Item
from fintrack_tasks.fetch import providers, route
from fintrack_tasks.fetch.quota.limits import floors_of, quotas_of, windows
from fintrack_tasks.pipeline import plan
from fintrack_tasks.pipeline.plan import Plan
from fintrack_tasks.pipeline.run_arguments import Arguments, check_arguments
from fintrack_tasks.pipeline.span import check_span
from fintrack_tasks.queries import runs
from fintrack_tasks.settings import Settings, load_settings
from fintrack_tasks.store.connection import require_schema

app = group("Deep history, within what the quotas leave.")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")]
Symbols = Annotated[
    str | None, typer.Option(help="Such as AAPL,BTC-USD; default: all registered.", autocompletion=completion.symbols)
]
Intervals = Annotated[str | None, typer.Option(help="Of 1d,1h,15m; default 1d.", autocompletion=completion.intervals)]
Start = Annotated[str | None, typer.Option(help="First date, such as 2010-01-31.")]
End = Annotated[str | None, typer.Option(help="The date after the last one.")]
Class = Annotated[AssetClass | None, typer.Option("--asset-class", help="Overrules what the symbols' form says.")]

_JOB: Final = NAMES[Job.HISTORICAL]
_BUDGET: Final = Budget.DEEP_BACKFILL.name.lower()


def _given_options(**given: Any) -> dict[str, Any]:
    named = {**given, "symbols": listed(given["symbols"]), "intervals": listed(given["intervals"])}
    return {name: value for name, value in named.items() if value is not None} | {"budget": _BUDGET}


@app.command("plan")
def plan_run(
    symbols: Symbols = None,
    intervals: Intervals = None,
    start: Start = None,
    end: End = None,
    asset_class: Class = None,
    as_json: AsJson = False,
) -> None:
    """What is missing, how many requests that takes of whom, and how long within the quotas. Nothing is enqueued."""
    named = _given_options(symbols=symbols, intervals=intervals, start=start, end=end, asset_class=asset_class)
    arguments, settings = check_arguments(_JOB, now=utc_now(), **named), load_settings()
    check_span(arguments, settings, utc_now())
    with open_connections(settings) as connections:
        planned = _make_plan(connections, arguments)
        items = list(planned.items)
        needs = _needs(connections, items)
    refused = [{"symbol": one.item.instrument.symbol, "detail": one.detail} for one in planned.refused]
    seconds = max((need["seconds"] for need in needs), default=0.0)
    if as_json:
        note = {"note": planned.note} if planned.note else {}
        told = {"refused": refused} if refused else {}
        print_json({"items": len(items), "providers": needs, "seconds": seconds, **note, **told})
        return
    for one in refused:
        errors.print(f"{one['symbol']} cannot be asked for: {one['detail']}", markup=False, soft_wrap=True)
    if planned.note:
        errors.print(f"not asked for: {planned.note}", markup=False, soft_wrap=True)
    elif not items:
        console.print("nothing is missing")
    if not items:
        return
    rows = [
        [need["provider"], need["requests"], _quota_text(need["quotas"]), _duration(need["seconds"])] for need in needs
    ]
    console.print(table("backfill", ["provider", "requests", "for backfills: now free of limit", "takes about"], rows))
    console.print(f"{len(items)} windows; start it with: fintrack backfill run and the same options")


def _make_plan(connections: Connections, arguments: Arguments) -> Plan:
    with connections.database.connection() as conn:
        require_schema(conn)
        return plan.plan_run(conn, arguments, connections.settings, utc_now())


def _needs(connections: Connections, items: list[Item]) -> list[dict[str, Any]]:
    """For each first provider of an item's route its requests, its quotas as they stand, and the seconds they take."""
    settings = connections.settings
    first = Counter(_first_provider(item, settings) for item in items)
    found = []
    for name, requests in sorted(first.items()):
        if not name:
            found.append({"provider": "nobody", "requests": requests, "quotas": [], "seconds": 0.0})
            continue
        facts = providers.provider(name).facts
        held = [w for w in windows(quotas_of(facts, settings), floors_of(settings)) if w.hold]
        standings = connections.gate.standing(facts)
        quotas = []
        for number, window in enumerate(held):
            share = window.caps[Budget.DEEP_BACKFILL - 1]
            free = sum(max(0, share - standing.used[number][2]) for standing in standings)
            quotas.append(
                {
                    "limit": window.limit,
                    "seconds": window.seconds,
                    "keys": len(standings),
                    "for_backfill": share * len(standings),
                    "free_now": free,
                }
            )
        found.append({"provider": name, "requests": requests, "quotas": quotas, "seconds": _seconds(requests, quotas)})
    return found


def _first_provider(item: Item, settings: Settings) -> str:
    """The provider that is asked first: of the item's route the first that keeps its window, or the first.

    Empty when nobody can answer, for lack of a key or altogether.
    """
    names, start = route.available(item.instrument, item.kind, item.interval, settings), item.window
    limits = {name: route.kept_from(name, item.interval, settings, utc_now()) for name in names}
    keeping = (name for name, limit in limits.items() if not limit or not start or limit <= start.start)
    return next(keeping, next(iter(names), ""))


def _seconds(requests: int, quotas: list[dict[str, Any]]) -> float:
    """What is free now goes at once; the rest at the share of each window that backfills may take."""
    waits = [max(0, requests - q["free_now"]) / q["for_backfill"] * q["seconds"] for q in quotas]
    return round(max(waits, default=0.0), 1)


def _quota_text(quotas: list[dict[str, Any]]) -> str:
    parts = (f"{q['free_now']} of {q['limit'] * q['keys']} per {_duration(q['seconds'])}" for q in quotas)
    return ", ".join(parts) or "unlimited"


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


@app.command("run")
def run(
    symbols: Symbols = None,
    intervals: Intervals = None,
    start: Start = None,
    end: End = None,
    asset_class: Class = None,
    timeout: Annotated[float, typer.Option(help="Seconds to watch it; it goes on afterwards.", min=1)] = 86_400.0,
    as_json: AsJson = False,
) -> None:
    """Fetch what is missing, behind quotes and gap repair, and follow it; Ctrl-C stops watching, not the work."""
    named = _given_options(symbols=symbols, intervals=intervals, start=start, end=end, asset_class=asset_class)
    check_span(check_arguments(_JOB, now=utc_now(), **named), load_settings(), utc_now())
    began = time.monotonic()
    follow_run(_JOB, named, began, timeout=timeout, as_json=as_json)


@app.command("status")
def status(
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1, max=1000)] = 10, as_json: AsJson = False
) -> None:
    """The newest backfills: what is done, what waits for a quota, what failed."""
    with open_connections(reading=True) as connections, connections.database.connection() as conn:
        require_schema(conn)
        found = runs.newest_runs(conn, limit, budget=_BUDGET)
        waiting = {summary.run_id: runs.waiting_of_run(conn, summary.run_id) for summary in found}
    if as_json:
        rows = [
            {"run_id": s.run_id, "state": s.state, **counts(s), **waiting[s.run_id], "created_at": s.created_at}
            for s in found
        ]
        print_json({"backfills": rows})
        return
    columns = ["run", "state", "items", "loaded", "empty", "failed", "deferred", "next at (UTC)"]
    lines = []
    for s in found:
        later = waiting[s.run_id]
        at = f"{later['next_at']:%Y-%m-%d %H:%M}" if later["next_at"] else None
        lines.append([str(s.run_id), s.state, s.items, s.loaded, s.empty, s.failed, later["deferred"], at])
    console.print(table("backfills", columns, lines))
