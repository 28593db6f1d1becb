"""The publish stage: close complete runs and bring the outbox to Kafka, one drain at a time in the whole fleet."""

from __future__ import annotations

from fintrack_tasks.domain import uuid7
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.publish import messages, relay
from fintrack_tasks.publish.producer import Producer
from fintrack_tasks.store import database_mode, outbox, runs

__all__ = ["publish_events"]


def publish_events(*, context: StageContext, producer: Producer) -> int | None:
    """Close the runs that are complete and bring the outbox to Kafka; returns the number of acknowledged events.

    One drain works at a time in the whole fleet, so that events of one symbol keep their order: ``None`` while another
    one does.
    """
    simulated = database_mode.is_simulated(context.database)
    with context.database.connection() as conn, outbox.exclusive(conn) as held:
        if not held:
            return None
        with conn.transaction():
            for run in runs.finish_runs(conn, context.now):
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
                    topic=context.settings.kafka_topic_notifications,
                    now=context.now,
                    event_id=uuid7(context.now.timestamp()),
                    simulated=simulated,
                )
                outbox.add(conn, event, context.now)
        return relay.drain(
            lambda limit: outbox.pending(conn, limit),
            lambda ids: outbox.mark_published(conn, ids, context.now),
            producer,
        )
