"""Masking of the key in an answer: providers repeat it in error texts, and answers are stored and shown.

Logs are masked by :mod:`fintrack_tasks.observability.masking`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from fintrack_tasks.observability.masking import MASK, spellings

__all__ = ["Redaction"]

_SHORTEST: Final = 8
"""Characters: shorter keys are no secrets that a provider gives out (``demo``), and occur in data by chance."""
_BEGINNING: Final = 4
"""Characters of a secret that are masked as its beginning at the end of a body that broke off."""


class Redaction:
    """Replaces secrets by ``[masked]`` in whole bodies and in header values.

    :param keys: found raw, percent-encoded, and escaped as in JSON or HTML, character by character in any mixture.
    :param signatures: good for one request; found as they were sent, and percent-encoded whole.
    """

    def __init__(self, keys: Iterable[str] = (), signatures: Iterable[str] = ()) -> None:
        # The longest first, or a part of it would be replaced and the rest left standing.
        self._keys = _longest_first(keys := list(keys))
        self._patterns = [_pattern(key) for key in _longest_first(keys)]
        self._literals = [form.encode() for text in _longest_first(signatures) for form in (text, quote(text, safe=""))]

    def body(self, body: bytes) -> bytes:
        """The body without the secrets."""
        for pattern in self._patterns:
            body = pattern.sub(MASK.encode(), body)
        for literal in self._literals:
            body = body.replace(literal, MASK.encode())
        return body

    def broken_off(self, body: bytes) -> bytes:
        """As :meth:`body`, for a body that broke off, perhaps inside a secret."""
        body = self.body(body)
        for key in self._keys:
            for length in range(len(key) - 1, _BEGINNING - 1, -1):
                if body.endswith(key[:length].encode()):
                    return body[:-length] + MASK.encode()
        return body

    def text(self, text: str) -> str:
        """A header's value without the secrets."""
        return self.body(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _longest_first(texts: Iterable[str]) -> list[str]:
    return sorted({text for text in texts if len(text) >= _SHORTEST}, key=len, reverse=True)


@lru_cache(maxsize=64)
def _pattern(key: str) -> re.Pattern[bytes]:
    """The spellings of a key in bytes. All begin with few of them, so that a search is fast: 8 MiB in 0.1 s."""
    return re.compile(spellings(key).encode("utf-8", "surrogateescape"))
