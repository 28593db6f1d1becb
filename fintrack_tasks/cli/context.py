"""What every command works with: connections by the current settings, the clock, and outages of Redis as our errors."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from fintrack_tasks import outages
from fintrack_tasks.cli.simulated_notice import set_price_source
from fintrack_tasks.connections import Connections
from fintrack_tasks.settings import Settings, load_settings, redact_url

__all__ = ["open_connections", "redis_outage", "utc_now"]


@contextmanager
def open_connections(settings: Settings | None = None, *, reading: bool = False) -> Iterator[Connections]:
    """The connections of one command, closed at its end.

    :param reading: the command changes nothing, and logs in to PostgreSQL as a reader where there is one.
    :raises OutageError: when Redis does not answer; PostgreSQL's and Kafka's outages are raised where they are used.
    """
    settings = settings or load_settings()
    made = Connections(settings.as_reader() if reading else settings)
    set_price_source(lambda: made.simulated)
    try:
        with redis_outage(made.settings):
            yield made
    finally:
        made.close()


@contextmanager
def redis_outage(settings: Settings) -> Iterator[None]:
    """Name Redis and its address where its client only says that a connection failed."""
    try:
        yield
    except _lost() as error:
        raise outages.of_redis(error, redact_url(settings.redis_url.get_secret_value())) from None


def _lost() -> tuple[type[Exception], ...]:
    """The exceptions of the clients of Redis that are imported; the others cannot have raised any."""
    named = (("redis.exceptions", ("RedisError",)), ("kombu.exceptions", ("OperationalError",)))
    imported = [(sys.modules[module], names) for module, names in named if module in sys.modules]
    return tuple(getattr(module, name) for module, names in imported for name in names)


def utc_now() -> datetime:
    """The commands' clock: below them, time is an argument."""
    return datetime.now(tz=UTC)


def export_lines(values: Mapping[str, str]) -> list[str]:
    """``export NAME='value'`` lines for a POSIX shell."""
    return [
        f"export {name}='{value.replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}'"
        for name, value in sorted(values.items())
    ]
