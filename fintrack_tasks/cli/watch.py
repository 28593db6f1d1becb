"""Follow runs in the ledger until every item has ended, with a progress bar when a person watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fintrack_tasks.cli.output import errors
from fintrack_tasks.errors import OutageError
from fintrack_tasks.store import ledger, outbox
from fintrack_tasks.store.connection import Database
from fintrack_tasks.store.ledger import RunSummary

__all__ = ["counts", "follow"]

_POLL_SECONDS = 0.15


def follow(
    database: Database, runs: Sequence[UUID], *, timeout: float, patience: float = 60.0
) -> dict[UUID, RunSummary]:
    """Wait until the runs are complete and their events have left the outbox.

    :param timeout: seconds in all.
    :param patience: seconds without any change after which waiting is given up.
    :returns: the last summary of each run; those of a run that did not begin are absent.
    """
    seen: dict[UUID, RunSummary] = {}
    deadline, changed, last = time.monotonic() + timeout, time.monotonic(), None
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=errors,
        disable=not errors.is_terminal,
    )
    with bars as progress:
        rows: dict[UUID, Any] = {run: progress.add_task("waiting for a worker", total=None, note="") for run in runs}
        while True:
            with database.connection() as conn:
                for run in runs:
                    if summary := ledger.run_summary(conn, run):
                        seen[run] = summary
                waiting = outbox.lag(conn)
            for run, summary in seen.items():
                done = summary.loaded + summary.empty + summary.failed
                note = f"{summary.failed} failed" if summary.failed else ""
                progress.update(rows[run], description=summary.job, total=summary.items, completed=done, note=note)
            if len(seen) == len(runs) and all(s.finished_at for s in seen.values()) and not waiting:
                return seen
            state = (tuple(seen.values()), waiting)
            if state != last:
                last, changed = state, time.monotonic()
            if time.monotonic() > deadline or time.monotonic() - changed > patience:
                return seen
            time.sleep(_POLL_SECONDS)  # the ledger is polled: a person watches, nothing waits on this


def counts(summary: RunSummary) -> dict[str, int]:
    """A run's figures as ``demo --json`` and ``run --json`` report them."""
    return {
        "items": summary.items,
        "loaded": summary.loaded,
        "empty": summary.empty,
        "failed": summary.failed,
        "quarantined_rows": summary.quarantined_rows,
    }


def require_workers(ping: Callable[[], Sequence[Any]]) -> None:
    """Refuse to enqueue what nobody would work on.

    :raises OutageError: when no worker answers.
    """
    if not ping():
        raise OutageError("Celery workers", "the queues fetch.*, etl, ops")
