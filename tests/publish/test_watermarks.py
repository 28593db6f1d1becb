"""What a topic holds is counted by what can be read, also where the broker's own count is wrong."""

from __future__ import annotations

import time

import pytest

from fintrack_tasks.domain import Event, uuid7
from fintrack_tasks.publish.kafka import count_messages, end_offsets, ensure_topics, read_all
from fintrack_tasks.publish.producer import Producer

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("batch_messages", [1, 10_000])
def test_the_first_batch_of_a_partition_is_counted_whole(stack: dict[str, str], batch_messages: int) -> None:
    bootstrap, topic = stack["KAFKA_BOOTSTRAP_SERVERS"], f"t-{uuid7(time.time()).hex}"
    ensure_topics(bootstrap, [topic])
    head = '"type": "quote.loaded", "schema": 1, "occurred_at": "2024-01-01T00:00:00+00:00"'
    ids = [uuid7(time.time()) for _ in range(40)]
    events = [Event(i, topic, f"S{n % 7}", f'{{"event_id": "{i}", {head}}}') for n, i in enumerate(ids)]
    producer = Producer(bootstrap, batch_messages=batch_messages)
    assert producer.publish(events) == set(ids)
    producer.close()
    assert count_messages(bootstrap, topic) == 40
    assert sum(end_offsets(bootstrap, topic).values()) == 40
    assert sorted(event["event_id"] for event in read_all(bootstrap, topic)) == sorted(map(str, ids))
