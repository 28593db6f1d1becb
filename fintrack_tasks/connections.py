"""The connections of one process, opened when first used.

A prefork child must not use what its parent opened: the tasks let go of it right after the fork and make their own.
Each server's client is imported with its first connection: a command that only reads PostgreSQL starts in half the
time.
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING

from fintrack_tasks.domain import Mode
from fintrack_tasks.settings import Settings, load_settings
from fintrack_tasks.signatures import Signer
from fintrack_tasks.store import message_keys
from fintrack_tasks.store.connection import Database

if TYPE_CHECKING:
    import redis

    from fintrack_tasks.fetch.http.client import HttpClient
    from fintrack_tasks.fetch.quota.gate import Gate
    from fintrack_tasks.publish.producer import Producer

__all__ = ["Connections"]


class Connections:
    """PostgreSQL, provider HTTP, Kafka and Redis for one process. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._mode: Mode | None = None

    @cached_property
    def database(self) -> Database:
        with self._lock:
            return Database(self.settings)

    @cached_property
    def http(self) -> HttpClient:
        from fintrack_tasks.fetch.http.client import HttpClient  # noqa: PLC0415  see the module

        with self._lock:
            return HttpClient(
                base_urls=self.settings.provider_base_urls, timeout=self.settings.fintrack_http_timeout_seconds
            )

    @cached_property
    def gate(self) -> Gate:
        from fintrack_tasks.fetch.quota.gate import Gate  # noqa: PLC0415  see the module
        from fintrack_tasks.fetch.quota.keys import KeyRing  # noqa: PLC0415  see the module

        with self._lock:
            return Gate(self.redis, self.settings, KeyRing(self.settings, load_settings))

    @cached_property
    def producer(self) -> Producer:
        from fintrack_tasks.publish.kafka import Cluster  # noqa: PLC0415  see the module
        from fintrack_tasks.publish.producer import Producer  # noqa: PLC0415  see the module

        with self._lock:
            return Producer(Cluster.of(self.settings), batch_messages=self.settings.kafka_batch_messages)

    @cached_property
    def redis(self) -> redis.Redis:
        import redis  # noqa: PLC0415  see the module

        with self._lock:
            return redis.Redis.from_url(
                self.settings.redis_url.get_secret_value(),
                socket_timeout=5,
                socket_connect_timeout=5,
                **self.settings.redis_tls or {},
            )

    @cached_property
    def signer(self) -> Signer:
        with self._lock:
            return Signer(self._message_keys)

    def _message_keys(self) -> tuple[bytes, ...]:
        with self.database.connection() as conn:
            return message_keys.read(conn)

    @property
    def simulated(self) -> bool:
        """Whether prices are simulated: by the database's mode, or by the settings before the database was asked."""
        if "database" in self.__dict__:
            self._mode = self.database.mode or self._mode
        return self.settings.simulated if self._mode is None else self._mode is Mode.SIMULATED

    def close(self) -> None:
        """Close what was opened; a later use opens it again."""
        if "database" in self.__dict__:
            self._mode = self.database.mode or self._mode
        for name in ("gate", "signer"):
            self.__dict__.pop(name, None)
        for name in ("producer", "http", "database", "redis"):
            opened = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()
