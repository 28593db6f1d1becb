"""Text from outside neither steers a terminal nor ends in a traceback, wherever it comes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import AssetClass, Instrument
from fintrack_tasks.printable import printable
from fintrack_tasks.store import instruments, payloads
from fintrack_tasks.store.payloads import Payload
from tests.e2e.harness import ROOT, clean_environment, fintrack

ESCAPES = "\x1b[31mred\x1b[0m\x00\x07\x9b2J\u202eevil\udc80 [/nothing]"
"""Colour, NUL, bell, the one-byte CSI, a change of direction, half a character, and what Rich takes for markup."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Apple Inc.", "Apple Inc."),
        ("Société Générale, 日本", "Société Générale, 日本"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\x00b\x7f", "a\\x00b\\x7f"),
        ("no break", "no break"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("half \udc80", "half \\udc80"),
        ("one\ntwo", "one\\ntwo"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_line_break_may_stay() -> None:
    assert printable("one\ntwo\x1b", keep="\n") == "one\ntwo\\x1b"


@given(st.text())
def test_any_text_comes_out_printable_encodable_and_once_for_all(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    shown.encode("utf-8")
    assert printable(shown) == shown


def test_an_instruments_name_is_clean_whoever_gave_it() -> None:
    assert Instrument("AAPL", AssetClass.STOCK, name=" A\x00pple\x1b ").name == "A\\x00pple\\x1b"
    assert Instrument("AAPL", AssetClass.STOCK, name=" ").name is None


PRINT = """
import sys
from fintrack_tasks.cli.output import console, errors, print_json, table
text = sys.argv[1].encode().decode("unicode_escape")
console.print(text)
console.print(table(text, ["a", text], [[text, "b"]]))
console.print(table("narrow", ["a", "b"], [[text, text]], width=20))
errors.print(text)
print_json({text: [text, {"name": text}]})
"""


def test_nothing_that_steers_a_terminal_is_printed() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", PRINT, ESCAPES.encode("unicode_escape").decode()],
        env={**clean_environment(), "TERM": "xterm", "NO_COLOR": "1"}, cwd=ROOT,
        capture_output=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr.decode()
    lines = shown.stdout.decode().splitlines()
    for text in (*lines[:-1], *shown.stderr.decode().splitlines()):
        assert text.isprintable(), text
    assert "\\x1b[31mred" in lines[0]
    assert "[/nothing]" in lines[0]
    assert "\x1b" not in lines[-1]
    json.loads(lines[-1])


@pytest.mark.integration
def test_names_notes_and_headers_with_escapes_are_stored_and_shown_without(
    tmp_path: Path, database_variables: dict[str, str], conn: psycopg.Connection
) -> None:
    instruments.add(conn, [Instrument("AAPL", AssetClass.STOCK, name="A\x1b[31mpple\x00 Société")])
    shown = fintrack(tmp_path, "instruments", "list", environment=database_variables).stdout
    assert "A\\x1b[31mpple\\x00 Société" in shown
    assert "\x1b" not in shown
    plain = {**database_variables, "PYTHONIOENCODING": "ascii"}
    assert "Soci\\xe9t\\xe9" in fintrack(tmp_path, "instruments", "list", environment=plain).stdout
    now = datetime(2024, 5, 6, tzinfo=UTC)
    payloads.add(conn, Payload.of("x", "/", 200, {"etag": '"a\x00b"'}, b"{}", now))
    assert conn.execute("SELECT headers->>'etag' FROM fintrack.payloads").fetchone() == ('"a\\x00b"',)


@pytest.mark.parametrize(
    "words",
    [
        ("chart", "AAPL", "-o", b"\x1b[2J\xff.gif"),
        ("instruments", "import", b"no\x1bsuch\xff.csv"),
        ("run", "market-data", "--symbols", b"A\x1bB\xff"),
        ("explain", "AAPL", b"20\x1b24"),
        ("fx", "show", b"EU\x1bR"),
        (b"no\x1bsuch\xff",),
    ],
)
def test_a_word_that_a_person_typed_comes_back_spelled_out(tmp_path: Path, words: tuple[str | bytes, ...]) -> None:
    refused = subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"fintrack_tasks", *map(os.fsencode, words)],
        env={**clean_environment(), "FINTRACK_HOME": str(tmp_path)}, cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    said = refused.stderr.decode()
    assert said.startswith("fintrack: ")
    assert said.rstrip("\n").isprintable()
