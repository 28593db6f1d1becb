"""The stages in order, without Celery: fetch, validate, transform, load, publish, and the two that mend.

Every stage takes its item and what it needs, and gives the next stage's batch or :class:`Ended`. A stage may run
twice for the same item; the ledger makes the second time harmless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from fintrack_tasks.domain import (
    Batch,
    Event,
    Finding,
    Instrument,
    Interval,
    Item,
    ItemState,
    Kind,
    decimal_text,
    to_micros,
    uuid7,
)
from fintrack_tasks.errors import UsageError
from fintrack_tasks.fetch import route
from fintrack_tasks.pipeline import indicators, validation_context
from fintrack_tasks.pipeline.availability import record_rest, window_asked
from fintrack_tasks.pipeline.fetch import DEFERRED, Ended, Retry, fail, fetch
from fintrack_tasks.pipeline.plan import Plan
from fintrack_tasks.publish import messages, relay
from fintrack_tasks.publish.producer import Producer
from fintrack_tasks.sessions import askable_bars, asked_as, finals
from fintrack_tasks.settings import Settings, load_settings
from fintrack_tasks.store import (
    alerts,
    corporate_actions,
    coverage,
    database_mode,
    flags,
    fx_rates,
    instruments,
    ledger,
    outbox,
    quality,
    quarantine,
)
from fintrack_tasks.store import load as loading
from fintrack_tasks.store.connection import Database
from fintrack_tasks.transform import clean_batch
from fintrack_tasks.transform.corporate_actions import actions_of
from fintrack_tasks.transform.currency import rate_of
from fintrack_tasks.validate import Limits, check_batch, split

__all__ = [
    "DEFERRED",
    "Ended",
    "Retry",
    "add_actions",
    "add_rate",
    "fail",
    "fetch",
    "load",
    "publish",
    "reconcile",
    "record",
    "save_quote",
    "transform",
    "validate",
]

_LIMITS: Final = Limits()


def record(conn: psycopg.Connection, plan: Plan, settings: Settings, now: datetime) -> None:
    """Write a run and its items to the ledger; only then may they be enqueued. Refused ones end here."""
    deadline = now.timestamp() + settings.fintrack_item_deadline_seconds + route.drain_seconds(plan.items, settings)
    with conn.transaction():
        ledger.create_run(
            conn,
            plan.run_id,
            plan.job,
            plan.arguments,
            [*plan.items, *(refused.item for refused in plan.refused)],
            datetime.fromtimestamp(deadline, tz=now.tzinfo),
            now,
            plan.note,
        )
        for refused in plan.refused:
            ledger.finish(conn, refused.item, ItemState.FAILED, refused.reason, refused.detail, None, now)


def validate(item: Item, batch: Batch, *, database: Database, settings: Settings, now: datetime) -> Batch | Ended:
    """The good rows go on, marked where a rule says so; rejected ones are kept in quarantine with their findings.

    Splits and dividends that are told beside rows that are all rejected are true all the same, and are written here.
    """
    context = validation_context.gather(item, batch, database=database, now=now, limits=_LIMITS)
    findings = check_batch(batch, now, _LIMITS, context)
    # A quote's time is a new one mostly, on which nothing was marked before: a clean one costs no query.
    if not findings and (item.kind is Kind.QUOTE or not len(batch)):
        return batch
    good, rejected = split(batch, findings)
    with database.connection() as conn, conn.transaction():
        if ledger.has_ended(conn, item):
            return Ended("stale")  # a repeated message: what later items have found since stays
        if rejected:
            quarantine.add(conn, item, batch, findings, now)
        if len(good):
            flags.replace(conn, item, good, _marks(len(batch), rejected, findings), now)
        elif item.kind is not Kind.QUOTE:
            add_actions(conn, item, clean_batch(good), now)
    if len(good):
        return good
    detail = f"all {len(batch)} rows rejected: {', '.join(sorted({f.rule for f in findings}))}"
    return fail(item, "rejected", detail, provider=batch.source, database=database, settings=settings, now=now)


def _marks(rows: int, rejected: Sequence[int], findings: Sequence[Finding]) -> list[Finding]:
    """What flags the good rows of a batch, by their places among these."""
    good = sorted(set(range(rows)).difference(rejected))
    places: dict[int | None, int | None] = {None: None, **{row: place for place, row in enumerate(good)}}
    return [replace(f, row=places[f.row]) for f in findings if f.severity != "reject" and f.row in places]


def transform(item: Item, batch: Batch, *, database: Database) -> Batch:
    """Clean rows in standard units; an index also gets its indicators, with the stored bars before it as warm-up."""
    cleaned = clean_batch(batch)
    if item.kind is not Kind.INDEX:
        return cleaned
    with database.connection() as conn:
        return indicators.indicate(conn, item, cleaned)


def load(item: Item, batch: Batch, *, database: Database, settings: Settings, now: datetime) -> Ended:
    """Rows, revisions, ledger and outbox in one transaction; nothing when the item has ended before."""
    topic, event_id = settings.kafka_topic_market_data, uuid7(now.timestamp())
    event = messages.item_loaded(item, batch, topic, now, event_id, simulated=database_mode.is_simulated(database))
    with database.connection() as conn:
        if item.kind is Kind.QUOTE:
            done = _load_quote(conn, item, batch, event, now)
        else:
            done = _load_bars(conn, item, batch, event, settings, now)
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
            indicators.mend(conn, item, batch, now)
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


def publish(*, database: Database, producer: Producer, settings: Settings, now: datetime) -> int | None:
    """Close the runs that are complete and bring the outbox to Kafka; returns the number of acknowledged events.

    One drain works at a time in the whole fleet, so that events of one symbol keep their order: ``None`` while another
    one does.
    """
    simulated = database_mode.is_simulated(database)
    with database.connection() as conn, outbox.exclusive(conn) as held:
        if not held:
            return None
        with conn.transaction():
            for run in ledger.finish_runs(conn, now):
                event = messages.run_finished(
                    run_id=run.run_id,
                    job=run.job,
                    state=run.state,
                    counts={
                        "items": run.items,
                        "loaded": run.loaded,
                        "empty": run.empty,
                        "failed": run.failed,
                        "quarantined_rows": run.quarantined_rows,
                    },
                    topic=settings.kafka_topic_notifications,
                    now=now,
                    event_id=uuid7(now.timestamp()),
                    simulated=simulated,
                )
                outbox.add(conn, event, now)
        return relay.drain(
            lambda limit: outbox.pending(conn, limit),
            lambda ids: outbox.mark_published(conn, ids, now),
            producer,
        )


def reconcile(*, database: Database, settings: Settings, now: datetime, limit: int = 1000) -> list[Item]:
    """The items that have neither ended nor moved until their deadline, to be enqueued again.

    One that was enqueued again too often ends as failed, with the reason ``lost``.
    """
    with database.connection() as conn:
        again, given_up = ledger.overdue(conn, now, settings.fintrack_item_deadline_seconds, limit)
    for item in given_up:
        detail = f"enqueued {ledger.MOST_LOSSES + 1} times and never ended; are the workers of its queue up?"
        fail(item, "lost", detail, database=database, settings=settings, now=now)
    return again


def save_quote(data: Mapping[str, Any]) -> None:
    """Check and store one quote as :class:`fintrack_tasks.fetch.MarketDataFetcher` gives it, as a run of its own.

    :raises UsageError: when a value is missing or was filled in, or a check rejects it.
    :raises ConfigurationError: the quote is simulated and the database live, or the other way round.
    """
    settings, now = load_settings(), datetime.now(tz=UTC)
    if data.get("is_filled"):
        raise UsageError("a value that was filled in is no observation, and is not saved as one")
    try:
        instrument = Instrument.of(data["symbol"])
        columns: dict[str, list[Any]] = {
            "timestamp": [to_micros(data["timestamp"])],
            "price": [decimal_text(data["price"])],
            "volume": [decimal_text(data.get("volume"))],
        }
        batch = Batch(Kind.QUOTE, instrument.symbol, str(data["source"]), columns, data.get("currency"))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"not a quote that can be saved: {error!r:.120}") from None
    findings = [finding for finding in check_batch(batch, now) if finding.severity == "reject"]
    if findings:
        raise UsageError(f"the quote was rejected: {findings[0].rule}: {findings[0].detail}")
    database = Database(settings, pool_size=1)
    try:
        database_mode.admit(database, simulated=bool(data.get("simulated", settings.simulated)))
        with database.connection() as conn:
            [(number, known)] = instruments.ensure(conn, [instrument]).values()
            item = Item(uuid7(now.timestamp()), uuid7(now.timestamp()), Kind.QUOTE, known, number)
            record(conn, Plan(item.run_id, "save_quote", {"symbols": [known.symbol]}, (item,)), settings, now)
        load(item, clean_batch(batch), database=database, settings=settings, now=now)
    finally:
        database.close()
