"""Messages in our queues that are not valid task messages: refused, counted and kept as dead letters.

Messages of the right form with a wrong signature are in :mod:`fintrack_tasks.tasks.forged_messages`.

Any client of the broker, an older or newer version of this program included, may leave anything in a queue. Such a
message is taken off, since it would be delivered again for ever; nothing here raises.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog

from fintrack_tasks.observability import metrics
from fintrack_tasks.observability.masking import Masker, secrets_of
from fintrack_tasks.store import dead_letters
from fintrack_tasks.tasks.base import connections, settings, utc_now

__all__ = ["keep", "keep_soon", "misfit"]

log = structlog.get_logger("fintrack.foreign_messages")

_LONGEST: Final = 64 * 1024
"""Bytes of a message without a batch: an item, its chain, a list of symbols."""
_WITH_BATCH: Final = (".validate", ".transform", ".load")
_MOST_WAITING: Final = 1_000

_TEXT: Final = (str, type(None))
_NUMBER: Final = (int, type(None))
_HEADERS: Final[Mapping[str, tuple[type, ...]]] = {
    **dict.fromkeys(("task", "id"), (str,)),
    **dict.fromkeys(("lang", "shadow", "eta", "expires", "group", "root_id", "parent_id", "origin"), _TEXT),
    **dict.fromkeys(("argsrepr", "kwargsrepr"), _TEXT),
    **dict.fromkeys(("retries", "group_index", "replaced_task_nesting"), _NUMBER),
    "ignore_result": (bool, type(None)),
    "stamped_headers": (list, tuple, type(None)),
    "stamps": (dict, type(None)),
}
"""What Celery writes there. It reads them all over the worker and checks none: a list as the name to be shown kept
every later message of its queue from being worked on."""
_OF_THE_WORKER: Final = frozenset(
    (
        *("args", "kwargs", "headers", "properties", "callbacks", "errbacks", "chain", "chord", "delivery_info"),
        *("called_directly", "hostname", "is_eager", "logfile", "loglevel", "time_limit", "soft_time_limit"),
    )
)
"""What a worker says of a request itself; a message's own word would take its place."""
_LONGEST_HEADER: Final = 4_096

_lock = threading.Lock()
_writers: dict[str, ThreadPoolExecutor] = {}
_waiting = threading.Semaphore(_MOST_WAITING)


def misfit(message: Any, *, prefork: bool) -> str | None:
    """Why a message cannot be run as a task; ``None`` when it can.

    :param prefork: whether the worker's pool is prefork: it returns a body that it cannot read as a failure, so that a
        batch need not be decoded twice. The threads pool would drop it and never acknowledge the message.
    """
    headers = message.headers
    if not isinstance(headers, Mapping):
        return "its headers are no mapping"
    if headers.get("compression"):
        return "it is compressed, which no message of ours is"
    if "task" not in headers:
        return None
    if reason := _strange_header(headers):
        return reason
    size, batch = len(message.body or ""), str(headers["task"]).endswith(_WITH_BATCH)
    if size > _LONGEST and not batch:
        return f"it has {size} bytes"
    return None if size > _LONGEST and prefork else _misshapen(message)


def _strange_header(headers: Mapping[str, Any]) -> str | None:
    if str(headers["task"]).startswith("celery."):
        return "it is for a task of Celery's own, which calls others: no program of ours sends one"
    for name, value in headers.items():
        if name in _OF_THE_WORKER:
            return f"its header {name} is the worker's to set"
        if name in _HEADERS and not isinstance(value, _HEADERS[name]):
            return f"its header {name} is of the type {type(value).__name__}"
        if isinstance(value, str) and len(value) > _LONGEST_HEADER:
            return f"its header {str(name)[:40]} has {len(value)} characters"
    return None


def _misshapen(message: Any) -> str | None:
    try:
        body = message.decode()
    except Exception as error:  # noqa: BLE001  whatever a decoder makes of a foreign body
        return f"its body cannot be decoded: {type(error).__name__}: {error}"
    if not (isinstance(body, list | tuple) and len(body) == 3):
        return "its body is not a list of arguments, named arguments and options"
    arguments, named, options = body
    if isinstance(arguments, list | tuple) and isinstance(named, dict) and isinstance(options, dict | None):
        return None
    return "its arguments are no list, or its named arguments no mapping"


def keep(task: str, reason: str, detail: str, message: object) -> None:
    """Write a message to the dead letters; where PostgreSQL does not answer, only the log has it."""
    _count(task, reason, detail)
    _write(task, reason, detail, message)


def keep_soon(task: str, reason: str, detail: str, message: object) -> None:
    """:func:`keep` in a thread, for a worker's main loop, which must not wait for PostgreSQL."""
    _count(task, reason, detail)
    with _lock:
        writer = _writers.setdefault("writer", ThreadPoolExecutor(1, thread_name_prefix="dead-letters"))
    if _waiting.acquire(blocking=False):
        writer.submit(_write, task, reason, detail, message).add_done_callback(lambda _: _waiting.release())


def _count(task: str, reason: str, detail: str) -> None:
    metrics.message_refused(reason)
    log.error("message_refused", task=task[:200], reason=reason, detail=detail[:500])


def _write(task: str, reason: str, detail: str, message: object) -> None:
    try:
        masker = Masker(secrets_of(settings()))
        text = message if isinstance(message, str) else repr(message)
        text = masker.text(text[: 2 * dead_letters.LONGEST_MESSAGE])
        with connections().database.connection() as conn:
            dead_letters.add_message(conn, masker.text(task), reason, masker.text(detail), text, utc_now())
    except Exception as error:  # noqa: BLE001  it is called where nothing may raise
        log.error("dead_letter_not_kept", task=task[:200], error=type(error).__name__)  # noqa: TRY400  one line
