"""The worker's consumer, made to survive outages of Redis with messages in hand (``celeryconfig.worker_consumer``).

Each connection records the messages that it holds under keys of its own (:mod:`fintrack_tasks.tasks.unacknowledged`),
so that the next one, or another worker, puts it back to the queues. Connecting is retried without end, every few
seconds. While Redis refuses writes, nothing is taken from the queues: it could neither be recorded as held nor handed
on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import redis.exceptions
import structlog
from celery.utils.log import get_logger
from celery.worker.state import maybe_shutdown
from kombu.exceptions import OperationalError

from fintrack_tasks.refusals import remedy_of
from fintrack_tasks.tasks import foreign_messages, unacknowledged
from fintrack_tasks.tasks.base import connections
from fintrack_tasks.tasks.rate_limits import PacedConsumer

__all__ = ["WorkerConsumer"]

log = structlog.get_logger("fintrack.consumer")
logger = get_logger(__name__)

_AGAIN: Final = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 5.0}
"""Seconds between two attempts to connect. Celery's own grow to half a minute, for which one that is back waits."""
_ROOM_SECONDS: Final = 1.0


class WorkerConsumer(PacedConsumer):
    """A consumer whose unacknowledged messages are recorded per connection."""

    holder: str | None = None
    """Of the connection that it has."""
    before: str | None = None
    """Of the one that it had before."""

    def connect(self) -> Any:
        """As Celery's, as a new holder."""
        self.before, holder = self.holder or self.before, unacknowledged.name_holder(self.hostname)
        self._wait_for_room(holder)
        self.holder = holder
        return super().connect()

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """As Celery's, but anything that is not a valid task message is refused."""
        receive = super().create_task_handler(*args, **kwargs)
        prefork = self.pool.uses_semaphore  # no other pool does

        def on_task_received(message: Any) -> None:
            if reason := foreign_messages.misfit(message, prefork=prefork):
                self._refuse(message, "foreign_message", reason)
                return
            # The task's own limits hold. A message's could end an item as failed before its signature is looked at.
            message.headers.pop("timelimit", None)
            try:
                receive(message)
            except (redis.exceptions.RedisError, OperationalError, OSError):
                raise
            except Exception as error:  # noqa: BLE001  kombu takes a KeyError for a lost connection, and delivers again
                self._refuse(message, "foreign_message", f"{type(error).__name__}: {error}")

        return on_task_received

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """A task name that is not registered: from an older or newer version, or foreign."""
        self._refuse(message, "unknown_task", "no task has that name")

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """Invalid task options, or a content type that is not accepted."""
        self._refuse(message, "foreign_message", f"{type(exc).__name__}: {exc}")

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """A body that does not match its content type."""
        self._refuse(message, "foreign_message", f"{type(exc).__name__}: {exc}")

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Not a Celery message at all."""
        self._refuse(message, "foreign_message", "it is no task's message")

    def _refuse(self, message: Any, reason: str, detail: str) -> None:
        headers = message.headers if isinstance(message.headers, dict) else {}
        task = str(headers.get("task") or message.delivery_info.get("routing_key") or "")
        foreign_messages.keep_soon(task, reason, detail, str(message.body))
        if not message.acknowledged:
            message.reject_log_error(logger, self.connection_errors)

    def _wait_for_room(self, holder: str) -> None:
        """Wait until Redis accepts writes."""
        told = False
        while True:
            try:
                unacknowledged.register(connections().redis, holder)
            except redis.exceptions.ResponseError as error:
                if not told:
                    log.warning("broker_refuses_writes", remedy=remedy_of(error), error=str(error)[:200])
                told = True
            except redis.exceptions.RedisError:
                return  # it is away: that is told, and waited for, where the worker connects
            else:
                break
            maybe_shutdown()
            time.sleep(_ROOM_SECONDS)  # a server that is full has no event to wait on
        if told:
            log.info("broker_accepts_writes")

    def connection_for_read(self, heartbeat: Any = None) -> Any:
        """As Celery's; messages read through it are recorded under this connection's holder."""
        options = unacknowledged.key_names(self.holder) if self.holder else {}
        return self.ensure_connected(self.app.connection_for_read(heartbeat=heartbeat, transport_options=options))

    def ensure_connected(self, conn: Any) -> Any:
        """As Celery's, with short pauses."""
        conn.ensure_connection = partial(conn.ensure_connection, **_AGAIN)
        return super().ensure_connected(conn)
