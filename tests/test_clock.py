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


def _reads_a_clock(called: ast.expr) -> bool:
    """``datetime.now``, ``datetime.datetime.now``, ``time.time``, or a function of ``time`` by its name alone."""
    if isinstance(called, ast.Name):
        return called.id in CLOCKS - {"now", "time"}
    owner = called.value if isinstance(called, ast.Attribute) else None
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", None)
    return isinstance(called, ast.Attribute) and called.attr in CLOCKS and name in OWNERS


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_below_the_tasks_takes_the_time_as_an_argument(path: Path) -> None:
    read = [
        f"{path.name}:{node.lineno}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _reads_a_clock(node.func)
    ]

    assert read == []
