"""A Redis transport for workers: kombu's, with unacknowledged messages recorded per holder and broken messages refused.

Three things differ from kombu's own. A message that left its queue and could not be noted as held, because the
connection broke or Redis is full, is kept in :data:`astray` until it can be put back. And a channel whose connection is
gone says so as a connection's error, where kombu reads an attribute of ``None``: whoever acknowledges a message of it
only logs that. What lies in a queue, or comes by its fanout, and is no message is refused.
"""

from __future__ import annotations

from collections import deque
from queue import Empty
from typing import Any, Final

import redis.exceptions
from celery import signals
from kombu import transport
from kombu.exceptions import OperationalError
from kombu.transport import redis as kombu_redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from fintrack_tasks.plain_messages import LARGEST, Message
from fintrack_tasks.tasks import foreign_messages

__all__ = ["PATIENT", "Channel", "Transport", "astray", "use"]

PATIENT: Final = {"max_retries": 30, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 2.0}
"""How a worker sends messages: for about a minute, in which a broker may come back or get room. A program that waits
for an answer is told at once, by Celery's own policy."""

_SHOWN: Final = 8_000
"""Bytes of what is no message that are kept to be looked at."""

astray: deque[tuple[dict[str, Any], str, str]] = deque()
"""Messages, with exchange and routing key, that left their queue and could not be noted as held."""

_NEVER: Final = Retry(NoBackoff(), 0)
"""Of the connections that the main loop reads from. The library would connect a subscription again by itself and then
wait, within the read and without a time-out, for whatever comes on it: the main loop would stand still."""
_RETRY: Final = Retry(ExponentialBackoff(cap=0.5, base=0.1), 1)
"""Of one command. kombu and Celery connect again by themselves; the library's own three attempts, with pauses of
seconds, would hold a worker's main loop back."""


class QoS(kombu_redis.QoS):
    """The unacknowledged messages of a channel, recorded in Redis under the holder's own keys."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Record a message as held, before it is worked on."""
        try:
            super().append(message, delivery_tag)
        except (redis.exceptions.RedisError, OSError):
            delivery = message.delivery_info
            astray.append((message._raw, delivery["exchange"], delivery["routing_key"]))
            raise


class Channel(kombu_redis.Channel):
    """A channel that raises a connection error once its connection is gone."""

    QoS = QoS
    Message = Message

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection is None or self.connection.client is None:
            raise redis.exceptions.ConnectionError("the connection of this channel was closed")
        retry = _NEVER if asynchronous else _RETRY
        return {**super()._connparams(asynchronous=asynchronous), "retry": retry}

    def _brpop_read(self, **options: Any) -> bool:
        """As kombu's, but an element of a queue's list that is no message is refused; kombu's own ends the worker."""
        try:
            try:
                answer = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            if not answer:
                raise Empty
            queue = bytes_to_str(answer[0]).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            self._hand_on(answer[1], queue)
            return True
        finally:
            self._in_poll: Any = None
            self._flush_brpop_reauth()

    def _hand_on(self, element: bytes, queue: str) -> None:
        if len(element) > LARGEST:
            return _refuse(queue, f"the queue held {len(element)} bytes at once", element)
        try:
            raw = loads(bytes_to_str(element))
            self.Message(raw, channel=self)
        except Exception as error:  # noqa: BLE001  whatever a stranger wrote there
            return _refuse(queue, f"the queue held what is no message: {type(error).__name__}", element)
        self.connection._deliver(raw, queue)
        return None

    def _handle_message(self, client: Any, r: Any) -> Any:
        """As kombu's, of what was published: too much at once is not read."""
        payload = super()._handle_message(client, r)
        if isinstance(payload["data"], bytes) and len(payload["data"]) > LARGEST:
            _refuse("fanout", f"{len(payload['data'])} bytes were published at once", payload["data"])
            payload["data"] = b""
        return payload

    def _receive_one(self, client: Any) -> Any:
        """As kombu's, of commands to workers: what is none is refused, where kombu's own ends the worker."""
        try:
            return super()._receive_one(client)
        except (redis.exceptions.RedisError, OperationalError, OSError, Empty):
            raise
        except Exception as error:  # noqa: BLE001  whatever a stranger published there
            return _refuse("fanout", f"what is no message was published: {type(error).__name__}", b"")

    def put_back(self, raw: dict[str, Any], exchange: str, routing_key: str) -> None:
        """Put a message back to the head of its queue."""
        with self.conn_or_acquire() as client, client.pipeline() as pipe:
            self._do_restore_message(raw, exchange, routing_key, pipe)
            pipe.execute()


def _refuse(queue: str, detail: str, element: bytes) -> None:
    foreign_messages.keep_soon(queue, "not_a_message", detail, element[:_SHOWN].decode("utf-8", "replace"))


class Transport(kombu_redis.Transport):
    """The transport of ``redis://`` and ``rediss://`` in a worker."""

    Channel = Channel


@signals.celeryd_init.connect
def use(conf: Any = None, **_: Any) -> None:
    """Make this worker's connections use this transport; other programs keep kombu's own."""
    if conf is not None:
        conf.task_publish_retry_policy = PATIENT
    name = f"{Transport.__module__}:{Transport.__qualname__}"
    for scheme in ("redis", "rediss"):
        transport.TRANSPORT_ALIASES[scheme] = name
        transport._transport_cache.pop(scheme, None)
