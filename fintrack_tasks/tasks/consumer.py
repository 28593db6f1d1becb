"""A worker's consumer that outlives its broker, whatever it held when that went. ``celeryconfig.worker_consumer`` names
it.

Each connection notes what it holds under keys of its own (:mod:`fintrack_tasks.tasks.holders`), so that the next one,
or another worker, puts it back to the queues. It is tried for as long as it takes, every few seconds. While Redis
refuses to write, nothing is taken from the queues: it could not be noted as held, nor handed on to the next stage.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Final

import redis.exceptions
import structlog
from celery.worker.state import maybe_shutdown

from fintrack_tasks.refusals import remedy_of
from fintrack_tasks.tasks import holders
from fintrack_tasks.tasks.base import connections
from fintrack_tasks.tasks.pacing import PacedConsumer

__all__ = ["WorkerConsumer"]

log = structlog.get_logger("fintrack.consumer")

_AGAIN: Final = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 5.0}
"""Seconds between two attempts to connect. Celery's own grow to half a minute, for which one that is back waits."""
_ROOM_SECONDS: Final = 1.0


class WorkerConsumer(PacedConsumer):
    """A consumer whose messages can be told from those of its other connections and of other workers."""

    holder: str | None = None
    """Of the connection that it has."""
    before: str | None = None
    """Of the one that it had before."""

    def connect(self) -> Any:
        """As Celery's, as a new holder."""
        self.before, holder = self.holder or self.before, holders.name_holder(self.hostname)
        self._wait_for_room(holder)
        self.holder = holder
        return super().connect()

    def _wait_for_room(self, holder: str) -> None:
        """Wait until Redis takes what is written to it."""
        told = False
        while True:
            try:
                holders.register(connections().redis, holder)
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
        """As Celery's; what is read through it is held by this connection's holder."""
        options = holders.key_names(self.holder) if self.holder else {}
        return self.ensure_connected(self.app.connection_for_read(heartbeat=heartbeat, transport_options=options))

    def ensure_connected(self, conn: Any) -> Any:
        """As Celery's, with short pauses."""
        conn.ensure_connection = partial(conn.ensure_connection, **_AGAIN)
        return super().ensure_connected(conn)
