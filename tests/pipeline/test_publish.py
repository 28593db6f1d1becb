"""Complete runs are closed and every event is brought to Kafka once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.publish.kafka import read_all
from fintrack_tasks.publish.producer import Producer
from fintrack_tasks.sandbox import Running
from fintrack_tasks.store import outbox, runs
from tests.fixtures_stages import Stages

pytestmark = pytest.mark.integration

NOW = datetime(2026, 6, 17, 16, 0, tzinfo=UTC)


@pytest.fixture
def stages(make_stages: Callable[..., Stages], market: Running) -> Stages:
    return make_stages(NOW, market=market)


def test_publish_closes_the_run_and_brings_every_event_to_kafka_once(
    stages: Stages, stack: dict[str, str], conn: psycopg.Connection
) -> None:
    items = stages.plan("AAPL", "MSFT", "UNKNOWN1")
    run = items[0].run_id
    for item in items[:2]:
        stages.through(item)
    stages.fetch(items[2])
    producer = Producer(stack["KAFKA_BOOTSTRAP_SERVERS"])
    for expected in (4, 0):  # two loaded, one failed, one finished run; a second drain finds nothing
        sent = pipeline.publish_events(context=stages.context, producer=producer)
        assert sent == expected
    producer.close()
    assert outbox.lag(conn) == 0
    simulated = "SELECT count(*) FROM fintrack.outbox WHERE (value::jsonb->>'simulated')::boolean"
    assert conn.execute(simulated).fetchone() == (4,), "every event of the local market's prices says what they are"
    bootstrap = stack["KAFKA_BOOTSTRAP_SERVERS"]
    loaded = [e for e in read_all(bootstrap, "market-data") if e["run_id"] == str(run)]
    assert sorted(e["symbol"] for e in loaded) == ["AAPL", "MSFT"]
    told = {e["type"]: e for e in read_all(bootstrap, "notifications") if e["run_id"] == str(run)}
    assert told["item.failed"]["reason"] == "unknown_symbol"
    assert told["run.finished"]["counts"] == {"items": 3, "loaded": 2, "empty": 0, "failed": 1, "quarantined_rows": 0}
    summary = runs.run_summary(conn, run)
    assert summary is not None
    assert summary.state == "partial"
