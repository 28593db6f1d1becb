"""The load stage: an item's rows and everything derived from them, written in one order and one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import psycopg

from fintrack_tasks.domain import Batch, Event, Interval, Item, ItemState, Kind, uuid7
from fintrack_tasks.fetch import route
from fintrack_tasks.pipeline import indicators
from fintrack_tasks.pipeline.availability import record_rest, window_asked
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.outcome import Ended
from fintrack_tasks.publish import messages
from fintrack_tasks.sessions import are_final, requestable_bars, requested_stamps
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import alerts, corporate_actions, coverage, database_mode, fx_rates, quality
from fintrack_tasks.store.bars import load_bars, merge_bars, stands
from fintrack_tasks.store.quotes import load_quote, merge_quote
from fintrack_tasks.transform.corporate_actions import actions_of
from fintrack_tasks.transform.currency import fx_rate_of

__all__ = ["add_actions", "load_item", "load_released_row"]


def load_item(item: Item, batch: Batch, *, context: StageContext) -> Ended:
    """Write rows, revisions, ledger and outbox in one transaction; nothing once the item has ended (idempotent)."""
    topic, event_id = context.settings.kafka_topic_market_data, uuid7(context.now.timestamp())
    event = messages.item_loaded(
        item, batch, topic, context.now, event_id, simulated=database_mode.is_simulated(context.database)
    )
    with context.database.connection() as conn:
        if item.kind is Kind.QUOTE:
            done = _load_quote(conn, item, batch, event, context.now)
        else:
            done = _load_bars(conn, item, batch, event, context.settings, context.now)
    return Ended(ItemState.LOADED) if done else Ended("stale")


def load_released_row(
    conn: psycopg.Connection, item: Item, batch: Batch, event: Event, now: datetime, seen_at: datetime
) -> bool:
    """Write a row that came at ``seen_at`` and was kept out until now, in the caller's transaction.

    Its item stays as it ended. False for a provisional bar where a final one is stored: then nothing is written.
    """
    if item.kind is Kind.QUOTE:
        merge_quote(conn, item, batch, event, now)
    else:
        stamps = [int(stamp) for stamp in batch.columns["timestamp"]]
        closed = are_final(item.instrument, item.interval or Interval.D1, stamps, seen_at)
        if not closed[0] and stands(conn, item, stamps[0]):
            return False
        merge_bars(conn, item, batch, event, now, closed)
    _write_derived(conn, item, batch, now, told_at=seen_at)
    return True


def _load_quote(conn: psycopg.Connection, item: Item, batch: Batch, event: Event, now: datetime) -> bool:
    if not batch.meta.get("metrics") and not fx_rate_of(item.instrument, batch):
        return load_quote(conn, item, batch, event, now)  # nothing follows from it: one statement, one round trip
    with conn.transaction():
        if not load_quote(conn, item, batch, event, now):
            return False
        _write_derived(conn, item, batch, now)
    return True


def _load_bars(
    conn: psycopg.Connection, item: Item, batch: Batch, event: Event, settings: Settings, now: datetime
) -> bool:
    interval = item.interval or Interval.D1
    stamps = [int(stamp) for stamp in batch.columns["timestamp"]]
    closed = are_final(item.instrument, interval, stamps, now)
    preferred = route.before(item.instrument, item.kind, interval, batch.source, settings)
    with conn.transaction():
        if not load_bars(conn, item, batch, event, now, closed, preferred):
            return False
        _write_derived(conn, item, batch, now)
        _write_coverage(conn, item, batch, stamps, now)
    return True


def _write_derived(
    conn: psycopg.Connection, item: Item, batch: Batch, now: datetime, *, told_at: datetime | None = None
) -> None:
    """Write what follows from rows, in an order in which each may rely on the one before it.

    The outdated indicators, the corporate actions beside the rows, the fx rate that a quote of a currency pair is, and
    the metrics that came with the batch.
    """
    if item.kind is not Kind.QUOTE:
        indicators.recompute(conn, item, batch, now)
        add_actions(conn, item, batch, now, told_at=told_at)
        return
    if rate := fx_rate_of(item.instrument, batch):
        fx_rates.add(conn, [rate], now, item_id=item.id)
    if measured := batch.meta.get("metrics"):
        quality.add(conn, item, measured, now)


def _write_coverage(conn: psycopg.Connection, item: Item, batch: Batch, stamps: Sequence[int], now: datetime) -> None:
    """Record what was asked for and did not come: not kept by the provider, or left out of a closed window.

    Asking for the latter again every night would not help.
    """
    if not (asked := window_asked(item, batch)):
        return
    interval = item.interval or Interval.D1
    record_rest(conn, item, asked, [batch.source], now)
    expected = requestable_bars(item.instrument, interval, asked)
    absent = sorted(set(expected) - set(requested_stamps(item.instrument, interval, stamps)))
    gone = [m for m, final in zip(absent, are_final(item.instrument, interval, absent, now), strict=True) if final]
    coverage.record_absent(conn, item, gone, now)


def add_actions(
    conn: psycopg.Connection, item: Item, batch: Batch, now: datetime, *, told_at: datetime | None = None
) -> None:
    """Write the corporate actions beside a clean batch's bars; splits that another source contradicts become alerts.

    :param told_at: when the provider gave them, where that is not now.
    """
    for line in corporate_actions.add(
        conn, item.instrument_id, actions_of(batch), batch.source, item.id, now if told_at is None else told_at
    ):
        alerts.add(conn, "split_contradicted", "warning", item.instrument.symbol, line, now)
