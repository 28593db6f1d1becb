"""Worker heartbeats in Redis: which workers live and serve which queue, and each one's share of a provider's quota.

Celery's rate limit holds for one worker. Every worker writes a heartbeat with its queues to Redis, and sets the
limit of each provider's task to the quota divided by the number of workers that serve it. The shares pace; the
guarantee is the gate (:mod:`fintrack_tasks.fetch.quota.gate`), so that a share may be somewhat too large while the
fleet changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import kombu.exceptions
import redis
import structlog
from celery import bootsteps

from fintrack_tasks.app import app
from fintrack_tasks.fetch import providers
from fintrack_tasks.fetch.quota.limits import celery_rate_limit, quotas_of
from fintrack_tasks.tasks import orphaned_items
from fintrack_tasks.tasks.base import connections, settings
from fintrack_tasks.tasks.consumer import WorkerConsumer
from fintrack_tasks.tasks.unacknowledged import Succession

__all__ = ["Fleet", "limits", "living", "muster"]

log = structlog.get_logger("fintrack.heartbeats")

EVERY: Final = 2.0
_GONE: Final = 7.0
"""Seconds without a word after which a worker is taken for dead."""
_SLACK: Final = 1.25
"""Shares are so much larger than a worker's part: work is never spread evenly, and the gate holds the total."""
_KEY: Final = "fintrack:fleet:{}"
_OUTAGES: Final = (redis.exceptions.RedisError, kombu.exceptions.OperationalError)


def muster(client: redis.Redis, name: str, queues: list[str], now: float) -> dict[str, int]:
    """Write a worker's heartbeat; returns how many workers serve each of its queues, itself included."""
    with client.pipeline() as pipe:
        for queue in queues:
            key = _KEY.format(queue)
            pipe.zadd(key, {name: now})
            pipe.zremrangebyscore(key, "-inf", now - _GONE)
            pipe.expire(key, 60)
            pipe.zcard(key)
        counts = pipe.execute()[3::4]
    return dict(zip(queues, counts, strict=True))


def living(client: redis.Redis, queues: Sequence[str]) -> dict[str, set[str]]:
    """The names of the live workers of each queue."""
    seconds, micros = client.time()
    with client.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.zrangebyscore(_KEY.format(queue), seconds + micros / 1e6 - _GONE, "+inf")
        found = pipe.execute()
    return {queue: {name.decode() for name in names} for queue, names in zip(queues, found, strict=True)}


def limits(counts: dict[str, int]) -> dict[str, str | None]:
    """Task name to Celery rate limit, for each fetch queue: the quota divided by the workers that serve the queue."""
    made = {}
    for queue, workers in counts.items():
        _, is_fetch, name = queue.partition("fetch.")
        if not is_fetch:
            continue
        quotas = quotas_of(providers.provider(name).facts, settings())
        made[f"fintrack.fetch.{name}"] = celery_rate_limit(quotas, workers / _SLACK)
    return made


class Fleet(bootsteps.StartStopStep):
    """The worker step that writes heartbeats, in each worker's main loop."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: WorkerConsumer, **kwargs: Any) -> None:
        self._entry: Any = None
        self._succession = Succession(app, taken_up=orphaned_items.note_death)
        super().__init__(parent, **kwargs)

    def start(self, consumer: WorkerConsumer) -> None:
        """Write a heartbeat now and every two seconds; put back what the previous connection held."""
        try:
            self._succession.begin(connections().redis, consumer.holder or "", consumer.before)
        except _OUTAGES as error:  # what the connection before held is taken up by whoever is there first
            log.warning("messages_not_put_back", worker=consumer.hostname, error=type(error).__name__)
        self._entry = consumer.timer.call_repeatedly(EVERY, self._tick, (consumer,))
        self._tick(consumer)

    def stop(self, consumer: WorkerConsumer) -> None:
        """Remove the heartbeat, so that the other workers' shares grow at once."""
        if self._entry is None:
            return
        self._entry.cancel()
        self._entry = None
        try:
            for name in consumer.app.amqp.queues.consume_from:
                connections().redis.zrem(_KEY.format(name), consumer.hostname)
            self._succession.leave(connections().redis, consumer.holder or "")
        except _OUTAGES:
            log.warning("fleet_not_left", worker=consumer.hostname)

    shutdown = stop

    def _tick(self, consumer: WorkerConsumer) -> None:
        client = connections().redis
        # Anew each time: a command to the worker (Flower's, a stranger's) may take a queue from it or give it one.
        served = list(consumer.app.amqp.queues.consume_from)
        try:
            seconds, micros = client.time()
            counts = muster(client, consumer.hostname, served, seconds + micros / 1e6)
            self._succession.tick(client, consumer.holder or "")
        except _OUTAGES:
            return  # Celery itself says that Redis is away; the last shares hold meanwhile
        consumer.pace(limits(counts))


app.steps["consumer"].add(Fleet)
