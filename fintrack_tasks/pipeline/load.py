"""The load stage: the order in which an item's rows and all that follows from them are written, in one transaction."""

from __future__ import annotations

from datetime import datetime

import psycopg

from fintrack_tasks.domain import Batch, Event, Interval, Item, ItemState, Kind, uuid7
from fintrack_tasks.fetch import route
from fintrack_tasks.pipeline import indicators
from fintrack_tasks.pipeline.availability import record_rest, window_asked
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.outcome import Ended
from fintrack_tasks.publish import messages
from fintrack_tasks.sessions import askable_bars, asked_as, finals
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import alerts, corporate_actions, coverage, database_mode, fx_rates, quality
from fintrack_tasks.store import load as loading
from fintrack_tasks.transform.corporate_actions import actions_of
from fintrack_tasks.transform.currency import rate_of

__all__ = ["add_actions", "add_rate", "load_item"]


def load_item(item: Item, batch: Batch, *, context: StageContext) -> Ended:
    """Rows, revisions, ledger and outbox in one transaction; nothing when the item has ended before."""
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


def _load_quote(conn: psycopg.Connection, item: Item, batch: Batch, event: Event, now: datetime) -> bool:
    measured = batch.meta.get("metrics")
    if not measured and not rate_of(item.instrument, batch):
        return loading.load_quote(conn, item, batch, event, now)
    with conn.transaction():
        done = loading.load_quote(conn, item, batch, event, now)
        if done and measured:
            quality.add(conn, item, measured, now)
        if done:
            add_rate(conn, item, batch, now)
    return done


def _load_bars(
    conn: psycopg.Connection, item: Item, batch: Batch, event: Event, settings: Settings, now: datetime
) -> bool:
    interval = item.interval or Interval.D1
    stamps = [int(stamp) for stamp in batch.columns["timestamp"]]
    closed = finals(item.instrument, interval, stamps, now)
    with conn.transaction():
        before = route.before(item.instrument, item.kind, interval, batch.source, settings)
        done = loading.load_bars(conn, item, batch, event, now, closed, before)
        if done:
            indicators.recompute(conn, item, batch, now)
            add_actions(conn, item, batch, now)
        if done and (asked := window_asked(item, batch)):
            record_rest(conn, item, asked, [batch.source], now)
            # What a provider leaves out of a closed window will not come: asking again every night would not help.
            expected = askable_bars(item.instrument, interval, asked)
            absent = sorted(set(expected) - set(asked_as(item.instrument, interval, stamps)))
            gone = [m for m, final in zip(absent, finals(item.instrument, interval, absent, now), strict=True) if final]
            coverage.record_absent(conn, item, gone, now)
    return done


def add_rate(conn: psycopg.Connection, item: Item, batch: Batch, now: datetime) -> None:
    """Write the exchange rate that a clean quote of a currency pair is; nothing for any other quote."""
    if rate := rate_of(item.instrument, batch):
        fx_rates.add(conn, [rate], now, item_id=item.id)


def add_actions(
    conn: psycopg.Connection, item: Item, batch: Batch, now: datetime, *, told_at: datetime | None = None
) -> None:
    """Write the splits and dividends that a clean batch tells beside its bars; contradicted splits become alerts.

    :param told_at: when they were told, where that is not now.
    """
    for line in corporate_actions.add(
        conn, item.instrument_id, actions_of(batch), batch.source, item.id, now if told_at is None else told_at
    ):
        alerts.add(conn, "split_contradicted", "warning", item.instrument.symbol, line, now)
