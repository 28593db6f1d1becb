"""Temporary refusals of a running Redis (memory full, read-only, loading), and what an operator can do about each.

A refusal is handled like an outage: the work is delayed and continues by itself once the cause is gone.
"""

from __future__ import annotations

from typing import Final

import redis.exceptions

__all__ = ["remedy_of"]

_REMEDIES: Final = {
    "OOM": "its memory is full: make room or raise its maxmemory, what was begun goes on then",
    "MISCONF": "it cannot write to its disk: make room, what was begun goes on then",
    "READONLY": "it is a read-only replica: name the primary in REDIS_URL",
    "LOADING": "it is still loading its data: wait a moment",
    "MASTERDOWN": "it is a replica without its primary: start the primary",
    "NOREPLICAS": "it has too few replicas to accept writes: start them",
}


def remedy_of(error: BaseException) -> str | None:
    """The remedy where Redis refused for now; ``None`` for any other error, such as a wrong command.

    The causes of an error are searched as well: another library may have wrapped it.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, redis.exceptions.OutOfMemoryError):
            return _REMEDIES["OOM"]  # redis-py removes the word from the text
        if isinstance(seen, redis.exceptions.ReadOnlyError):
            return _REMEDIES["READONLY"]
        if isinstance(seen, redis.exceptions.BusyLoadingError):
            return _REMEDIES["LOADING"]
        if isinstance(seen, redis.exceptions.ResponseError):
            for word in str(seen).replace("(", " ").split():
                if word in _REMEDIES:
                    return _REMEDIES[word]
        seen = seen.__cause__
    return None
