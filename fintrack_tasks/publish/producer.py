"""The idempotent producer: publishes events in order and returns which ones Kafka acknowledged."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

import structlog
from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as RawProducer

from fintrack_tasks import outages
from fintrack_tasks.domain import Event
from fintrack_tasks.publish.kafka import Cluster, client_config, ensure_topics
from fintrack_tasks.publish.messages import decode

__all__ = ["Producer"]

log = structlog.get_logger("fintrack.kafka")

_PUBLISH_SECONDS: Final = 10.0
_UNKNOWN_TOPIC: Final = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
)
_REFUSED: Final = (
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_RECORD,
)
"""What a broker that is well says of one event. Sending it again changes nothing, and no server needs a start."""


class Producer:
    """Publishes events and returns which were acknowledged. Safe to share between threads; a fork opens its own.

    Nothing is opened before the first :meth:`publish` of a process.

    :param bootstrap: the cluster, or its address where it demands neither TLS nor a login.
    :param timeout: seconds that one :meth:`publish` waits for acknowledgements.
    :param batch_messages: the most messages of one batch.
    """

    def __init__(
        self, bootstrap: str | Cluster, timeout: float = _PUBLISH_SECONDS, batch_messages: int = 10_000
    ) -> None:
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
            raise outages.of_kafka(str(self._bootstrap))
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
                **client_config(self._bootstrap),
                "error_cb": self._on_error,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "batch.num.messages": self._batch_messages,
                "compression.type": "lz4",
                # The deadline of publish ends all waiting events at once. Were it left to the client, an older event
                # could time out alone and a younger one of its key arrive before it.
                # Still below the silence after which another drain may go on in place of this one (store/outbox.py): a
                # process that was frozen and thaws must not send what the other has sent since.
                "message.timeout.ms": int(self._timeout * 1000) + 20_000,
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
        """Record refused events; one that was refused in a batch with others is sent alone first.

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
        """Send and flush: the acknowledged events, and the errors of the others."""
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
    """The events that may succeed on another attempt."""
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
