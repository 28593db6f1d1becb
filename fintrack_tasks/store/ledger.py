"""The ledger: what was asked for, where it stands, and why it ended. It outlives every process and the broker.

An item belongs to the newest generation of its message: one that reconcile enqueued again makes older messages stale.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import class_row, dict_row

from fintrack_tasks.domain import (
    AssetClass,
    Batch,
    Budget,
    Event,
    Instrument,
    Interval,
    Item,
    ItemState,
    Kind,
    TimeRange,
)
from fintrack_tasks.store import coverage, outbox, payloads
from fintrack_tasks.store.payloads import Payload

__all__ = [
    "LOADED",
    "MOST_LOSSES",
    "Begin",
    "RunSummary",
    "attempt",
    "begin",
    "count_quarantined",
    "create_run",
    "defer",
    "enqueue_again",
    "fetched",
    "finish",
    "finish_runs",
    "forget_answers",
    "has_ended",
    "item",
    "item_of",
    "loaded_values",
    "newest",
    "not_begun",
    "open_items",
    "overdue",
    "run_summaries",
    "run_summary",
    "running_run",
    "skip_run",
    "wait",
]

MOST_LOSSES: Final = 6
"""How often an item is enqueued again before it ends as lost. The waits double: four hours in all by default."""

_RUNNING_AT_MOST: Final = timedelta(hours=12)
"""A run that is older does not hold its job's next tick back."""


@dataclass(frozen=True, slots=True)
class Begin:
    """What a fetch finds: ``stale`` when it has nothing to do, a ``payload`` when the answer is kept already.

    ``attempts`` are those that gave no rows so far, as :func:`attempt` notes them.
    """

    stale: bool
    payload: Payload | None = None
    provider: str | None = None
    attempts: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run and how many of its items are in which state."""

    run_id: UUID
    job: str
    state: str
    reason: str | None
    created_at: datetime
    finished_at: datetime | None
    items: int
    queued: int
    fetched: int
    loaded: int
    empty: int
    failed: int
    quarantined_rows: int


_SUMMARY: Final = """
SELECT r.id AS run_id, r.job, r.state, r.reason, r.created_at, r.finished_at, count(i.id) AS items,
       count(*) FILTER (WHERE i.state = 'queued') AS queued, count(*) FILTER (WHERE i.state = 'fetched') AS fetched,
       count(*) FILTER (WHERE i.state = 'loaded') AS loaded, count(*) FILTER (WHERE i.state = 'empty') AS empty,
       count(*) FILTER (WHERE i.state = 'failed') AS failed,
       coalesce(sum(i.rows_quarantined), 0)::bigint AS quarantined_rows
FROM fintrack.runs r LEFT JOIN fintrack.run_items i ON i.run_id = r.id
WHERE r.id = ANY(%s) GROUP BY r.id ORDER BY r.created_at DESC, r.id DESC
"""


def create_run(
    conn: psycopg.Connection,
    run_id: UUID,
    job: str,
    arguments: dict[str, Any],
    items: Sequence[Item],
    deadline_at: datetime,
    now: datetime,
    reason: str | None = None,
) -> None:
    """Write a run and its items, all or none, before any of them is enqueued.

    :param reason: why something that was asked for is no item.
    """
    with conn.transaction():
        conn.execute(
            "INSERT INTO fintrack.runs (id, job, arguments, state, reason, created_at)"
            " VALUES (%s, %s, %s, 'running', %s, %s)",
            (run_id, job, json.dumps(arguments), reason, now),
        )
        with (
            conn.cursor() as cursor,
            cursor.copy(
                "COPY fintrack.run_items (id, run_id, instrument_id, kind, interval, window_start, window_end,"
                " deadline_at, created_at, budget, consensus) FROM STDIN"
            ) as copy,
        ):
            for item in items:
                window = (item.window.start, item.window.end) if item.window else (None, None)
                asked = (item.id, run_id, item.instrument_id, item.kind.value, item.interval, *window)
                copy.write_row((*asked, deadline_at, now, int(item.budget), item.consensus))


def skip_run(conn: psycopg.Connection, job: str, reason: str, now: datetime) -> UUID:
    """Note a tick of the schedule that was not carried out."""
    run_id = uuid4()
    conn.execute(
        "INSERT INTO fintrack.runs (id, job, arguments, state, reason, created_at, finished_at)"
        " VALUES (%s, %s, '{}', 'skipped', %s, %s, %s)",
        (run_id, job, reason, now, now),
    )
    return run_id


def running_run(conn: psycopg.Connection, job: str, now: datetime) -> UUID | None:
    """The newest run of a job over all registered instruments that has not ended.

    One that a person started for some symbols holds no tick of the schedule back.
    """
    row = conn.execute(
        "SELECT id FROM fintrack.runs WHERE job = %s AND finished_at IS NULL AND created_at > %s"
        " AND NOT arguments ? 'symbols' ORDER BY created_at DESC LIMIT 1",
        (job, now - _RUNNING_AT_MOST),
    ).fetchone()
    return row[0] if row else None


def begin(conn: psycopg.Connection, item: Item) -> Begin:
    """Whether this message may work on its item, and what is kept of it already. Reads only."""
    row = conn.execute(
        "SELECT finished_at IS NOT NULL OR generation > %s, state, payload_sha, provider, attempt_log"
        " FROM fintrack.run_items WHERE id = %s",
        (item.generation, item.id),
    ).fetchone()
    if row is None or row[0]:
        return Begin(stale=True)
    _, state, sha256, provider, attempts = row
    if item.resume and state == ItemState.FETCHED and sha256:
        return Begin(False, payloads.get(conn, sha256), provider, attempts)
    return Begin(stale=False, attempts=attempts)


def has_ended(conn: psycopg.Connection, item: Item) -> bool:
    """Whether an item has come to its end, by whatever message."""
    row = conn.execute("SELECT finished_at IS NOT NULL FROM fintrack.run_items WHERE id = %s", (item.id,)).fetchone()
    return bool(row and row[0])


_FETCHED: Final = f"""
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)), kept AS ({payloads.INSERT})
UPDATE fintrack.run_items SET state = 'fetched', provider = %s, payload_sha = %s, attempts = attempts + 1
FROM quick WHERE id = %s AND finished_at IS NULL
"""  # noqa: S608  built from constants


def fetched(conn: psycopg.Connection, item: Item, payload: Payload) -> None:
    """Keep a raw answer and note that the item has it, in one statement.

    The commit need not reach the disk at once: losing it costs one more request, and the commit of the load, which
    does, carries this one with it.
    """
    conn.execute(
        _FETCHED,
        (*payload.columns(), payload.provider, payload.sha256, item.id),
    )


def attempt(
    conn: psycopg.Connection,
    item: Item,
    provider: str,
    reason: str,
    detail: str,
    now: datetime,
    until: datetime | None = None,
    asked: bool = True,
    earliest: datetime | None = None,
) -> list[dict[str, Any]]:
    """Note an attempt that gave no rows; returns all attempts so far, oldest first.

    :param until: when the provider may be asked again, where that is known.
    :param earliest: from when on the provider keeps what was asked for, where it said so.
    :param asked: False when it was held back before the provider was asked.
    """
    entry: dict[str, Any] = {"provider": provider, "reason": reason, "detail": detail[:500], "at": now.isoformat()}
    if until:
        entry["until"] = until.isoformat()
    if not asked:
        entry["asked"] = False
    if earliest:
        entry["earliest"] = earliest.isoformat()
    row = conn.execute(
        "UPDATE fintrack.run_items SET state = 'queued', payload_sha = NULL,"
        # An answer was counted when it was kept; what was asked without one is counted here.
        " attempts = attempts + CASE WHEN %s AND payload_sha IS NULL THEN 1 ELSE 0 END, attempt_log = attempt_log ||"
        " jsonb_build_array(%s::jsonb || CASE WHEN payload_sha IS NULL THEN '{}'"
        " ELSE jsonb_build_object('payload', encode(payload_sha, 'hex')) END)"
        " WHERE id = %s AND finished_at IS NULL RETURNING attempt_log",
        (asked, json.dumps(entry), item.id),
    ).fetchone()
    return list(row[0]) if row else []


def wait(conn: psycopg.Connection, item: Item, now: datetime, seconds: float) -> None:
    """The item has a message on its way that may take so long: it is not lost before that."""
    conn.execute(
        "UPDATE fintrack.run_items SET state = 'queued', deadline_at = greatest(deadline_at, %s)"
        " WHERE id = %s AND finished_at IS NULL",
        (now + timedelta(seconds=seconds), item.id),
    )


def defer(conn: psycopg.Connection, item: Item, until: datetime) -> None:
    """The item has no message until then: reconcile enqueues it, and does not count it as lost."""
    conn.execute(
        "UPDATE fintrack.run_items SET state = 'queued', deferred = true, deadline_at = %s"
        " WHERE id = %s AND finished_at IS NULL",
        (until, item.id),
    )


def finish(
    conn: psycopg.Connection,
    item: Item,
    state: ItemState,
    reason: str,
    detail: str,
    provider: str | None,
    now: datetime,
    event: Event | None = None,
) -> bool:
    """End an item as empty or failed, once; returns whether this call did it.

    A failed item becomes a dead letter; an empty one confirms its window; an event goes to the outbox with it.
    """
    with conn.transaction():
        ended = conn.execute(
            "UPDATE fintrack.run_items SET state = %s, reason = %s, detail = %s, provider = coalesce(%s, provider),"
            " finished_at = %s WHERE id = %s AND finished_at IS NULL",
            (state.value, reason, detail[:2000], provider, now, item.id),
        ).rowcount
        if not ended:
            return False
        if state is ItemState.FAILED:
            conn.execute(
                "INSERT INTO fintrack.dead_letters (item_id, reason, detail, created_at) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (item_id) DO NOTHING",
                (item.id, reason, detail[:2000], now),
            )
        elif item.window and item.interval:
            coverage.record_empty(conn, item, now)
        if event is not None:
            outbox.add(conn, event, now)
    return True


LOADED: Final = """
    UPDATE fintrack.run_items r SET state = 'loaded', reason = NULL, detail = %(note)s, provider = %(source)s,
           rows_loaded = %(rows)s, finished_at = %(now)s
"""
"""How an item ends as loaded: a part of the statement that loads its rows, which says which item."""


def loaded_values(item: Item, batch: Batch, event: Event, now: datetime) -> dict[str, Any]:
    """The values of :data:`LOADED` and of the event that goes with it, by name."""
    return {
        "item": item.id,
        "instrument": item.instrument_id,
        "source": batch.source,
        "currency": batch.currency,
        **outbox.values_of(event, now),
        "run": item.run_id,
    }


def count_quarantined(conn: psycopg.Connection, item: Item, rows: int) -> None:
    """Note how many rows of an item are in quarantine."""
    conn.execute("UPDATE fintrack.run_items SET rows_quarantined = %s WHERE id = %s", (rows, item.id))


def forget_answers(conn: psycopg.Connection, received_before: datetime) -> None:
    """Let go of raw answers that nobody will replay: those of items that ended well with every row accepted."""
    conn.execute(
        "UPDATE fintrack.run_items r SET payload_sha = NULL FROM fintrack.payloads p"
        " WHERE p.sha256 = r.payload_sha AND p.received_at < %s AND r.state IN ('loaded', 'empty')"
        " AND r.rows_quarantined = 0",
        (received_before,),
    )


def overdue(conn: psycopg.Connection, now: datetime, grace: float, limit: int) -> tuple[list[Item], list[Item]]:
    """The items whose deadline has passed: those to enqueue again, as a new generation, and those given up.

    Two callers at once get different items. The next deadline is ``grace`` seconds from now, doubled each time.
    """
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "UPDATE fintrack.run_items r SET generation = r.generation + 1, deferred = false,"
            " losses = r.losses + CASE WHEN r.deferred THEN 0 ELSE 1 END,"
            " deadline_at = %(now)s + make_interval(secs => %(grace)s * 2 ^ least(r.losses + 1, 12))"
            " FROM fintrack.instruments i WHERE i.id = r.instrument_id AND r.id IN ("
            " SELECT id FROM fintrack.run_items WHERE finished_at IS NULL AND deadline_at < %(now)s"
            " ORDER BY deadline_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)"
            " RETURNING r.*, i.symbol, i.asset_class, i.currency, i.calendar",
            {"now": now, "grace": grace, "limit": limit},
        ).fetchall()
    return (
        [item_of(row) for row in rows if row["losses"] <= MOST_LOSSES],
        [item_of(row) for row in rows if row["losses"] > MOST_LOSSES],
    )


def not_begun(conn: psycopg.Connection, run_id: UUID) -> list[UUID]:
    """The items of a run that nobody has begun: the dispatch that enqueues them may have been cut off."""
    rows = conn.execute(
        "SELECT id FROM fintrack.run_items WHERE run_id = %s AND finished_at IS NULL AND state = 'queued'"
        " AND attempts = 0 AND NOT deferred",
        (run_id,),
    ).fetchall()
    return [item for (item,) in rows]


def open_items(conn: psycopg.Connection, before: datetime, limit: int) -> dict[UUID, UUID]:
    """The items that have neither ended nor wait in the ledger, planned before a moment, with their runs."""
    return dict(
        conn.execute(
            "SELECT id, run_id FROM fintrack.run_items WHERE finished_at IS NULL AND NOT deferred AND created_at < %s"
            " LIMIT %s",
            (before, limit),
        ).fetchall()
    )


def enqueue_again(conn: psycopg.Connection, items: Sequence[UUID], now: datetime, grace: float) -> list[Item]:
    """These of the open items as a new generation, which does not count as a loss; what is not open is left out.

    Their deadlines are ``grace`` seconds from now, or later.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "UPDATE fintrack.run_items r SET generation = r.generation + 1,"
            " deadline_at = greatest(r.deadline_at, %s::timestamptz + make_interval(secs => %s))"
            " FROM fintrack.instruments i WHERE i.id = r.instrument_id AND r.id = ANY(%s) AND r.finished_at IS NULL"
            " AND NOT r.deferred RETURNING r.*, i.symbol, i.asset_class, i.currency, i.calendar",
            (now, grace, list(items)),
        ).fetchall()
    return [item_of(row) for row in rows]


def item_of(row: Mapping[str, Any]) -> Item:
    """The item of a row of ``run_items`` with ``symbol``, ``asset_class``, ``currency`` and ``calendar`` of its
    instrument; its message may take up what an earlier one kept."""
    window = TimeRange(row["window_start"], row["window_end"]) if row["window_start"] else None
    return Item(
        row["id"],
        row["run_id"],
        Kind(row["kind"]),
        Instrument(row["symbol"], AssetClass(row["asset_class"]), row["currency"], row["calendar"]),
        row["instrument_id"],
        Interval(row["interval"]) if row["interval"] else None,
        window,
        row["generation"],
        resume=True,
        budget=Budget(row["budget"]),
        consensus=row["consensus"],
    )


def finish_runs(conn: psycopg.Connection, now: datetime) -> list[RunSummary]:
    """Close the runs all of whose items have ended; returns those that this call closed."""
    closed = conn.execute(
        "UPDATE fintrack.runs r SET finished_at = %s, state = (SELECT CASE"
        " WHEN count(*) FILTER (WHERE i.state = 'failed') = 0 THEN 'finished'"
        " WHEN bool_and(i.state = 'failed') THEN 'failed' ELSE 'partial' END"
        " FROM fintrack.run_items i WHERE i.run_id = r.id) WHERE r.id IN (SELECT id FROM fintrack.runs o"
        " WHERE o.finished_at IS NULL AND NOT EXISTS (SELECT FROM fintrack.run_items i WHERE i.run_id = o.id"
        " AND i.finished_at IS NULL) FOR UPDATE SKIP LOCKED) RETURNING r.id",
        (now,),
    ).fetchall()
    return [summary for (run_id,) in closed if (summary := run_summary(conn, run_id))]


def run_summary(conn: psycopg.Connection, run_id: UUID) -> RunSummary | None:
    """One run, ``None`` when there is none of that id."""
    found = run_summaries(conn, [run_id])
    return found[0] if found else None


def run_summaries(conn: psycopg.Connection, run_ids: Sequence[UUID]) -> list[RunSummary]:
    """Runs with the counts of their items, newest first; what is no run is left out."""
    with conn.cursor(row_factory=class_row(RunSummary)) as cursor:
        return cursor.execute(_SUMMARY, (list(run_ids),)).fetchall()


def newest(conn: psycopg.Connection, limit: int) -> list[tuple[UUID, str, datetime]]:
    """The newest runs: id, job, and when each was planned."""
    return conn.execute(
        "SELECT id, job, created_at FROM fintrack.runs ORDER BY created_at DESC LIMIT %s", (limit,)
    ).fetchall()


def item(conn: psycopg.Connection, item_id: UUID) -> Item | None:
    """One item, ``None`` when there is none of that id."""
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            "SELECT r.*, i.symbol, i.asset_class, i.currency, i.calendar FROM fintrack.run_items r"
            " JOIN fintrack.instruments i ON i.id = r.instrument_id WHERE r.id = %s",
            (item_id,),
        ).fetchone()
    return item_of(row) if row else None
