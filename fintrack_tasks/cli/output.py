"""What a person or a machine sees: tables and progress on a terminal, one JSON object on the last line of stdout."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import orjson
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from fintrack_tasks.cli.simulated_notice import note_once, with_simulated_field
from fintrack_tasks.printable import printable

__all__ = ["console", "errors", "print_json", "table"]

_WIDE: Final = 200
_SHORT: Final = 24
"""What is no longer stays on one line (a symbol, a time, a span of dates); longer text gets at least so much."""
_LONGEST_WORD: Final = 40
"""A longer one (an address, a path) may be broken; ids are shorter."""
_GAP: Final = 2


class _Console(Console):
    """A console that shows text as text: what came from outside neither steers the terminal nor is markup."""

    def print(self, *objects: Any, **options: Any) -> None:
        if not self.stderr and (note := note_once()):
            super().print(note, style="yellow", highlight=False)
        super().print(*(printable(o, keep="\n") if isinstance(o, str) else o for o in objects), **options)


def _console(*, stderr: bool = False) -> Console:
    """A console that is wide where no terminal says how wide it is: a file or a pipe has no edge."""
    made = _Console(stderr=stderr, markup=False)
    if not made.is_terminal and not os.environ.get("COLUMNS"):
        made.width = _WIDE
    return made


console = _console()
errors = _console(stderr=True)
"""Progress and remarks go to stderr, so that stdout stays clean for machines."""


def print_json(value: Any) -> None:
    """One JSON object on one line; times as ISO 8601, UUIDs and decimals as text."""
    value = with_simulated_field(value)
    try:
        text = orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z).decode()
    except orjson.JSONEncodeError:  # half a character, as a file's name may have: JSON has no way to say it
        text = orjson.dumps(_encodable(value), default=str, option=orjson.OPT_UTC_Z).decode()
    console.file.write(text + "\n")
    console.file.flush()


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_encodable(name): _encodable(each) for name, each in value.items()}
    return [_encodable(each) for each in value] if isinstance(value, list | tuple) else value


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    spare: Sequence[str] = (),
    width: int | None = None,
) -> RenderableType:
    """A table whose numbers stand to the right, whose empty cells show a dash, and whose words are never broken.

    :param spare: columns to leave out, in this order, until the rest fits.
    :param width: columns of the terminal; the console's by default.

    What still does not fit is shown row by row instead, one line for each value.
    """
    rows = [list(row) for row in rows]
    wide = width or console.width
    kept = list(range(len(columns)))
    for name in [*spare, None]:
        made = [_Column(columns[n], [row[n] for row in rows]) for n in kept]
        if _total(column.least for column in made) <= wide:
            return _as_table(title, made, wide)
        if name is not None:
            kept.remove(columns.index(name))
    return _as_records(title, [_Column(name, [row[n] for row in rows]) for n, name in enumerate(columns)])


class _Column:
    """A column's cells as text, and how wide it has to be and wants to be."""

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        self.name = printable(name.replace("_", " "))
        given = [value for value in values if value is not None]
        self.numeric = bool(given) and all(isinstance(value, int | float | Decimal) for value in given)
        self.cells = [_text(value) for value in values]
        self.least = max(map(_least, [*self.name.split(), *self.cells]), default=1)
        self.wanted = max(map(cell_len, [self.name, *self.cells]))


def _text(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return f"{value:,}" if isinstance(value, int) else printable(" ".join(str(value).split()))


def _least(cell: str) -> int:
    """The columns of the terminal that a cell cannot do without."""
    if cell_len(cell) <= _SHORT:
        return cell_len(cell)
    return max(_SHORT, *(min(cell_len(word), _LONGEST_WORD) for word in cell.split()))


def _total(widths: Iterable[int]) -> int:
    return sum(width + _GAP for width in widths) - _GAP


def _as_table(title: str, columns: Sequence[_Column], wide: int) -> Table:
    """Each column gets what it needs, and what is left is shared among those that want more."""
    left = wide - _total(column.least for column in columns)
    wishes = sum(column.wanted - column.least for column in columns)
    made = Table(
        title=Text(printable(title)), title_justify="left", title_style="bold", box=SIMPLE_HEAD, show_edge=False
    )
    made.padding = (0, _GAP - 1, 0, 0)  # the rest of the gap is the box's own
    made.pad_edge = False
    for column in columns:
        wish = column.wanted - column.least
        width = column.least + (wish if wishes <= left else left * wish // wishes)
        made.add_column(column.name, justify="right" if column.numeric else "left", width=width, overflow="fold")
    for cells in zip(*(column.cells for column in columns), strict=True):
        made.add_row(*(Text(cell) for cell in cells))
    return made


def _as_records(title: str, columns: Sequence[_Column]) -> Group:
    """A paragraph for each row; a line that is longer than the terminal is continued by the terminal itself."""
    label = max(len(column.name) for column in columns)
    paragraphs = [
        "\n".join(f"{column.name:<{label}}  {cell}" for column, cell in zip(columns, cells, strict=True))
        for cells in zip(*(column.cells for column in columns), strict=True)
    ]
    return Group(Text(printable(title), style="bold"), Text("\n\n".join(paragraphs)))
