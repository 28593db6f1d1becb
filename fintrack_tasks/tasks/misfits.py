"""Messages that are none of ours: refused, counted, and kept among the dead letters with what they said.

Whoever can write to the broker, an older or newer version of this program included, may leave anything in a queue.
Such a message is taken off the queue, since it would come again for ever otherwise; nothing here raises.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog

from fintrack_tasks.observability import metrics
from fintrack_tasks.observability.masking import Masker, secrets_of
from fintrack_tasks.settings import settings
from fintrack_tasks.store import dead_letters
from fintrack_tasks.tasks.base import connections, utc_now

__all__ = ["keep", "keep_soon", "misfit"]

log = structlog.get_logger("fintrack.misfits")

_LONGEST: Final = 64 * 1024
"""Bytes of a message without a batch: an item, its chain, a list of symbols."""
_WITH_BATCH: Final = (".validate", ".transform", ".load")
_MOST_WAITING: Final = 1_000

_lock = threading.Lock()
_writers: dict[str, ThreadPoolExecutor] = {}
_waiting = threading.Semaphore(_MOST_WAITING)


def misfit(message: Any, *, prefork: bool) -> str | None:
    """Why a message cannot be worked on; ``None`` when it may be a task's.

    :param prefork: of the worker's pool, which gives a body that it cannot read back as a failure, so that a batch
        need not be read twice. The threads pool would drop it, and the message keep its place for ever.
    """
    headers = message.headers
    if not isinstance(headers, Mapping):
        return "its headers are no mapping"
    if headers.get("compression"):
        return "it is compressed, which no message of ours is"
    if "task" not in headers:
        return None
    size, batch = len(message.body or ""), str(headers["task"]).endswith(_WITH_BATCH)
    if size > _LONGEST and not batch:
        return f"it has {size} bytes"
    return None if size > _LONGEST and prefork else _misshapen(message)


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
    """Keep one among the dead letters; where PostgreSQL does not answer, only the log has it."""
    _count(task, reason, detail)
    _write(task, reason, detail, message)


def keep_soon(task: str, reason: str, detail: str, message: object) -> None:
    """The same from a worker's main loop, which must not wait for PostgreSQL."""
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
