"""Whatever a parser raises, an item learns one thing: that this answer cannot be read."""

from __future__ import annotations

import decimal
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree
from structlog.testing import capture_logs

from fintrack_tasks.errors import (
    EmptyError,
    FinTrackError,
    MalformedError,
    QuotaError,
    UnavailableRangeError,
    UsageError,
)
from fintrack_tasks.fetch.interpret import interpret

UNTYPED = [
    RecursionError("maximum recursion depth exceeded"),
    MemoryError(),
    OverflowError("date value out of range"),
    ValueError("secret-of-the-answer"),
    KeyError("c"),
    IndexError(),
    TypeError(),
    AttributeError(),
    ZeroDivisionError(),
    decimal.InvalidOperation([decimal.ConversionSyntax]),
    decimal.Overflow(),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    etree.LxmlError("broken"),
    AssertionError(),
    StopIteration(),
    RuntimeError(),
    OSError(),
]


def raising(error: BaseException) -> Callable[[], Any]:
    def parse() -> Any:
        raise error

    return parse


def test_what_a_parser_makes_of_an_answer_comes_through() -> None:
    assert interpret("finnhub", lambda: [1, 2]) == [1, 2]


@pytest.mark.parametrize("error", UNTYPED, ids=lambda error: type(error).__name__)
def test_an_error_of_no_type_of_ours_is_malformed_and_told_once(error: Exception) -> None:
    with capture_logs() as logs, pytest.raises(MalformedError, match=type(error).__name__) as caught:
        interpret("finnhub", raising(error))
    assert [(log["event"], log["provider"], log["error"]) for log in logs] == [
        ("parser_failed", "finnhub", type(error).__name__)
    ]
    assert "secret-of-the-answer" not in f"{logs} {caught.value!r}"


@pytest.mark.parametrize(
    "error",
    [EmptyError("none"), QuotaError(retry_after=5), MalformedError("cut"), UnavailableRangeError(), UsageError("x")],
)
def test_an_error_with_a_type_comes_through_as_it_is(error: FinTrackError) -> None:
    with capture_logs() as logs, pytest.raises(type(error)) as caught:
        interpret("finnhub", raising(error))
    assert caught.value is error
    assert not logs


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)], ids=["interrupt", "exit"])
def test_who_ends_the_process_is_not_held_up(error: BaseException) -> None:
    with pytest.raises(type(error)):
        interpret("finnhub", raising(error))


def test_an_endless_recursion_ends_in_the_error_that_says_so() -> None:
    def parse() -> Any:
        return parse()

    with pytest.raises(MalformedError, match="RecursionError"):
        interpret("finnhub", parse)


def test_the_answer_is_not_kept_alive_by_the_error() -> None:
    class Body:
        pass

    body = Body()
    gone = weakref.ref(body)

    def parse(held: Body) -> Any:
        raise ValueError(held)

    def ask(held: Body) -> MalformedError:
        with pytest.raises(MalformedError) as caught:
            interpret("finnhub", lambda: parse(held))
        return caught.value.with_traceback(None)

    error = ask(body)
    del body
    gc.collect()
    assert error.__context__ is None
    assert gone() is None
