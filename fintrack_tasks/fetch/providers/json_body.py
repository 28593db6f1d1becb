"""The body of an answer as JSON, within bounds of size and nesting; its single fields are read with ``answers``."""

from __future__ import annotations

import json
import math
from typing import Any, Final

import orjson

from fintrack_tasks.errors import MalformedError
from fintrack_tasks.fetch.providers.base import HttpResponse

__all__ = ["LONGEST_NUMBER", "json_body"]

LONGEST_NUMBER: Final = 64
"""Characters of a number's text."""
_SURELY_EXACT: Final = 15
"""Characters: a float keeps all digits of a number that is not longer."""
_DEEPEST: Final = 32
"""Levels of JSON; answers have 7 at the most."""
_MOST_VALUES: Final = 250_000
_MOST_CONTAINERS: Final = 60_000
"""Of an answer. All days of a stock since 1999 are 7,000 objects of 55,000 values."""


def json_body(response: HttpResponse, *, quoted: bool = True) -> Any:
    """The body as JSON.

    Beyond what JSON itself demands, no object has two values under one name, nothing is nested beyond 32 levels, and
    the number of values is bounded. A number that no float can hold as it is written stays its own text,
    so that :func:`fintrack_tasks.fetch.providers.answers.exact_decimal` judges what was written.

    :param quoted: whether an error may repeat the start of the body; not where that may hold a key.
    :raises MalformedError: for anything else: a cut body, HTML, bytes that are no text.
    """
    body = response.body.removeprefix(b"\xef\xbb\xbf")
    if body.count(b",") > _MOST_VALUES or body.count(b"{") + body.count(b"[") > _MOST_CONTAINERS:
        raise MalformedError("more values than any answer holds")
    try:
        text = body.decode("utf-8")
        if "\\ud" in text or "\\uD" in text:
            orjson.loads(body)  # refuses halves of a character, which Python takes and no database does
        found = _DECODER.decode(text)
    except _ConflictError as conflict:
        raise MalformedError(f"two values under one name{f': {conflict}' if quoted else ''}") from None
    except RecursionError:
        raise MalformedError("nested too deep") from None
    except ValueError as error:
        start = f": {body[:60].decode('ascii', errors='replace')!r}" if quoted else ""
        kind = "HTML" if body.lstrip()[:1] == b"<" else "no JSON"
        raise MalformedError(
            f"{kind} where JSON was promised (HTTP status {response.status}, {_why(error)}){start}"
        ) from None
    if _is_deep(found):
        raise MalformedError("nested too deep")
    return found


class _ConflictError(Exception):
    """Two members of one object have one name and different values."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if (
        len(found) != len(pairs)
        and (conflict := next((n for n, value in pairs if found[n] != value), None)) is not None
    ):
        raise _ConflictError(f"{conflict!r:.40}")
    return found


def _float(text: str) -> float | str:
    if len(text) > LONGEST_NUMBER:
        return text
    value = float(text)
    if not math.isfinite(value) or (value == 0 and text.lower().partition("e")[0].strip("-0.")):
        return text
    return value if len(text) <= _SURELY_EXACT or repr(value) == text else text


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)


def _why(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)[:60]


def _is_deep(value: Any) -> bool:
    """Level by level: a value that is nested too deep cannot be walked by recursion."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_DEEPEST):
        if not level:
            return False
        inner = (node.values() if type(node) is dict else node for node in level)
        level = [child for children in inner for child in children if type(child) is dict or type(child) is list]
    return bool(level)
