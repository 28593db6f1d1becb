"""HMAC signatures of stage messages, so that a message that no stage sent is recognised.

HMAC-SHA-256 over the receiving stage, the item and its batch, under a key that is in PostgreSQL and not in the broker.
A client of the broker can replay a message, which is harmless (stages are idempotent), but cannot forge or change one.
"""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

__all__ = ["Signer"]

_FORM: Final = "fintrack message 1"
"""Nothing else that may ever be signed under these keys begins so."""
_EVERY: Final = 5.0
"""Seconds between two readings of the keys, however many messages are forged."""


class Signer:
    """Signs and verifies for one process. Safe to share between threads.

    :param read: returns the keys, newest first; called on first use, and again when a signature matches none of them.
    """

    def __init__(self, read: Callable[[], Sequence[bytes]], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: tuple[bytes, ...] = ()
        self._read_at = 0.0

    def __repr__(self) -> str:
        return "Signer(<hidden>)"

    def sign(self, stage: str, item: object, batch: object = None) -> str:
        """The signature of a message to the task ``stage``."""
        return _digest(self._known()[0], _text(stage, item, batch))

    def verify(self, signature: object, stage: str, item: object, batch: object = None) -> bool:
        """Whether the signature of a message to ``stage`` is right."""
        if not isinstance(signature, str) or not signature.isascii():
            return False
        try:
            text = _text(stage, item, batch)
            if not _is_plain(text, [_FORM, stage, item, batch]):
                return False
        except (TypeError, ValueError, RecursionError):
            return False  # nothing that could have been signed
        return _matches(self._known(), text, signature) or _matches(self._newer(), text, signature)

    def _known(self) -> tuple[bytes, ...]:
        if not self._keys:
            with self._lock:
                self._keys = self._keys or self._fresh()
        return self._keys

    def _newer(self) -> tuple[bytes, ...]:
        """Read the keys again, after a rotation; ``None`` where they were read a moment ago."""
        with self._lock:
            if self._clock() - self._read_at < _EVERY:
                return ()
            self._keys = self._fresh()
        return self._keys

    def _fresh(self) -> tuple[bytes, ...]:
        self._read_at = self._clock()
        return tuple(self._read())


def _is_plain(text: bytes, parts: list[Any]) -> bool:
    """Whether the values have an unambiguous JSON text: NaN has that of null, a UUID or a time that of a string."""
    try:
        if orjson.loads(text) == parts:
            return True
    except orjson.JSONDecodeError:  # half of a surrogate pair
        pass
    return bool(json.loads(text) == parts)  # an integer of more than 64 bits, which orjson rounds


def _digest(key: bytes, text: bytes) -> str:
    return hmac.digest(key, text, "sha256").hex()


def _matches(keys: Sequence[bytes], text: bytes, signature: str) -> bool:
    return any(hmac.compare_digest(_digest(key, text), signature) for key in keys)


def _text(stage: str, item: object, batch: object) -> bytes:
    """A canonical text: the broker's JSON keeps neither the order of keys nor tuples."""
    parts: Any = [_FORM, stage, item, batch]
    try:
        return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    except TypeError:  # halves of surrogate pairs, decimals, integers of more than 64 bits
        return json.dumps(json.loads(json.dumps(parts, default=str)), sort_keys=True).encode()
