"""Time is an argument below the tasks and the commands: nothing there reads the clock."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "fintrack_tasks"
ROOMS = ("domain", "pipeline", "queries", "store", "transform", "validate", "fetch/providers")
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter"}
OWNERS = {"datetime", "date", "time"}
FILES = sorted(path for room in ROOMS for path in [*PACKAGE.glob(f"{room}/**/*.py")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_below_the_tasks_takes_the_time_as_an_argument(path: Path) -> None:
    read = [
        f"{path.name}:{node.lineno}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in CLOCKS
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in OWNERS
    ]

    assert read == []
