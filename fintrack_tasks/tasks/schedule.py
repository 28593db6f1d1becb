"""Beat's scheduler: RedBeat's schedule in Redis, with one active beat at a time, made to survive outages of Redis.

RedBeat takes its lock once, before the first tick, and any later error ends the process. Here each tick begins with
the lock: it is renewed, taken again when it was lost, or left to the beat that has it. A tick that meets an outage
ends with a pause, so that the next one tries again.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Final

import structlog
from celery import Celery
from celery.beat import SchedulingError
from kombu.exceptions import OperationalError
from redbeat import RedBeatScheduler
from redbeat.schedulers import RedBeatSchedulerEntry, ensure_conf, get_redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import LockError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

__all__ = ["SteadyScheduler", "schedule_of"]

log = structlog.get_logger("fintrack.beat")

_OUTAGES: Final = (RedisError, OperationalError)


def schedule_of(app: Celery) -> Any:
    """RedBeat's settings: where the schedule is kept, and the name of its lock.

    RedBeat wants a setting of its own for Redis' URL. It is set here, in the processes that need it: a worker shows its
    settings on request (to Flower, for one), and masks passwords only in Celery's own.
    """
    if not app.conf.get("redbeat_redis_url"):
        app.conf.redbeat_redis_url = app.conf.broker_url
    return ensure_conf(app)


class SteadyScheduler(RedBeatScheduler):
    """The scheduler: sends what is due while it holds the lock; stands by while another beat holds it.

    Redis may be away when it starts or at any later moment, and may come back empty: the schedule is then set up again
    from ``beat_schedule``. What is still known of each entry's last run is kept.
    """

    lock: Any = None
    lock_key: str | None

    def __init__(self, app: Celery, *args: Any, **kwargs: Any) -> None:
        schedule_of(app)
        self._ready = False
        self._told: str | None = None
        self._failures = 0
        self._failing_since = 0.0
        self._unsent: Any = None
        super().__init__(app, *args, **kwargs)
        # Without a lock_key RedBeat leaves the lock alone: its own way of taking it gives up at the first outage.
        self._key, self.lock_key = self.lock_key, None

    def setup_schedule(self) -> None:
        """Nothing yet: entries are written by the beat that holds the lock."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; returns the seconds until it should be called again. Never raises because of an outage."""
        try:
            pause: float = super().tick(*args, **kwargs) if self._leads() else self.max_interval
        except _OUTAGES as error:
            return 0.0 if isinstance(error, ResponseError) and self._drop_damaged() else self._outage(error)
        except Exception:  # an entry that nobody can read may raise anything; without one it is a defect of ours
            if not self._drop_damaged():
                raise
            return 0.0
        if self._failures:
            log.info("schedule_goes_on", seconds=round(time.monotonic() - self._failing_since, 1))
            self._failures = 0
        return pause

    def maybe_due(self, entry: Any, **kwargs: Any) -> float:
        """As RedBeat's, but an outage ends the tick."""
        due, seconds = entry.is_due()
        if due:
            log.info("schedule_sends", entry=entry.name, task=entry.task)
            try:
                self.apply_async(entry, **kwargs)
            except SchedulingError as error:
                if isinstance(error.__context__, _OUTAGES):
                    self._unsent = entry  # it counts as run already: that was written before it was sent
                    raise error.__context__ from None
                log.error("schedule_entry_failed", entry=entry.name, detail=str(error))  # noqa: TRY400  one line
        return float(seconds)

    def close(self) -> None:
        """Release the lock and close the connections."""
        lock, self.lock = self.lock, None
        if lock is not None:
            with suppress(RedisError):  # it expires by itself
                lock.release()
        super().close()

    def _drop_damaged(self) -> bool:
        """Remove entries that cannot be read, which would block all others; returns whether there were any.

        Any client of Redis may leave them; our own are written again.
        """
        try:
            client = get_redis(self.app)
            keys = client.zrange(self.app.redbeat_conf.schedule_key, 0, -1)
            damaged = [key for key in keys if not self._readable(key)]
            for key in damaged:
                client.delete(key)
                client.zrem(self.app.redbeat_conf.schedule_key, key)
                log.error("schedule_entry_damaged", entry=str(key)[:200])
        except _OUTAGES:
            return False
        self._ready = self._ready and not damaged
        return bool(damaged)

    def _readable(self, key: str) -> bool:
        try:
            RedBeatSchedulerEntry.from_key(key, app=self.app).is_due()
        except (RedisConnectionError, RedisTimeoutError):
            raise
        except Exception:  # noqa: BLE001  whatever a stranger wrote there
            return False
        return True

    def _leads(self) -> bool:
        """Whether this beat holds the lock; sets the schedule up when it has just taken it."""
        if not self._holds():
            return False
        if not self._ready:
            super().setup_schedule()
            self._ready = True
        if self._unsent is not None:
            self._unsent.reschedule(self._unsent.last_run_at)
            self._unsent = None
        return True

    def _holds(self) -> bool:
        if self.lock is not None:
            try:
                return bool(self.lock.reacquire())
            except LockError:  # it expired, or Redis lost it, and with it perhaps the entries
                self.lock, self._ready = None, False
                log.warning("schedule_lock_lost")
        lock = get_redis(self.app).lock(self._key, timeout=self.lock_timeout)
        holds = bool(lock.acquire(blocking=False))
        if holds:
            self.lock = lock
        self._tell("schedule_taken" if holds else "schedule_stands_by")
        return holds

    def _tell(self, what: str) -> None:
        """Log a change of the lock, once."""
        if what != self._told:
            self._told = what
            log.info(what)

    def _outage(self, error: Exception) -> float:
        """The pause before the next attempt: it doubles from a second to the longest pause between two ticks."""
        if not self._failures:
            self._failing_since = time.monotonic()
            log.warning("schedule_waits_for_redis", error=type(error).__name__, detail=str(error))
        pause = min(2.0**self._failures, float(self.max_interval))
        self._failures = min(self._failures + 1, 10)
        self._ready = False
        self._disconnect()
        return pause

    def _ensure_connected(self) -> Any:
        """As Celery's, without its endless loop of logged attempts."""
        return self.connection.ensure_connection(max_retries=1, interval_start=0)

    def _disconnect(self) -> None:
        """Drop the connection; the next message opens a new one."""
        for name in ("producer", "_maybe_due_kwargs"):
            self.__dict__.pop(name, None)
        if (connection := self.__dict__.pop("connection", None)) is not None:
            with suppress(Exception):  # it is broken already
                connection.release()
