"""Kafka clients' configuration, the topics, and the reads of topics (counts, offsets, messages).

Nothing here writes to stderr: the client library's own log is off. A broker that does not answer is reported once, by
the
:class:`~fintrack_tasks.errors.OutageError` of the call that needed it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Self

import orjson
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from fintrack_tasks import outages
from fintrack_tasks.errors import ConfigurationError, OutageError
from fintrack_tasks.settings import Settings

__all__ = ["Cluster", "client_config", "count_messages", "end_offsets", "ensure_topics", "read_all"]

log = structlog.get_logger("fintrack.kafka")

_PARTITIONS: Final = 3
_ASK_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 0.5
_PAUSE_SECONDS: Final = 0.05
_PASSING: Final = (
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NOT_CONTROLLER,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.THROTTLING_QUOTA_EXCEEDED,
)
"""What a broker says that will take the topic a moment later."""
_NO_LEADER: Final = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
"""What a broker says of a partition that it has just made, or has not taken over again after a start."""


def _ignore(_: KafkaError) -> None:
    """Ignore the client's error callbacks: dozens a second for a lost connection; calls raise OutageError instead."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Kafka cluster: its address and security settings; ``str()`` gives the address alone.

    Functions also take a plain ``str`` address, for a cluster without TLS and login.

    :param bootstrap: ``host:port``, several with commas.
    :param security: librdkafka's settings of TLS and SASL. Holds the password, and is not shown.
    """

    bootstrap: str
    security: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The cluster that the settings name."""
        return cls(settings.kafka_bootstrap_servers, settings.kafka_security)

    def __str__(self) -> str:
        return self.bootstrap


def client_config(bootstrap: str | Cluster) -> dict[str, Any]:
    """The configuration that every client has."""
    return {
        **(bootstrap.security if isinstance(bootstrap, Cluster) else {}),
        "bootstrap.servers": str(bootstrap),
        "client.id": "fintrack",
        "log_level": 0,
        "error_cb": _ignore,
        "socket.connection.setup.timeout.ms": 5_000,
        "reconnect.backoff.max.ms": 1_000,
        "allow.auto.create.topics": False,
    }


def ensure_topics(
    bootstrap: str | Cluster, topics: Sequence[str], partitions: int = _PARTITIONS, timeout: float = _ASK_SECONDS
) -> None:
    """Create the missing topics; existing ones stay as they are. All of them can be used when this returns.

    :param timeout: seconds, for each of three requests to the broker.
    :raises OutageError: when the broker does not answer in time.
    :raises ConfigurationError: when it refuses to create a topic.
    """
    admin = AdminClient(client_config(bootstrap))
    try:
        known = admin.list_topics(timeout=timeout).topics
    except KafkaException as error:
        raise outages.of_kafka(str(bootstrap)) from error
    missing = [NewTopic(topic, partitions, 1) for topic in dict.fromkeys(topics) if topic not in known]
    if not missing:
        return
    for topic, future in admin.create_topics(missing, request_timeout=timeout).items():
        try:
            future.result(timeout + 1.0)
        except KafkaException as error:
            said: KafkaError = error.args[0]
            if said.code() == KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else made it in the same moment
                continue
            if said.code() in _PASSING or said.code() < 0:  # below zero: the client's own errors, of time and transport
                raise outages.of_kafka(str(bootstrap)) from error
            raise ConfigurationError(f"Kafka at {bootstrap} does not create the topic {topic}: {said.str()}") from error
        except TimeoutError as error:
            raise outages.of_kafka(str(bootstrap)) from error
    _await_topics(admin, bootstrap, {topic.topic for topic in missing}, timeout)


def _await_topics(admin: AdminClient, bootstrap: str | Cluster, topics: set[str], timeout: float) -> None:
    """Wait until the broker's metadata has new topics, which lags behind their creation."""
    deadline = time.monotonic() + timeout
    try:
        while topics - {name for name, found in admin.list_topics(timeout=timeout).topics.items() if found.partitions}:
            if time.monotonic() > deadline:
                raise outages.of_kafka(str(bootstrap))
            time.sleep(_PAUSE_SECONDS)  # a broker tells nobody that a topic is ready: it is asked
    except KafkaException as error:
        raise outages.of_kafka(str(bootstrap)) from error


@contextmanager
def _consumer(bootstrap: str | Cluster) -> Iterator[Consumer]:
    look: dict[str, Any] = {"group.id": "fintrack-look", "enable.auto.commit": False, "enable.partition.eof": True}
    look["fetch.wait.max.ms"] = 50
    consumer = Consumer({**client_config(bootstrap), **look})
    try:
        yield consumer
    finally:
        consumer.close()


def _watermarks(consumer: Consumer, bootstrap: str | Cluster, topic: str, timeout: float) -> dict[int, tuple[int, int]]:
    """Partition to its first and its next offset; nothing for a topic that is not there."""
    deadline = time.monotonic() + timeout
    try:
        found = consumer.list_topics(topic, timeout=timeout).topics.get(topic)
        if found is None or found.error is not None:
            return {}
        marks = {}
        for number in found.partitions:
            marks[number] = _marks(consumer, TopicPartition(topic, number), deadline)
    except KafkaException as error:
        raise outages.of_kafka(str(bootstrap)) from error
    return _corrected(consumer, topic, marks, deadline)


def _marks(consumer: Consumer, partition: TopicPartition, deadline: float) -> tuple[int, int]:
    """The first and the next offset; waits for a leader until the deadline."""
    found: tuple[int, int] | None
    while True:
        try:
            found = consumer.get_watermark_offsets(partition, timeout=max(0.1, deadline - time.monotonic()))
        except KafkaException as error:
            if error.args[0].code() not in _NO_LEADER or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)  # nor that it has chosen a leader
        else:
            if found is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            return found


def _corrected(
    consumer: Consumer, topic: str, marks: dict[int, tuple[int, int]], deadline: float
) -> dict[int, tuple[int, int]]:
    """The watermarks, with the end offsets that reading finds.

    The embedded broker counts a partition's first batch as one message in its watermark, whatever the batch holds. A
    broker whose watermark is right answers with the end of the partition at once.
    """
    ends = {number: high for number, (_, high) in marks.items() if high > 0}
    waiting = set(ends)
    consumer.assign([TopicPartition(topic, number, high) for number, high in ends.items()])
    while waiting and time.monotonic() < deadline:
        found = consumer.consume(500, timeout=_SILENCE_SECONDS)
        if not found:
            break
        for message in found:
            number, error, offset = message.partition(), message.error(), message.offset()
            if number is not None and error is not None and error.code() == KafkaError._PARTITION_EOF:
                waiting.discard(number)
            elif number is not None and error is None and offset is not None:
                ends[number] = max(ends[number], offset + 1)
    consumer.unassign()
    return {number: (low, ends.get(number, high)) for number, (low, high) in marks.items()}


def count_messages(bootstrap: str | Cluster, topic: str, timeout: float = _ASK_SECONDS) -> int:
    """The number of messages in a topic; 0 for a missing topic.

    :raises OutageError: when the broker does not answer within ``timeout`` seconds.
    """
    with _consumer(bootstrap) as consumer:
        return sum(high - low for low, high in _watermarks(consumer, bootstrap, topic, timeout).values())


def end_offsets(bootstrap: str | Cluster, topic: str, timeout: float = _ASK_SECONDS) -> dict[int, int]:
    """Partition to the offset of its next message: where :func:`read_all` may begin later.

    :raises OutageError: when the broker does not answer within ``timeout`` seconds.
    """
    with _consumer(bootstrap) as consumer:
        return {number: high for number, (_, high) in _watermarks(consumer, bootstrap, topic, timeout).items()}


def read_all(
    bootstrap: str | Cluster, topic: str, timeout: float = 30.0, since: Mapping[int, int] | None = None
) -> Iterator[dict[str, Any]]:
    """Every message that a topic holds when this begins, as JSON objects, each partition in its order.

    Messages that are no JSON objects are left out.

    :param since: partition to the first offset of interest; partitions that it does not name are read whole.
    :raises OutageError: when the broker does not answer, or not to the end within ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    with _consumer(bootstrap) as consumer:
        marks = _watermarks(consumer, bootstrap, topic, timeout)
        begin = {number: max(low, (since or {}).get(number, low)) for number, (low, _) in marks.items()}
        ends = {number: high for number, (_, high) in marks.items() if begin[number] < high}
        if not ends:
            return
        consumer.assign([TopicPartition(topic, number, begin[number]) for number in ends])
        while ends:
            if time.monotonic() > deadline:
                raise OutageError("Kafka", str(bootstrap), f"{topic} was not read to its end in {timeout:g} s")
            for message in consumer.consume(500, timeout=0.5):
                yield from _take(message, ends)


def _take(message: Message, ends: dict[int, int]) -> Iterator[dict[str, Any]]:
    """The object of a message, if it is one; removes its partition from ``ends`` with its last message."""
    number, error = message.partition(), message.error()
    if error is not None:
        if error.code() == KafkaError._PARTITION_EOF and number is not None:
            ends.pop(number, None)
        return
    if number is None or number not in ends:
        return  # it came after the end that was there when we began
    if (message.offset() or 0) + 1 >= ends[number]:
        del ends[number]
    value = message.value()
    with suppress(orjson.JSONDecodeError):
        found = orjson.loads(value) if value is not None else None
        if isinstance(found, dict):
            yield found
