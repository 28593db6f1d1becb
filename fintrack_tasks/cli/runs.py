"""``fintrack runs``: lists runs of the ledger and the items of one; ``fintrack run`` starts one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from fintrack_tasks.cli import completion
from fintrack_tasks.cli.command_groups import group
from fintrack_tasks.cli.context import open_connections, utc_now
from fintrack_tasks.cli.output import console, print_json, table
from fintrack_tasks.cli.run_progress import counts
from fintrack_tasks.domain import ItemState
from fintrack_tasks.errors import UsageError
from fintrack_tasks.queries import runs
from fintrack_tasks.store.runs import RunSummary, run_summary

app = group("Runs and their items.")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")]


@app.command("list")
def list_runs(
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1, max=1000)] = 20, as_json: AsJson = False
) -> None:
    """The newest runs."""
    with open_connections(reading=True) as connections, connections.database.connection() as conn:
        found = runs.newest_runs(conn, limit)
    if as_json:
        print_json(
            {
                "runs": [
                    {
                        "run_id": r.run_id,
                        "job": r.job,
                        "state": r.state,
                        **counts(r),
                        "created_at": r.created_at,
                        "finished_at": r.finished_at,
                    }
                    for r in found
                ]
            }
        )
        return
    names = ["items", "loaded", "empty", "failed", "quarantined_rows"]
    rows = [
        [str(r.run_id), r.job, r.state, *(counts(r)[n] for n in names), f"{r.created_at:%Y-%m-%d %H:%M:%S}"]
        for r in found
    ]
    columns = ["run", "job", "state", *names, "created (UTC)"]
    spare = ("quarantined_rows", "empty", "loaded", "created (UTC)", "items", "failed")
    console.print(table("runs", columns, rows, spare))


@app.command("show")
def show(
    run: Annotated[str, typer.Argument(help="The run's id.", autocompletion=completion.run_id)],
    state: Annotated[ItemState | None, typer.Option(help="Only items in this state.")] = None,
    as_json: AsJson = False,
) -> None:
    """One run, item by item: what became of it, where from, and why."""
    try:
        run_id = UUID(run)
    except ValueError:
        raise UsageError(f"not a run's id: {run!r:.60}; see: fintrack runs list") from None
    with open_connections(reading=True) as connections, connections.database.connection() as conn:
        summary = run_summary(conn, run_id)
        if summary is None:
            raise UsageError(f"no run {run_id}; see: fintrack runs list")
        found = runs.items_of_run(conn, run_id, states=(state.value,) if state else None)
    now = utc_now()
    for item in found:
        item["waits_for"] = waits_for(item, now)
    if as_json:
        fields = {"run_id": run_id, "job": summary.job, "state": summary.state, "note": summary.reason}
        print_json({**fields, **counts(summary), "item_list": found})
        return
    _print_run(summary, found)


def _print_run(summary: RunSummary, items: list[dict[str, Any]]) -> None:
    title = f"run {summary.run_id}: {summary.state}"
    console.print(table(title, ["job", *counts(summary)], [[summary.job, *counts(summary).values()]]))
    if summary.reason:
        console.print(f"note: {summary.reason}", markup=False, soft_wrap=True)
    console.print()
    names = (
        "symbol",
        "interval",
        "state",
        "provider",
        "attempts",
        "rows_loaded",
        "rows_quarantined",
        "reason",
        "detail",
    )
    spare = ("attempts", "rows_quarantined", "interval", "rows_loaded", "provider")
    for item in items:
        item["reason"] = item["reason"] or item["waits_for"]
    console.print(table("items", names, [[item.get(name) for name in names] for item in items], spare))


def waits_for(item: Mapping[str, Any], now: datetime) -> str | None:
    """What an item that has not ended waits for, in words; ``None`` for one that has."""
    if item["finished_at"]:
        return None
    last = item["attempt_log"][-1] if item["attempt_log"] else None
    after = f" after {last['provider']}: {last['reason']}" if last else ""
    if item["deadline_at"] <= now:
        return f"waits for reconcile, which takes it up again within a minute{after}"
    if item["state"] == ItemState.FETCHED:
        return "waits for a worker of the queue etl; its answer is kept"
    if item["deferred"]:
        return f"waits until {item['deadline_at']:%Y-%m-%d %H:%M:%S} UTC{after}"
    if last:
        return f"waits for its next attempt{after}"
    return "waits for a worker of its provider's queue, or for a place in the quota"
