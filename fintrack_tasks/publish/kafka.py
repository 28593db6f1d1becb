"""Kafka: an idempotent producer that tells what was acknowledged, and the few questions that commands ask."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka import Producer as RawProducer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from fintrack_tasks.domain import Event
from fintrack_tasks.errors import OutageError

__all__ = ["Producer", "count_messages", "ensure_topics", "read_all"]

log = structlog.get_logger("fintrack.kafka")

_PARTITIONS: Final = 3
_ASK_SECONDS: Final = 10.0
_UNKNOWN_TOPIC: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)


def _common(bootstrap: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": bootstrap,
        "client.id": "fintrack",
        "log_level": 3,
        "error_cb": lambda error: log.warning("kafka_error", code=error.name(), detail=error.str()),
        "socket.connection.setup.timeout.ms": 5_000,
        "reconnect.backoff.max.ms": 2_000,
        "allow.auto.create.topics": False,
    }


class Producer:
    """Publishes events and says which of them the broker has. One per process, made after the fork.

    :param bootstrap: ``host:port``, several with commas.
    """

    def __init__(self, bootstrap: str, timeout: float = 20.0) -> None:
        self._bootstrap = bootstrap
        self._timeout = timeout
        self._raw = self._new()

    def _new(self) -> RawProducer:
        return RawProducer(
            {
                **_common(self._bootstrap),
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "compression.type": "lz4",
                "message.timeout.ms": int(self._timeout * 1000),
                "max.in.flight.requests.per.connection": 5,
            }
        )

    def publish(self, events: Sequence[Event]) -> set[UUID]:
        """Send events in order and wait; returns the ids of those that were acknowledged.

        When an event of a key is not acknowledged, no later one of that key is reported, so that sending the rest
        again keeps their order.

        :raises OutageError: when not one was acknowledged.
        """
        acknowledged, errors = self._send(events)
        if errors and all(error.code() in _UNKNOWN_TOPIC for error in errors.values()):
            # A broker that keeps its topics in memory forgot them when it was started again.
            ensure_topics(self._bootstrap, sorted({event.topic for event in events}))
            self._raw = self._new()
            rest = [event for event in events if event.id not in acknowledged]
            more, errors = self._send(rest)
            acknowledged |= more
        if events and not acknowledged:
            # A fatal error of an idempotent producer ends it: the next call begins with a new one.
            self._raw = self._new()
            said = next(iter(errors.values())).str() if errors else "no answer in time"
            raise OutageError("Kafka", self._bootstrap, f"{said}; start it with: fintrack up --detach")
        return _in_order(events, acknowledged)

    def _send(self, events: Sequence[Event]) -> tuple[set[UUID], dict[UUID, KafkaError]]:
        acknowledged: set[UUID] = set()
        errors: dict[UUID, KafkaError] = {}

        def settled(event_id: UUID) -> Any:
            def callback(error: KafkaError | None, _: Message) -> None:
                if error is None:
                    acknowledged.add(event_id)
                else:
                    errors[event_id] = error

            return callback

        deadline = time.monotonic() + self._timeout
        for event in events:
            headers: list[tuple[str, str | bytes | None]] = [
                ("event_id", str(event.id).encode()),
                ("content-type", b"application/json"),
            ]
            while True:
                try:
                    self._raw.produce(
                        event.topic,
                        event.value.encode(),
                        event.key.encode(),
                        headers=headers,
                        on_delivery=settled(event.id),
                    )
                    break
                except BufferError:
                    self._raw.poll(0.1)
                    if time.monotonic() > deadline:
                        return acknowledged, errors
                except KafkaException as error:
                    errors[event.id] = error.args[0]
                    break
        self._raw.flush(max(0.1, deadline - time.monotonic()))
        return acknowledged, errors

    def close(self) -> None:
        """Send what is still buffered, for a short while."""
        self._raw.flush(5.0)


def _in_order(events: Sequence[Event], acknowledged: set[UUID]) -> set[UUID]:
    broken: set[tuple[str, str]] = set()
    kept: set[UUID] = set()
    for event in events:
        if event.id not in acknowledged:
            broken.add((event.topic, event.key))
        elif (event.topic, event.key) not in broken:
            kept.add(event.id)
    return kept


def ensure_topics(bootstrap: str, topics: Sequence[str], partitions: int = _PARTITIONS) -> None:
    """Create the topics that are not there.

    :raises OutageError: when the broker does not answer.
    """
    admin = AdminClient(_common(bootstrap))
    try:
        known = admin.list_topics(timeout=_ASK_SECONDS).topics
        made = (
            admin.create_topics(
                [NewTopic(topic, partitions, 1) for topic in topics if topic not in known], request_timeout=_ASK_SECONDS
            )
            if any(topic not in known for topic in topics)
            else {}
        )
        for future in made.values():
            future.result(_ASK_SECONDS)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else made it in the same moment
            raise OutageError("Kafka", bootstrap) from error


def _watermarks(consumer: Consumer, bootstrap: str, topic: str) -> list[tuple[int, int, int]]:
    try:
        found = consumer.list_topics(topic, timeout=_ASK_SECONDS).topics.get(topic)
        if found is None or found.error is not None:
            return []
        return [
            (number, *consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_ASK_SECONDS))
            for number in found.partitions
        ]
    except KafkaException as error:
        raise OutageError("Kafka", bootstrap) from error


def _consumer(bootstrap: str) -> Consumer:
    return Consumer({**_common(bootstrap), "group.id": "fintrack-look", "enable.auto.commit": False})


def count_messages(bootstrap: str, topic: str) -> int:
    """How many messages a topic holds now; 0 for one that is not there.

    :raises OutageError: when the broker does not answer.
    """
    consumer = _consumer(bootstrap)
    try:
        return sum(high - low for _, low, high in _watermarks(consumer, bootstrap, topic))
    finally:
        consumer.close()


def read_all(bootstrap: str, topic: str, timeout: float = 30.0) -> Iterator[dict[str, Any]]:
    """Every message that a topic holds when this begins, as JSON objects, partition by partition.

    :raises OutageError: when the broker does not answer, or not to the end within ``timeout`` seconds.
    """
    consumer = _consumer(bootstrap)
    try:
        marks = [(number, low, high) for number, low, high in _watermarks(consumer, bootstrap, topic) if high > low]
        waiting = sum(high - low for _, low, high in marks)
        consumer.assign([TopicPartition(topic, number, low) for number, low, _ in marks])
        deadline = time.monotonic() + timeout
        while waiting > 0:
            if time.monotonic() > deadline:
                raise OutageError("Kafka", bootstrap, f"{waiting} messages of {topic} did not come in time")
            for message in consumer.consume(500, timeout=1.0):
                if message.error() is None and (value := message.value()) is not None:
                    waiting -= 1
                    with suppress(orjson.JSONDecodeError):  # somebody else's message is not ours to judge
                        yield orjson.loads(value)
    finally:
        consumer.close()
