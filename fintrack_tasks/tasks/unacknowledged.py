"""Unacknowledged messages by holder, so that those of a dead worker are delivered again within seconds.

Items whose message was lost before it was recorded are found by :mod:`fintrack_tasks.tasks.orphaned_items`.

kombu records the unacknowledged messages of all workers in one hash, without their holder, so that those of a dead
worker wait for the visibility timeout. Here each connection of a worker, a *holder*, has keys of its
own and a heartbeat every two seconds. The messages of a silent holder are put back to their queues by the others. A
worker that was only slow may then work on a message that another worker has too; stages are idempotent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

import redis
import structlog
from celery import Celery

from fintrack_tasks.tasks.redis_transport import astray

__all__ = ["HOLDERS", "SILENT_SECONDS", "Succession", "key_names", "missing", "name_holder", "put_back", "register"]

log = structlog.get_logger("fintrack.unacknowledged")

SILENT_SECONDS: Final = 8.0
"""Seconds without a word after which a holder is taken for dead."""
_LEAVING_SECONDS: Final = 45.0
"""One that said it leaves is still ending its tasks; it is gone for certain after the containers' grace."""
_MISSING_SECONDS: Final = 600.0
"""So long ``health`` tells of a worker that went silent without leaving and did not come back."""
_LEASE_SECONDS: Final = 30

HOLDERS: Final = "fintrack:holders"
_LEFT: Final = "fintrack:left:{}"
_LEASE: Final = "fintrack:lease:{}"
_MISSING: Final = "fintrack:missing"


def name_holder(worker: str) -> str:
    """A new name for a worker's next connection."""
    return f"{worker}:{uuid4().hex[:12]}"


def key_names(holder: str) -> dict[str, str]:
    """The broker options that name a connection's own keys."""
    return {"unacked_key": f"unacked:{holder}", "unacked_index_key": f"unacked_index:{holder}"}


def register(client: redis.Redis, holder: str) -> None:
    """Register a holder with a first heartbeat."""
    client.zadd(HOLDERS, {holder: _now(client)})
    client.hdel(_MISSING, _worker(holder))


def put_back(app: Celery, holder: str) -> int:
    """Put a holder's messages back to the heads of their queues; returns how many."""
    with app.connection_for_write(transport_options=key_names(holder)) as connection:
        channel = connection.default_channel
        with channel.conn_or_acquire() as client:
            tags: list[Any] = client.zrange(channel.unacked_index_key, 0, -1)
            for tag in tags:
                channel.qos.restore_by_tag(tag.decode(), client)
    return len(tags)


def put_back_astray(app: Celery) -> int:
    """Put back messages that left their queue without being recorded, because the connection broke in between."""
    count = 0
    with app.connection_for_write() as connection:
        while astray:
            connection.default_channel.put_back(*astray[0])
            astray.popleft()
            count += 1
    return count


def missing(client: redis.Redis) -> dict[str, float]:
    """The workers that lately stopped their heartbeat without leaving, with the seconds since."""
    now = _now(client)
    noted: Any = client.hgetall(_MISSING)
    found = {name.decode(): now - float(since) for name, since in noted.items()}
    return {name: seconds for name, seconds in found.items() if seconds < _MISSING_SECONDS}


def _now(client: redis.Redis) -> float:
    seconds, micros = client.time()
    return float(seconds + micros / 1e6)


class Succession:
    """One worker's heartbeat as a holder, and its takeover of silent holders.

    :param clock: monotonic seconds.
    :param taken_up: called when a silent holder's messages were put back.
    """

    def __init__(
        self,
        app: Celery,
        clock: Callable[[], float] = time.monotonic,
        taken_up: Callable[[Celery, redis.Redis], None] | None = None,
    ) -> None:
        self._app = app
        self._clock = clock
        self._taken_up = taken_up
        self._since: float | None = None
        self._last = 0.0

    def begin(self, client: redis.Redis, holder: str, before: str | None) -> None:
        """Put back what the previous connection of this worker still held."""
        self._since = None
        register(client, holder)
        count = put_back_astray(self._app)
        if before is not None:
            count += put_back(self._app, before)
            client.zrem(HOLDERS, before)
        if count:
            log.warning("messages_put_back", worker=_worker(holder), messages=count)

    def tick(self, client: redis.Redis, holder: str) -> None:
        """Write the heartbeat, and put back the messages of silent holders.

        Only after an unbroken series of heartbeats as long as the silence that counts as death: after an outage of
        Redis, the first worker to come back must not take the others for dead.
        """
        clock = self._clock()
        if self._since is None or clock - self._last > SILENT_SECONDS / 2:
            self._since = clock
        self._last = clock
        now = _now(client)
        with client.pipeline() as pipe:
            pipe.zadd(HOLDERS, {holder: now})
            pipe.zrangebyscore(HOLDERS, "-inf", now - SILENT_SECONDS, withscores=True)
            _, silent = pipe.execute()
        if clock - self._since < SILENT_SECONDS:
            return
        for name, last in silent:
            self._take_up(client, name.decode(), float(last), now)

    def _take_up(self, client: redis.Redis, holder: str, last: float, now: float) -> None:
        left = bool(client.exists(_LEFT.format(holder)))
        if left and now - last < _LEAVING_SECONDS:
            return
        if not client.set(_LEASE.format(holder), 1, nx=True, ex=_LEASE_SECONDS):
            return  # another one is at it; should it die meanwhile, the lease ends
        count = put_back(self._app, holder)
        client.zrem(HOLDERS, holder)
        client.delete(_LEASE.format(holder))
        living: Any = client.zrangebyscore(HOLDERS, now - SILENT_SECONDS, "+inf")
        back = {_worker(name.decode()) for name in living}
        if not left and _worker(holder) not in back:
            client.hset(_MISSING, _worker(holder), str(last))
            client.expire(_MISSING, int(_MISSING_SECONDS))
        log.warning("messages_taken_up", worker=_worker(holder), silent_seconds=round(now - last, 1), messages=count)
        if self._taken_up:
            self._taken_up(self._app, client)

    def leave(self, client: redis.Redis, holder: str) -> None:
        """Deregister: silence from now on is no death."""
        client.set(_LEFT.format(holder), 1, ex=3600)
        client.hdel(_MISSING, _worker(holder))


def _worker(holder: str) -> str:
    return holder.rpartition(":")[0]
