"""Every statement of the package is one that PostgreSQL accepts over the migrated schema: names, columns and types."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

import fintrack_tasks
from fintrack_tasks.domain import Interval
from fintrack_tasks.queries.aggregate import Adjust

pytestmark = pytest.mark.integration

BEGINS = re.compile(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE)\s")
PARAMETER = re.compile(r"%\((\w+)\)s|%s")
PARTS = {"fintrack_tasks.store.quotes._MERGE_QUOTE"}
"""No statements by themselves: others are built from them, and are tried."""
UNKNOWN_TYPE = "42P18"
"""A parameter whose type only its value tells, which PREPARE does not have: the names were resolved before that."""


def modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(fintrack_tasks.__path__, "fintrack_tasks."):
        if not re.search(r"migrations|__main__|celery_command|flower", found.name):
            yield importlib.import_module(found.name)


def constants(module: Any) -> Iterator[tuple[str, str]]:
    for name, value in vars(module).items():
        texts = value.values() if isinstance(value, dict) else [value]
        for text in texts:
            # One with a brace is a form; what it is filled to is a constant, too.
            if isinstance(text, str) and name.isupper() and BEGINS.match(text) and "{" not in text:
                yield f"{module.__name__}.{name}", text


def inline(module: Any) -> Iterator[tuple[str, str]]:
    """The literals that are handed to ``execute``."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("execute"):
            text = node.args[0] if node.args else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str) and BEGINS.match(text.value):
                yield f"{module.__name__}:{node.lineno}", text.value


class Recorder:
    """Stands in for a connection and its cursors: notes statements, and answers each with no rows."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    @contextmanager
    def cursor(self, **_options: Any) -> Iterator[Recorder]:
        yield self

    def execute(self, statement: bytes | str, _values: Any = None) -> Recorder:
        self.statements.append(statement if isinstance(statement, str) else statement.decode())
        return self

    def fetchall(self) -> list[Any]:
        return []

    def fetchone(self) -> None:
        return None


VALUES: dict[Any, Any] = {
    "int": 1,
    "int | None": 1,
    "str": "1d",
    "str | None": "1d",
    "datetime": datetime(2026, 1, 2, tzinfo=UTC),
    "datetime | None": datetime(2026, 1, 2, tzinfo=UTC),
    "date": date(2026, 1, 2),
    "Interval": Interval.D1,
    "UUID": UUID(int=1),
    "Sequence[UUID]": [UUID(int=1)],
    "Sequence[str]": ["a", "b"],
    "Sequence[str] | None": ["a", "b"],
}
"""A value of each type that a reader takes."""


def readers() -> Iterator[tuple[str, Any]]:
    """The functions of the read side that run a Core statement."""
    for module in modules():
        if module.__name__.startswith("fintrack_tasks.queries.") and not module.__name__.endswith(".execute"):
            for name, function in inspect.getmembers(module, inspect.isfunction):
                called = {"fetch_all", "fetch_one", "fetch_tuples"}.intersection(function.__code__.co_names)
                if function.__module__ == module.__name__ and called:
                    yield f"{module.__name__}.{name}", function


def statements_in_calls(module: Any) -> Iterator[tuple[str, ast.expr]]:
    """The literals that are handed to ``execute``, ``executemany`` and ``copy``, with their place."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            called, text = node.func.attr, node.args[0]
            if called in ("execute", "executemany", "copy") and isinstance(text, ast.Constant | ast.JoinedStr):
                yield f"{module.__name__}:{node.lineno}", text


def core_statements() -> Iterator[tuple[str, str]]:
    """What those functions run, compiled: with every filter, and for each adjustment of prices."""
    for name, function in readers():
        _, *parameters = inspect.signature(function).parameters.values()
        given = {one.name: VALUES[one.annotation] for one in parameters}
        ways = [{"adjust": adjust.value} for adjust in Adjust] if "adjust" in given else [{}]
        for way in ways:
            recorder = Recorder()
            with suppress(ValueError):  # a reader that unpacks the one row of a count gets none here
                function(recorder, **(given | way))
            assert recorder.statements, name
            for number, text in enumerate(recorder.statements):
                yield f"{name} {way} {number}", text


def numbered(statement: str) -> str:
    """With the server's own form of parameters."""
    names: dict[str, int] = {}
    count = 0

    def place(match: re.Match[str]) -> str:
        nonlocal count
        if match[1] is None:
            count += 1
            return f"${count}"
        return f"${names.setdefault(match[1], len(names) + 1)}"

    return PARAMETER.sub(place, statement).replace("%%", "%")


def test_every_statement_is_accepted_over_the_migrated_schema(owner: psycopg.Connection) -> None:
    # The table of a load's own, which the load makes before its statements.
    from fintrack_tasks.store import bars

    owner.execute(bars._STAGE)
    found = {
        place: text
        for module in modules()
        for place, text in [*constants(module), *inline(module)]
        if place not in PARTS
    }
    core = dict(core_statements())
    refused = {}
    for number, (place, text) in enumerate((found | core).items()):
        try:
            owner.execute(f"PREPARE statement_{number} AS {numbered(text)}".encode())
        except psycopg.Error as error:
            if error.sqlstate != UNKNOWN_TYPE:
                refused[place] = str(error)
    assert not refused, "\n".join(f"{k}: {v}" for k, v in refused.items())
    assert len(found) > 80
    assert len(core) > 20


MADE_OF_CONSTANTS = {
    "fintrack_tasks.store.bars",  # COPY, with the columns of the table
    "fintrack_tasks.store.outbox",  # current_setting and set_config, as often as there are time-outs
    "fintrack_tasks.store.roles",  # identifiers, quoted by psycopg.sql
    "fintrack_tasks.embedded.postgres",  # CREATE DATABASE, before there is a schema
    "fintrack_tasks.cli.completion",  # a time-out of the session
}
"""Where a statement is put together in the call: each of them for the reason beside it."""


def test_a_long_statement_has_a_name_and_none_is_put_together_in_a_call() -> None:
    long, built = [], []
    for module in modules():
        for place, text in statements_in_calls(module):
            if text.end_lineno is not None and text.end_lineno - text.lineno + 1 > 3:
                long.append(place)
            if isinstance(text, ast.JoinedStr) and module.__name__ not in MADE_OF_CONSTANTS:
                built.append(place)

    assert (long, built) == ([], [])
