"""Checks of workers, beat, outbox and local stack, for ``health``, and for ``run`` before it enqueues."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

from fintrack_tasks import outages
from fintrack_tasks.cli.context import open_connections, redis_outage
from fintrack_tasks.connections import Connections
from fintrack_tasks.errors import OutageError
from fintrack_tasks.fetch import route
from fintrack_tasks.settings import Settings, load_settings
from fintrack_tasks.store import outbox

__all__ = ["check_beat", "check_local_stack", "check_outbox", "check_workers", "require_workers", "required_queues"]

_ROUND_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 3.0
"""A worker that has just started, or that has just lost its connection, is given so long."""
_PAUSE_SECONDS: Final = 0.2
_STANDSTILL_SECONDS: Final = 60.0
"""Each commit enqueues a drain, and the schedule one every 15 seconds; a frozen one is cut off after 45."""
_LOCK: Final = "the schedule's lock in Redis"
_LATE_SECONDS: Final = 15.0
"""A beat renews its lock with each tick, at least every five seconds."""


def required_queues(settings: Settings) -> list[str]:
    """The queues that must have a worker: those of the stages, and of every provider on a route."""
    names = {name for row in route.table(settings) for name in row["providers"]}
    return ["ops", "publish", "etl", *(f"fetch.{name}" for name in sorted(names))]


def require_workers(connections: Connections) -> None:
    """Refuse to enqueue when a queue has no worker.

    :raises OutageError: names the queues that no worker serves.
    """
    _responding_workers(connections)


def check_workers() -> str:
    """Which workers serve the queues.

    :raises OutageError: names the queues that no worker serves.
    """
    with open_connections(load_settings()) as connections:
        crew = _responding_workers(connections)
        _raise_for_silent(connections, crew)
    return f"{len(crew)} answer and serve every queue: {', '.join(sorted(crew))}"


def check_local_stack() -> str:
    """What of the local stack was started again, and why; nothing where none runs, or other servers are asked.

    :raises OutageError: when a part of it is down, or ends again and again.
    """
    from fintrack_tasks.embedded import Stack, supervise  # noqa: PLC0415  psutil, for those alone who look at processes

    settings = load_settings()
    stack = Stack(settings.fintrack_home)
    if stack.environment().get("REDIS_URL") != settings.redis_url.get_secret_value():
        return "none runs here"
    if troubles := supervise.troubles(stack, datetime.now(tz=UTC)):
        raise OutageError("the local stack", str(stack.home), "; ".join(troubles), "is not whole")
    said = [
        f"{one.name} {one.count} times, last {one.last:%H:%M:%S}: {one.reason}" for one in supervise.restarts(stack)
    ]
    return f"started again: {'; '.join(said)}" if said else "nothing had to be started again"


def check_outbox() -> str:
    """How many events wait for Kafka.

    :raises OutageError: when events wait and none was acknowledged of late.
    """
    with open_connections(load_settings()) as connections, connections.database.connection() as conn:
        waiting, seconds = outbox.standstill(conn, datetime.now(tz=UTC))
        if seconds > _STANDSTILL_SECONDS:
            _raise_if_redis_full(connections, "a worker", "the outbox", "the drains are not enqueued")
    if seconds > _STANDSTILL_SECONDS:
        events = "1 event waits" if waiting == 1 else f"{waiting} events wait"
        remedy = f"{events}, and none went out for {seconds:.0f} s: see Kafka, and the workers of the queue publish"
        raise OutageError("Kafka or a worker", "the outbox", remedy)
    return f"{waiting} events wait"


def _responding_workers(connections: Connections) -> set[str]:
    """The names of the workers that answer; together they serve every required queue."""
    queues = required_queues(connections.settings)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        serving = _workers_by_queue(connections, queues)
        unserved = [queue for queue, names in serving.items() if not names]
        if not unserved:
            return set().union(*serving.values())
        if time.monotonic() > deadline:
            what = f"the queue{'s' * (len(unserved) > 1)} {', '.join(unserved)}"
            _raise_if_redis_full(connections, "a Celery worker", what, "no worker can say that it lives")
            remedy = _start_remedy(connections.settings, f"worker -Q {','.join(unserved)}")
            raise OutageError("a Celery worker", what, remedy)
        time.sleep(_PAUSE_SECONDS)  # a worker says every two seconds what it serves


def _raise_if_redis_full(connections: Connections, who: str, where: str, meanwhile: str) -> None:
    """Raise when Redis answers but refuses writes: then no process is missing, and starting one would not help.

    :raises OutageError: with what ails Redis as its remedy.
    """
    try:
        with redis_outage(connections.settings):
            connections.redis.set("fintrack:health", 1, ex=60)
    except OutageError as error:
        remedy = f"{error.server} {error.problem}, so that {meanwhile}: {error.remedy}"
        raise OutageError(who, where, remedy) from None


def _start_remedy(settings: Settings, command: str) -> str:
    """How to start a missing process: on this machine, or where the workers of a remote Redis run."""
    here = outages.is_here(settings.redis_url.get_secret_value().rpartition("@")[2])
    return OutageError.START if here else f"start it where the workers run: celery -A fintrack_tasks {command}"


def _raise_for_silent(connections: Connections, crew: set[str]) -> None:
    """Raise for workers that stopped sending heartbeats or answers, although others serve the same queues."""
    from fintrack_tasks.tasks import heartbeats, unacknowledged  # noqa: PLC0415  see _workers_by_queue

    queues = required_queues(connections.settings)
    claimed = set().union(*heartbeats.living(connections.redis, queues).values())
    mute = claimed - crew - set().union(*_workers_by_queue(connections, queues).values())
    silent = {name: f" for {seconds:.0f} s" for name, seconds in unacknowledged.missing(connections.redis).items()}
    silent |= dict.fromkeys(mute, "")
    if silent:
        names = ", ".join(f"{name}{since}" for name, since in sorted(silent.items()))
        raise OutageError(
            "a Celery worker", "its own name", f"silent: {names}; frozen, or killed and not started again"
        )


def _workers_by_queue(connections: Connections, queues: list[str]) -> dict[str, set[str]]:
    """For each queue the workers with a recent heartbeat for it that answer a ping now."""
    from fintrack_tasks import plain_messages  # noqa: PLC0415  Celery, for those alone who ask the workers
    from fintrack_tasks.app import app as celery  # noqa: PLC0415
    from fintrack_tasks.tasks import heartbeats  # noqa: PLC0415  registers every task; the other commands do not need them

    claimed = heartbeats.living(connections.redis, queues)
    names = set().union(*claimed.values())
    if not names:
        return claimed
    plain_messages.install()
    replies = celery.control.broadcast(
        "ping", reply=True, destination=sorted(names), timeout=_ROUND_SECONDS, limit=len(names)
    )
    present = {name for reply in replies or () for name in reply}
    return {queue: workers & present for queue, workers in claimed.items()}


def check_beat() -> str:
    """How long ago a beat renewed the schedule's lock.

    :raises OutageError: when none holds it, or the one that holds it does not tick.
    """
    from fintrack_tasks.app import app as celery  # noqa: PLC0415  see _workers_by_queue
    from fintrack_tasks.tasks.schedule import schedule_of  # noqa: PLC0415  RedBeat is slow to import

    conf = schedule_of(celery)
    with open_connections(load_settings()) as connections:
        left = int(connections.redis.pttl(conf.lock_key)) / 1000
        since = max(0.0, conf.lock_timeout - left)
        if left <= 0 or since > _LATE_SECONDS:
            _raise_if_redis_full(connections, "beat", _LOCK, "the lock cannot be renewed")
    if left <= 0:
        raise OutageError("beat", _LOCK, _start_remedy(connections.settings, "beat"))
    if since > _LATE_SECONDS:
        raise OutageError("beat", _LOCK, f"not renewed for {since:.0f} s: it is frozen or held up; see its log")
    return f"renewed the schedule's lock {since:.0f} s ago"
