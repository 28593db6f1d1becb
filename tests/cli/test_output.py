"""Tables: no word is broken, whatever the width; what does not fit is left out in order, or shown row by row."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from fintrack_tasks.cli.output import table
from tests.e2e.harness import ROOT, clean_environment

RUN = "01a214b5-e72f-7000-88ed-4abc789078d2"
COLUMNS = ["run", "job", "state", "items", "quarantined_rows", "detail"]
LONG = "coinbase: HTTP status 404: the product UNKNOWN2-USD is not known here"
ROWS: list[list[Any]] = [[RUN, "fetch_historical_market_data", "finished", 12000, None, LONG]]


def shown(width: int, *spare: str, columns: list[str] = COLUMNS, rows: list[list[Any]] = ROWS) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(table("runs", columns, rows, spare, width))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_wide_table_has_one_line_a_row() -> None:
    title, header, rule, line = shown(200)
    assert title == "runs"
    assert header.split() == ["run", "job", "state", "items", "quarantined", "rows", "detail"]
    assert set(rule) == {"─"}
    assert line.split()[:5] == [RUN, "fetch_historical_market_data", "finished", "12,000", "-"]
    assert line.endswith(LONG)


@pytest.mark.parametrize("width", range(80, 200, 7))
def test_ids_and_names_stay_whole_and_only_text_is_wrapped_between_its_words(width: int) -> None:
    lines = shown(width, "quarantined_rows", "items", "state", "detail")
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert RUN in text
    assert "fetch_historical_market_data" in text


def test_spare_columns_go_in_their_order_until_the_rest_fits() -> None:
    assert shown(115, "quarantined_rows", "items", "state")[1].split() == ["run", "job", "state", "items", "detail"]
    assert shown(105, "quarantined_rows", "items", "state")[1].split() == ["run", "job", "state", "detail"]
    assert shown(95, "quarantined_rows", "items", "state")[1].split() == ["run", "job", "detail"]


def test_what_does_not_fit_at_all_is_shown_row_by_row_and_whole() -> None:
    lines = shown(70, "quarantined_rows", rows=ROWS * 2)
    assert lines[1] == f"run               {RUN}"
    assert lines[2] == "job               fetch_historical_market_data"
    assert lines[5] == "quarantined rows  -"
    assert lines.count(f"run               {RUN}") == 2
    assert "" in lines


def test_numbers_stand_to_the_right_and_prices_are_numbers() -> None:
    _, _, _, first, second, third = shown(
        80,
        columns=["symbol", "price", "note"],
        rows=[["A", Decimal("1.5"), ""], ["B", Decimal("120.25"), ""], ["C", None, ""]],
    )
    assert first.split() == ["A", "1.5", "-"]
    assert first.index("1.5") + 3 == second.index("120.25") + 6
    assert third.index("-") == second.index("120.25") + 5
    assert first.rindex("-") == second.rindex("-")  # nothing but dashes is no column of numbers


def test_a_table_without_rows_shows_its_columns() -> None:
    assert shown(80, columns=["symbol", "class"], rows=[])[1].split() == ["symbol", "class"]


PRINT = f"from fintrack_tasks.cli.output import console, table; console.print(table('runs', {COLUMNS!r}, {ROWS!r}))"


def test_a_pipe_has_no_edge_unless_columns_says_so() -> None:
    def piped(**environment: str) -> str:
        env = {**{n: v for n, v in clean_environment().items() if n != "COLUMNS"}, **environment}
        return subprocess.run(
            [sys.executable, "-c", PRINT], env=env, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout

    assert max(map(len, piped().splitlines())) > 120
    assert max(map(len, piped(COLUMNS="90").splitlines())) <= 90


def test_a_terminals_own_width_is_kept() -> None:
    leader, follower = pty.openpty()
    env = {**{n: v for n, v in clean_environment().items() if n not in ("COLUMNS", "LINES")}, "TERM": "dumb"}
    sized = (
        f"import fcntl, struct, termios; fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 80, 0, 0)); {PRINT}"
    )
    process = subprocess.Popen([sys.executable, "-c", sized], env=env, cwd=ROOT, stdout=follower, stderr=follower)
    os.close(follower)
    said = b""
    try:
        while part := os.read(leader, 65536):
            said += part
    except OSError:  # the terminal closes with its last process
        pass
    finally:
        os.close(leader)
    assert process.wait(30) == 0
    lines = said.decode().splitlines()
    assert any(RUN in line for line in lines)
    assert max(map(len, lines)) <= 80
