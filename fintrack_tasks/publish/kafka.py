"""Kafka: an idempotent producer that tells what was acknowledged, and the few questions that commands ask.

Nothing here writes to stderr: the client library's own log is off. What a broker's silence means is said once, by the
:class:`~fintrack_tasks.errors.OutageError` of the call that needed it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka import Producer as RawProducer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from fintrack_tasks.domain import Event
from fintrack_tasks.errors import ConfigurationError, OutageError
from fintrack_tasks.publish.messages import decode

__all__ = ["Producer", "count_messages", "end_offsets", "ensure_topics", "read_all"]

log = structlog.get_logger("fintrack.kafka")

_PARTITIONS: Final = 3
_ASK_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 0.5
_PUBLISH_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.05
_UNKNOWN_TOPIC: Final = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
)
_NO_LEADER: Final = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
"""What a broker says of a partition that it has just made, or has not taken over again after a start."""
_REFUSED: Final = (
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_RECORD,
)
"""What a broker that is well says of one event. Sending it again changes nothing, and no server needs a start."""


def _ignore(_: KafkaError) -> None:
    """A lost connection comes here dozens of times a second; the client mends it, or the call ends in OutageError."""


def _common(bootstrap: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": bootstrap,
        "client.id": "fintrack",
        "log_level": 0,
        "error_cb": _ignore,
        "socket.connection.setup.timeout.ms": 5_000,
        "reconnect.backoff.max.ms": 1_000,
        "allow.auto.create.topics": False,
    }


class Producer:
    """Publishes events and says which of them the broker has. Threads may share it; a fork gets a client of its own.

    Nothing is opened before the first :meth:`publish` of a process.

    :param bootstrap: ``host:port``, several with commas.
    :param timeout: seconds that one :meth:`publish` waits for acknowledgements.
    :param batch_messages: the most messages of one batch.
    """

    def __init__(self, bootstrap: str, timeout: float = _PUBLISH_SECONDS, batch_messages: int = 10_000) -> None:
        self._bootstrap = bootstrap
        self._timeout = timeout
        self._batch_messages = batch_messages
        self._raw: RawProducer | None = None
        self._pid = 0
        self._disconnected = False
        self._refused: dict[UUID, KafkaError] = {}
        self._lock = threading.Lock()

    def publish(self, events: Sequence[Event]) -> set[UUID]:
        """Send events in order and wait; returns the ids of those that were acknowledged.

        An event that was not acknowledged may still have reached the broker: sent again, it is a repeat under the
        same event id. One that the broker refuses for good (too large) is logged and halts its key: later events
        that were on their way by then may arrive, and from the next call on none is sent while this object lives. A
        topic that is not there (a broker that keeps topics in memory was started again) is created and its events
        are sent once more.

        :raises OutageError: when the broker acknowledged nothing within about the time-out.
        """
        if not events:
            return set()
        with self._lock:
            acknowledged, errors = self._send(events, self._timeout / 2)
            self._judge(errors)
            if rest := _open(events, acknowledged, errors):
                # Some brokers forget what an idempotent client told them when they start again, and leave it waiting
                # for ever. A new client begins with a new identity and with the oldest event.
                self._discard()
                if missing := sorted({e.topic for e in rest if _is_unknown_topic(errors.get(e.id))}):
                    ensure_topics(self._bootstrap, missing, timeout=self._timeout)
                    log.info("kafka_topics_created", topics=missing)
                more, errors_again = self._send(rest, self._timeout / 2)
                self._judge(errors_again)
                acknowledged |= more
                errors |= errors_again
        for event in events:
            if _is_refused(errors.get(event.id)):
                said = errors[event.id].str()
                log.error("event_refused", event_id=str(event.id), topic=event.topic, key=event.key, detail=said)
        if not acknowledged and _open(events, acknowledged, errors):
            raise OutageError("Kafka", self._bootstrap)
        return acknowledged

    def close(self) -> None:
        """Drop the client; a later :meth:`publish` makes a new one. Nothing waits in it between two calls."""
        with self._lock:
            self._discard()

    def _client(self) -> RawProducer:
        if self._raw is not None and self._pid == os.getpid():
            self._raw.poll(0)  # lets the client say whether it lost the broker since it was last used
            if not self._disconnected:
                return self._raw
            # A broker that was started again may give the identity of this client to another one, and would then
            # take new events for repeats.
            self._discard()
        self._pid = os.getpid()  # after a fork the old client is left alone: its threads stayed with the parent
        self._disconnected = False
        self._raw = RawProducer(
            {
                **_common(self._bootstrap),
                "error_cb": self._on_error,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "batch.num.messages": self._batch_messages,
                "compression.type": "lz4",
                # The deadline of publish ends all waiting events at once. Were it left to the client, an older event
                # could time out alone and a younger one of its key arrive before it.
                "message.timeout.ms": int(self._timeout * 1000) + 60_000,
                "topic.metadata.propagation.max.ms": 500,
            }
        )
        return self._raw

    def _on_error(self, error: KafkaError) -> None:
        self._disconnected = True
        if error.fatal():
            log.error("kafka_fatal", code=error.name(), detail=error.str())

    def _discard(self) -> None:
        if self._raw is not None and self._pid == os.getpid():
            self._raw.purge()
            self._raw.flush(1.0)  # tells the callbacks of what was purged
        self._raw = None

    def _judge(self, errors: dict[UUID, KafkaError]) -> None:
        """Remember what was refused; what was refused in one batch with others goes alone before it counts as that.

        A broker refuses a batch whole, for one large event in it or for being large itself.
        """
        refused = {event_id: error for event_id, error in errors.items() if _is_refused(error)}
        if self._batch_messages > 1 and refused.keys() - self._refused:
            self._batch_messages = 1
            for event_id in refused.keys() - self._refused:
                del errors[event_id]
        else:
            self._refused |= refused

    def _send(self, events: Sequence[Event], seconds: float) -> tuple[set[UUID], dict[UUID, KafkaError]]:
        """The events that were acknowledged, and the errors of those that will not be. Nothing waits afterwards."""
        acknowledged: set[UUID] = set()
        errors: dict[UUID, KafkaError] = {}
        deadline = time.monotonic() + seconds
        raw = self._client()
        halted: set[tuple[str, str]] = set()
        for event in events:
            key = (event.topic, event.key)
            if key in halted:
                continue
            if event.id in self._refused:
                errors[event.id] = self._refused[event.id]
                halted.add(key)
                continue
            if not _produce(raw, event, _settle(event.id, acknowledged, errors), errors, deadline):
                break
            if event.id in errors:
                halted.add(key)
                if _is_refused(errors[event.id]):
                    self._refused[event.id] = errors[event.id]  # by the client itself, before any batch
        if raw.flush(max(0.1, deadline - time.monotonic())):
            self._discard()
        elif len(acknowledged) == len(events):
            self._disconnected = False  # whatever was said on the way (one of two addresses refused), it is there
        return acknowledged, errors


def _open(events: Sequence[Event], acknowledged: set[UUID], errors: Mapping[UUID, KafkaError]) -> list[Event]:
    """The events that another attempt may bring through."""
    halted = {(event.topic, event.key) for event in events if _is_refused(errors.get(event.id))}
    return [e for e in events if e.id not in acknowledged and (e.topic, e.key) not in halted]


def _is_unknown_topic(error: KafkaError | None) -> bool:
    return error is not None and error.code() in _UNKNOWN_TOPIC


def _is_refused(error: KafkaError | None) -> bool:
    return error is not None and error.code() in _REFUSED


def _settle(
    event_id: UUID, acknowledged: set[UUID], errors: dict[UUID, KafkaError]
) -> Callable[[KafkaError | None, Message], None]:
    def callback(error: KafkaError | None, _: Message) -> None:
        if error is None:
            acknowledged.add(event_id)
        else:
            errors[event_id] = error

    return callback


def _produce(
    raw: RawProducer,
    event: Event,
    callback: Callable[[KafkaError | None, Message], None],
    errors: dict[UUID, KafkaError],
    deadline: float,
) -> bool:
    """Hand one event to the client; False when its queue stayed full until the deadline."""
    headers: list[tuple[str, str | bytes | None]] = [
        ("event_id", str(event.id).encode()),
        ("type", str(decode(event.value.encode())["type"]).encode()),
        ("content-type", b"application/json"),
    ]
    while True:
        try:
            raw.produce(event.topic, event.value.encode(), event.key.encode(), headers=headers, on_delivery=callback)
        except BufferError:
            if time.monotonic() > deadline:
                return False
            raw.poll(0.05)
        except KafkaException as error:
            errors[event.id] = error.args[0]
            return True
        else:
            raw.poll(0)
            return True


def ensure_topics(
    bootstrap: str, topics: Sequence[str], partitions: int = _PARTITIONS, timeout: float = _ASK_SECONDS
) -> None:
    """Create the topics that are not there; those that are stay as they are. All can be asked for when this returns.

    :param timeout: seconds, for each of the three questions to the broker.
    :raises OutageError: when the broker does not answer in time.
    :raises ConfigurationError: when it answers that it will not have such a topic.
    """
    admin = AdminClient(_common(bootstrap))
    try:
        known = admin.list_topics(timeout=timeout).topics
    except KafkaException as error:
        raise OutageError("Kafka", bootstrap) from error
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
            if said.retriable() or said.code() < 0:  # below zero: the client's own errors, of time and transport
                raise OutageError("Kafka", bootstrap) from error
            raise ConfigurationError(f"Kafka at {bootstrap} does not create the topic {topic}: {said.str()}") from error
        except TimeoutError as error:
            raise OutageError("Kafka", bootstrap) from error
    _await_topics(admin, bootstrap, {topic.topic for topic in missing}, timeout)


def _await_topics(admin: AdminClient, bootstrap: str, topics: set[str], timeout: float) -> None:
    """Wait until the broker tells of topics that it has made: Kafka does a moment after it says so."""
    deadline = time.monotonic() + timeout
    try:
        while topics - {name for name, found in admin.list_topics(timeout=timeout).topics.items() if found.partitions}:
            if time.monotonic() > deadline:
                raise OutageError("Kafka", bootstrap)
            time.sleep(_PAUSE_SECONDS)
    except KafkaException as error:
        raise OutageError("Kafka", bootstrap) from error


@contextmanager
def _consumer(bootstrap: str) -> Iterator[Consumer]:
    look: dict[str, Any] = {"group.id": "fintrack-look", "enable.auto.commit": False, "enable.partition.eof": True}
    look["fetch.wait.max.ms"] = 50
    consumer = Consumer({**_common(bootstrap), **look})
    try:
        yield consumer
    finally:
        consumer.close()


def _watermarks(consumer: Consumer, bootstrap: str, topic: str, timeout: float) -> dict[int, tuple[int, int]]:
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
        raise OutageError("Kafka", bootstrap) from error
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
            time.sleep(_PAUSE_SECONDS)
        else:
            if found is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            return found


def _corrected(
    consumer: Consumer, topic: str, marks: dict[int, tuple[int, int]], deadline: float
) -> dict[int, tuple[int, int]]:
    """The marks with the ends that reading finds, from the ends that the broker says.

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


def count_messages(bootstrap: str, topic: str, timeout: float = _ASK_SECONDS) -> int:
    """How many messages a topic holds now; 0 for one that is not there.

    :raises OutageError: when the broker does not answer within ``timeout`` seconds.
    """
    with _consumer(bootstrap) as consumer:
        return sum(high - low for low, high in _watermarks(consumer, bootstrap, topic, timeout).values())


def end_offsets(bootstrap: str, topic: str, timeout: float = _ASK_SECONDS) -> dict[int, int]:
    """Partition to the offset that its next message will get: where :func:`read_all` may begin later.

    :raises OutageError: when the broker does not answer within ``timeout`` seconds.
    """
    with _consumer(bootstrap) as consumer:
        return {number: high for number, (_, high) in _watermarks(consumer, bootstrap, topic, timeout).items()}


def read_all(
    bootstrap: str, topic: str, timeout: float = 30.0, since: Mapping[int, int] | None = None
) -> Iterator[dict[str, Any]]:
    """Every message that a topic holds when this begins, as JSON objects, each partition in its order.

    What is no JSON object was not written by us and is left out.

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
                raise OutageError("Kafka", bootstrap, f"{topic} was not read to its end in {timeout:g} s")
            for message in consumer.consume(500, timeout=0.5):
                yield from _take(message, ends)


def _take(message: Message, ends: dict[int, int]) -> Iterator[dict[str, Any]]:
    """The object of a message, if it is one; crosses its partition off ``ends`` when it was the last."""
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
