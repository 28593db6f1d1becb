"""A worker's consumer that outlives its broker, whatever it held when that went. ``celeryconfig.worker_consumer`` names
it.

Each connection notes what it holds under keys of its own (:mod:`fintrack_tasks.tasks.holders`), so that the next one,
or another worker, puts it back to the queues. It is tried for as long as it takes, every few seconds.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from fintrack_tasks.tasks import holders
from fintrack_tasks.tasks.pacing import PacedConsumer

__all__ = ["WorkerConsumer"]

_AGAIN: Final = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 5.0}
"""Seconds between two attempts to connect. Celery's own grow to half a minute, which a broker that is back would wait."""


class WorkerConsumer(PacedConsumer):
    """A consumer whose messages can be told from those of its other connections and of other workers."""

    holder: str | None = None
    """Of the connection that it has."""
    before: str | None = None
    """Of the one that it had before."""

    def connect(self) -> Any:
        """As Celery's, as a new holder."""
        self.before, self.holder = self.holder or self.before, holders.name_holder(self.hostname)
        return super().connect()

    def connection_for_read(self, heartbeat: Any = None) -> Any:
        """As Celery's; what is read through it is held by this connection's holder."""
        options = holders.key_names(self.holder) if self.holder else {}
        return self.ensure_connected(self.app.connection_for_read(heartbeat=heartbeat, transport_options=options))

    def ensure_connected(self, conn: Any) -> Any:
        """As Celery's, with short pauses."""
        conn.ensure_connection = partial(conn.ensure_connection, **_AGAIN)
        return super().ensure_connected(conn)
