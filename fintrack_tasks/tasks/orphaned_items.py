"""Items whose message was lost with a worker: found after a worker's death and enqueued again.

Redis removes a message from its queue before the worker can record that it holds it. A worker that is killed in between
loses the message, and its item would wait for its deadline. Recorded messages are put back by
:mod:`fintrack_tasks.tasks.unacknowledged`; here every message of the fleet is read once, and open items without one are
enqueued again. A mistake costs one stale message: the ledger lets only one generation of an item work.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Final, cast
from uuid import UUID

import redis
import structlog
from celery import Celery
from kombu.transport.redis import Channel

from fintrack_tasks.domain import Item
from fintrack_tasks.store import lost_items
from fintrack_tasks.tasks import unacknowledged
from fintrack_tasks.tasks.base import connections, utc_now

__all__ = ["note_death", "seek", "without_message"]

log = structlog.get_logger("fintrack.tasks")

_DEATH: Final = "fintrack:death"
_NOTED_SECONDS: Final = 600
_PAGE: Final = 500
_MOST_ITEMS: Final = 20_000
"""Above so many open items the deadline does it: every message would have to be read."""
_BETWEEN: Final = 1.0
"""Seconds between two looks: a message that a living worker is just taking is in neither place for a moment."""
_YOUNG: Final = timedelta(seconds=5)
"""An item that is younger may belong to a program that has not sent it yet."""


def note_death(app: Celery, client: redis.Redis) -> None:
    """Mark the death for the next reconcile, and enqueue that at once."""
    if client.set(_DEATH, 1, nx=True, ex=_NOTED_SECONDS):
        app.send_task("fintrack.reconcile")


def seek(app: Celery, client: redis.Redis, grace: float) -> list[Item]:
    """The items without a message, as a new generation, when a worker has died since the last call; none otherwise.

    :param grace: seconds until an item that is enqueued again counts as lost.
    """
    if not client.delete(_DEATH):
        return []
    with connections().database.connection() as conn:
        missed = lost_items.open_items(conn, utc_now() - _YOUNG, _MOST_ITEMS + 1)
        if len(missed) > _MOST_ITEMS:
            log.warning("too_many_open_items_to_seek", items=len(missed))
            return []
        for _ in range(2):
            if not missed:
                return []
            time.sleep(_BETWEEN)
            named = set(_named(_messages(app, client)))
            # A dispatch that is on its way enqueues its run's items itself.
            missed = {item: run for item, run in missed.items() if item not in named and run not in named}
        found = lost_items.enqueue_again(conn, list(missed), utc_now(), grace)
    if found:
        log.warning("items_without_a_message", items=len(found))
    return found


def without_message(app: Celery, client: redis.Redis, items: Sequence[UUID]) -> list[UUID]:
    """Those of the items that no message of the fleet names."""
    named = set(_named(_messages(app, client))) if items else set()
    return [item for item in items if item not in named]


def _messages(app: Celery, client: redis.Redis) -> Iterator[Any]:
    """Every waiting message, then every unacknowledged one: messages move in this direction."""
    options = app.conf.broker_transport_options
    prefix, steps = options["global_keyprefix"], options["priority_steps"]
    queues = [queue.name for queue in app.conf.task_queues]
    # Redis' transport has a list for each queue and priority; that of the first has the queue's own name.
    waiting = [f"{queue}{Channel.sep}{step}" if step else queue for queue in queues for step in steps]
    for key in waiting:
        yield from map(_read, _listed(client, f"{prefix}{key}"))
    living: Any = client.zrange(unacknowledged.HOLDERS, 0, -1)
    for name in living:
        key = prefix + unacknowledged.key_names(name.decode())["unacked_key"]
        for _, element in client.hscan_iter(key, count=_PAGE):
            held = _read(element)
            yield held[0] if isinstance(held, list) and held else held  # with its exchange and its routing key


def _listed(client: redis.Redis, key: str) -> Iterator[bytes]:
    first = 0
    while page := client.lrange(key, first, first + _PAGE - 1):
        yield from cast("list[bytes]", page)
        first += _PAGE


def _read(element: bytes) -> Any:
    try:
        return json.loads(element)
    except ValueError:  # no message: whoever takes it tells of it
        return []


def _named(messages: Iterable[Any]) -> Iterator[UUID]:
    """The items and the runs that messages name: those of stages, and of jobs that dispatch a run."""
    for message in messages:
        try:
            arguments, named, _ = json.loads(base64.b64decode(message["body"]))
            first = arguments[0] if arguments else None
            first = first[0] if isinstance(first, list) and first else first
            identity = first["id"] if isinstance(first, dict) else named.get("run_id") or message["headers"]["id"]
            yield UUID(identity)
        except (ValueError, TypeError, KeyError, AttributeError, binascii.Error):
            continue  # of another form: it is no item's
