"""What a person or a machine sees: tables and progress on a terminal, one JSON object on the last line of stdout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

__all__ = ["console", "errors", "print_json", "table"]

console = Console()
errors = Console(stderr=True)
"""Progress and remarks go to stderr, so that stdout stays clean for machines."""


def print_json(value: Any) -> None:
    """One JSON object on one line; times as ISO 8601, UUIDs and decimals as text."""
    console.file.write(orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z).decode() + "\n")
    console.file.flush()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table whose numbers stand to the right and whose empty cells show a dash."""
    rows = [list(row) for row in rows]
    made = Table(title=title, title_justify="left", header_style="bold")
    for index, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float | None) for row in rows)
        made.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(
            *(
                "-" if cell is None or cell == "" else f"{cell:,}" if isinstance(cell, int) else str(cell)
                for cell in row
            )
        )
    return made
