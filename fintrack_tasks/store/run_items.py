"""The table of run items: the state of each, its attempts, and how it ended.

Every change of a state is made here, once: a statement that finds the item ended, or under a newer generation of its
message, changes nothing. An item belongs to the newest generation of its message: one that was enqueued again
(:mod:`fintrack_tasks.store.lost_items`) makes older messages stale.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

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
    "Begin",
    "begin",
    "count_quarantined",
    "defer",
    "extend_deadline",
    "find_item",
    "finish",
    "forget_answers",
    "has_ended",
    "item_of",
    "keep_answer",
    "loaded_values",
    "note_attempt",
]


@dataclass(frozen=True, slots=True)
class Begin:
    """What a fetch starts from: ``stale``: another message owns the item; ``payload``: an answer is kept already.

    ``attempts`` are those that gave no rows so far, as :func:`note_attempt` notes them.
    """

    stale: bool
    payload: Payload | None = None
    provider: str | None = None
    attempts: Sequence[Mapping[str, Any]] = ()


def begin(conn: psycopg.Connection, item: Item) -> Begin:
    """Whether this message may work on its item, and the answer that is kept already. Reads only."""
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
    """Whether an item has ended."""
    row = conn.execute("SELECT finished_at IS NOT NULL FROM fintrack.run_items WHERE id = %s", (item.id,)).fetchone()
    return bool(row and row[0])


_FETCHED: Final = f"""
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)), kept AS ({payloads.INSERT})
UPDATE fintrack.run_items SET state = 'fetched', provider = %s, payload_sha = %s, attempts = attempts + 1
FROM quick WHERE id = %s AND finished_at IS NULL
"""  # noqa: S608  built from constants


def keep_answer(conn: psycopg.Connection, item: Item, payload: Payload) -> None:
    """Write a raw answer and mark the item as fetched, in one statement.

    The commit need not reach the disk at once: losing it costs one more request, and the commit of the load, which
    does, carries this one with it.
    """
    conn.execute(
        _FETCHED,
        (*payload.columns(), payload.provider, payload.sha256, item.id),
    )


_NOTE_ATTEMPT: Final = """
UPDATE fintrack.run_items SET state = 'queued', payload_sha = NULL,
-- An answer was counted when it was kept; what was asked without one is counted here.
attempts = attempts + CASE WHEN %s AND payload_sha IS NULL THEN 1 ELSE 0 END, attempt_log = attempt_log ||
jsonb_build_array(%s::jsonb || CASE WHEN payload_sha IS NULL THEN '{}'
ELSE jsonb_build_object('payload', encode(payload_sha, 'hex')) END)
WHERE id = %s AND finished_at IS NULL RETURNING attempt_log
"""


def note_attempt(
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
    """Append an attempt that gave no rows; returns all attempts so far, oldest first.

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
        _NOTE_ATTEMPT,
        (asked, json.dumps(entry), item.id),
    ).fetchone()
    return list(row[0]) if row else []


def extend_deadline(conn: psycopg.Connection, item: Item, now: datetime, seconds: float) -> None:
    """Move the deadline of an item whose message comes in so many seconds."""
    conn.execute(
        "UPDATE fintrack.run_items SET state = 'queued', deadline_at = greatest(deadline_at, %s)"
        " WHERE id = %s AND finished_at IS NULL",
        (now + timedelta(seconds=seconds), item.id),
    )


def defer(conn: psycopg.Connection, item: Item, until: datetime) -> None:
    """Park an item without a message: reconcile enqueues it at that time, not as a loss."""
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
    """Set how many rows of an item are in quarantine."""
    conn.execute("UPDATE fintrack.run_items SET rows_quarantined = %s WHERE id = %s", (rows, item.id))


def forget_answers(conn: psycopg.Connection, received_before: datetime) -> None:
    """Unlink raw answers that need no replay: those of items that ended well with every row accepted."""
    conn.execute(
        "UPDATE fintrack.run_items r SET payload_sha = NULL FROM fintrack.payloads p"
        " WHERE p.sha256 = r.payload_sha AND p.received_at < %s AND r.state IN ('loaded', 'empty')"
        " AND r.rows_quarantined = 0",
        (received_before,),
    )


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


def find_item(conn: psycopg.Connection, item_id: UUID) -> Item | None:
    """One item, ``None`` when there is none of that id."""
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            "SELECT r.*, i.symbol, i.asset_class, i.currency, i.calendar FROM fintrack.run_items r"
            " JOIN fintrack.instruments i ON i.id = r.instrument_id WHERE r.id = %s",
            (item_id,),
        ).fetchone()
    return item_of(row) if row else None
