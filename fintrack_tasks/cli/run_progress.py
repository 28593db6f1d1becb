"""Follow runs in the ledger until all items have ended and their events are published, with a progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fintrack_tasks.cli.output import errors
from fintrack_tasks.connections import Connections
from fintrack_tasks.errors import FinTrackError, OutageError
from fintrack_tasks.queries.runs import events_waiting, next_deadline
from fintrack_tasks.settings import Settings
from fintrack_tasks.store.connection import Database
from fintrack_tasks.store.runs import RunSummary, run_summary

__all__ = ["Patience", "RunProgress", "counts", "follow"]

_POLL_SECONDS: Final = 0.15
_SILENCE_SECONDS: Final = 10.0
_ASK_SECONDS: Final = 3.0
_RECOVERY_SECONDS: Final = 75.0
"""After an item's deadline the schedule's reconcile, which runs each minute, enqueues it again."""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far some runs have come.

    :ivar summaries: those of the runs that have begun.
    :ivar waiting: how many of their events are still in the outbox.
    :ivar oldest: the number of the outbox's oldest event, whosever it is.
    :ivar due: when the first item that has not ended is enqueued again.
    :ivar outage: why the events do not leave, when they were waited for in vain.
    """

    runs: int
    summaries: dict[UUID, RunSummary] = field(default_factory=dict)
    waiting: int = 0
    oldest: int | None = None
    due: datetime | None = None
    outage: OutageError | None = None

    @property
    def ended(self) -> bool:
        """Whether every item has ended."""
        return len(self.summaries) == self.runs and all(_done(s) == s.items for s in self.summaries.values())

    @property
    def complete(self) -> bool:
        """Whether nothing is left to wait for."""
        return self.ended and not self.waiting and all(s.finished_at for s in self.summaries.values())


class Patience:
    """How long runs may stand still before waiting for them is given up.

    :param deadline: seconds after which an item counts as lost.
    :param began: the monotonic time at which waiting began.
    :param silence: seconds that the outbox may stand still, after the last item, before Kafka is doubted.
    """

    def __init__(self, deadline: float, began: float, silence: float = _SILENCE_SECONDS) -> None:
        self._deadline = deadline
        self._silence = silence
        self._seen: Any = None
        self._moved = began
        self._oldest: int | None = None
        self._asked = began

    def is_over(self, seen: RunProgress, clock: float, now: datetime) -> bool:
        """Whether nothing happens any more that could bring the runs to their end."""
        state = (tuple(seen.summaries.values()), seen.waiting, seen.due, seen.oldest if seen.ended else None)
        if state != self._seen:
            self._seen, self._moved = state, clock
        if seen.due and now < seen.due + timedelta(seconds=_RECOVERY_SECONDS):
            return False
        still = _RECOVERY_SECONDS if seen.ended else self._deadline + _RECOVERY_SECONDS
        return clock - self._moved > still

    def doubts_kafka(self, seen: RunProgress, clock: float) -> bool:
        """Whether the outbox has stood still for so long, with nothing else left to do, that Kafka should be asked."""
        if not seen.ended or seen.oldest != self._oldest:
            self._oldest, self._asked = seen.oldest, clock
            return False
        if clock - self._asked <= self._silence:
            return False
        self._asked = clock
        return True


def follow(
    connections: Connections,
    runs: Sequence[UUID],
    *,
    timeout: float,
    silence: float = _SILENCE_SECONDS,
    refusal: Callable[[UUID], FinTrackError | None] = lambda _: None,
) -> RunProgress:
    """Wait until the runs are complete and their events have left the outbox; how far they came when that is in vain.

    :param timeout: seconds in all.
    :param silence: seconds that the outbox may stand still, after the last item, before Kafka is asked.
    :param refusal: why a run that has not begun never will; ``None`` as long as it may.
    :raises FinTrackError: that of the first run that was refused.
    """
    settings = connections.settings
    began = time.monotonic()
    patience = Patience(settings.fintrack_item_deadline_seconds, began, silence)
    with _bars() as bars:
        rows = [bars.add_task("waiting for a worker", total=None, note="") for _ in runs]
        while True:
            seen = _look(connections.database, runs)
            _show(bars, rows, runs, seen)
            for run in runs:
                if run not in seen.summaries and (refused := refusal(run)):
                    raise refused
            if seen.complete:
                return seen
            clock = time.monotonic()
            stands = patience.is_over(seen, clock, datetime.now(tz=UTC))
            over = stands or clock - began > timeout
            if patience.doubts_kafka(seen, clock) or (over and seen.ended):
                seen = replace(seen, outage=_outage(settings, seen, stands=stands))
            if over or seen.outage:
                return seen
            time.sleep(_POLL_SECONDS)  # the ledger is polled: a person watches, nothing waits on this


def _look(database: Database, runs: Sequence[UUID]) -> RunProgress:
    with database.connection() as conn:
        found = {run: summary for run in runs if (summary := run_summary(conn, run))}
        waiting, oldest = events_waiting(conn, runs)
        return RunProgress(len(runs), found, waiting, oldest, next_deadline(conn, runs))


def _outage(settings: Settings, seen: RunProgress, *, stands: bool) -> OutageError | None:
    """Why events stay in the outbox; nothing as long as Kafka answers and something moves."""
    from fintrack_tasks.publish.kafka import Cluster, ensure_topics  # noqa: PLC0415  Kafka's client, where it is in doubt

    one = seen.waiting == 1
    waits = "1 event waits in the outbox" if one else f"{seen.waiting} events wait in the outbox"
    try:
        ensure_topics(Cluster.of(settings), (), timeout=_ASK_SECONDS)
    except OutageError as error:
        remedy = f"{waits} and {'goes' if one else 'go'} out when it is back; {error.remedy}"
        return OutageError("Kafka", settings.kafka_bootstrap_servers, remedy)
    remedy = f"{waits}; see: fintrack health"
    return OutageError("a Celery worker", "the queue publish", remedy) if stands else None


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=errors,
        disable=not errors.is_terminal,
    )


def _show(bars: Progress, rows: Sequence[Any], runs: Sequence[UUID], seen: RunProgress) -> None:
    for row, run in zip(rows, runs, strict=True):
        if summary := seen.summaries.get(run):
            note = f"{summary.failed} failed" if summary.failed else ""
            if seen.ended and seen.waiting:
                note = f"{note}, waiting for Kafka".removeprefix(", ")
            bars.update(row, description=summary.job, total=summary.items, completed=_done(summary), note=note)


def _done(summary: RunSummary) -> int:
    return summary.loaded + summary.empty + summary.failed


def counts(summary: RunSummary) -> dict[str, int]:
    """A run's figures as ``demo --json`` and ``run --json`` report them."""
    return {
        "items": summary.items,
        "loaded": summary.loaded,
        "empty": summary.empty,
        "failed": summary.failed,
        "quarantined_rows": summary.quarantined_rows,
    }
