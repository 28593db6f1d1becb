"""kombu's Redis transport as a worker needs it that outlives its broker.

Three things differ from kombu's own. A message that Redis will not note as held (it is full, or cannot write to its
disk) is worked on all the same: it was taken from its queue already. One whose note is lost with the connection is
kept in :data:`astray` until there is a connection again. And a channel whose connection is gone says so as a
connection's error, where kombu reads an attribute of ``None``: whoever acknowledges a message of it only logs that.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import redis.exceptions
import structlog
from celery import signals
from kombu import transport
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

__all__ = ["Channel", "Transport", "astray", "use"]

log = structlog.get_logger("fintrack.transport")

astray: deque[tuple[dict[str, Any], str, str]] = deque()
"""Messages, with exchange and routing key, that left their queue and could not be noted as held."""

_RETRY: Final = Retry(ExponentialBackoff(cap=0.5, base=0.1), 1)
"""Of one command. kombu and Celery connect again by themselves; the library's own three attempts, with pauses of
seconds, would hold a worker's main loop back."""


class QoS(kombu_redis.QoS):
    """The messages that a channel holds unacknowledged, noted in Redis under the holder's own keys."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message as held, before anything is done with it."""
        try:
            super().append(message, delivery_tag)
        except redis.exceptions.ResponseError as error:
            # Should the worker die before it is done, reconcile finds the item by its deadline.
            log.warning("message_not_noted", reason=str(error)[:200])
            virtual.QoS.append(self, message, delivery_tag)
        except self.channel.connection_errors:
            delivery = message.delivery_info
            astray.append((message._raw, delivery["exchange"], delivery["routing_key"]))
            raise


class Channel(kombu_redis.Channel):
    """A channel that tells of its end as a connection's error."""

    QoS = QoS

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection is None or self.connection.client is None:
            raise redis.exceptions.ConnectionError("the connection of this channel was closed")
        return {**super()._connparams(asynchronous=asynchronous), "retry": _RETRY}

    def put_back(self, raw: dict[str, Any], exchange: str, routing_key: str) -> None:
        """Put a message back to the head of its queue."""
        with self.conn_or_acquire() as client, client.pipeline() as pipe:
            self._do_restore_message(raw, exchange, routing_key, pipe)
            pipe.execute()


class Transport(kombu_redis.Transport):
    """The transport of ``redis://`` and ``rediss://`` in a worker."""

    Channel = Channel


@signals.celeryd_init.connect
def use(**_: Any) -> None:
    """Let this worker's connections be of this transport; other programs keep kombu's own."""
    name = f"{Transport.__module__}:{Transport.__qualname__}"
    for scheme in ("redis", "rediss"):
        transport.TRANSPORT_ALIASES[scheme] = name
        transport._transport_cache.pop(scheme, None)
