"""``fintrack chart``: from bars in a real database to a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from fintrack_tasks import pipeline
from fintrack_tasks.cli import app, chart_drawing
from fintrack_tasks.domain import Kind, to_micros
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.sandbox.prices import real_daily
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database
from fintrack_tasks.store.bars import load_bars
from tests.e2e.harness import fintrack
from tests.store.items import DAY, NOW, bars, event, make_run

NOWHERE = {"DB_HOST": "127.0.0.1", "DB_PORT": "1"}
FIRST = NOW - timedelta(days=400)


@pytest.fixture
def where(database_variables: dict[str, str], conn: psycopg.Connection) -> dict[str, str]:
    """The variables of the test's own database, which holds 300 bars of IBM."""
    _, [item] = make_run(conn, ["IBM"], Kind.BARS)
    batch = bars(item, [repr(day.close) for day in real_daily()["IBM"][:300]], first=FIRST)
    load_bars(conn, item, batch, event(item), NOW, [True] * 299 + [False])
    return database_variables


@pytest.mark.integration
def test_the_last_year_is_drawn_with_indicators(tmp_path: Path, where: Mapping[str, str]) -> None:
    target = tmp_path / "ibm.png"
    words = ("chart", "ibm", "--indicators", "--output", str(target), "--json")
    told = json.loads(fintrack(tmp_path, *words, environment=where).stdout.splitlines()[-1])
    assert (told["symbol"], told["interval"], told["bars"], told["file"]) == ("IBM", "1d", 250, str(target))
    assert {"sma_20", "bollinger_upper", "rsi_14", "macd"} <= set(told["indicators"])
    assert target.read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.integration
def test_a_span_is_written_as_a_page(tmp_path: Path, where: Mapping[str, str]) -> None:
    target = tmp_path / "ibm.html"
    first, last = FIRST.date() + timedelta(days=10), FIRST.date() + timedelta(days=40)
    words = ("chart", "IBM", "--start", f"{first}", "--end", f"{last}", "-o", str(target))
    said = " ".join(fintrack(tmp_path, *words, environment=where).stdout.split())
    assert said == f"30 bars of IBM: {target}"
    page = target.read_text()
    assert f"IBM  1d, {first} to {last - timedelta(days=1)}</h1>" in page
    assert "<p>adjusted for splits; source: " in page
    assert "not final" not in page


@pytest.mark.integration
def test_an_index_is_in_points_and_its_source_is_told(
    tmp_path: Path, conn: psycopg.Connection, where: Mapping[str, str]
) -> None:
    _, [item] = make_run(conn, ["^GSPC"], Kind.BARS)
    batch = bars(item, ["4000", "4010", "4020"], first=FIRST)
    load_bars(conn, item, batch, event(item), NOW, [True] * 3)
    target = tmp_path / "index.html"
    words = ("chart", "^GSPC", "--adjust", "none", "-o", str(target), "--json")
    told = json.loads(fintrack(tmp_path, *words, environment=where).stdout.splitlines()[-1])
    assert told["sources"] == [batch.source]
    page = target.read_text()
    assert f"<p>prices as they were, not adjusted; source: {batch.source}; in points</p>" in page
    assert "USD" not in page


@pytest.mark.integration
@pytest.mark.parametrize(("adjust", "lowest", "highest"), [("none", 40, 80), ("splits", 40, 41), ("all", 39, 41)])
def test_a_split_is_no_cliff_unless_it_is_asked_for(
    tmp_path: Path,
    conn: psycopg.Connection,
    database_settings: Settings,
    where: Mapping[str, str],
    adjust: str,
    lowest: float,
    highest: float,
) -> None:
    """Shares of 80 become two of 40; a dividend of 2 on a close of 80 takes a fortieth off what lies before it."""
    _, [item] = make_run(conn, ["KO"], Kind.BARS)
    told = {
        "splits": [[to_micros(NOW - 5 * DAY), "2", "1"]],
        "dividends": [[to_micros(NOW - 7 * DAY), "2"]],
    }
    batch = replace(bars(item, ["80"] * 5 + ["40", "41"] + ["40"] * 3), meta=told)
    database = Database(database_settings, pool_size=1)
    try:
        pipeline.load_item(item, batch, context=StageContext(database, database_settings, NOW))
    finally:
        database.close()
    seen: list[float] = []
    with pytest.MonkeyPatch.context() as patched:
        for name, value in where.items():
            patched.setenv(name, value)
        patched.setattr(chart_drawing, "as_html", lambda chart: seen.extend(chart.close) or b"")
        words = ["chart", "KO", "--adjust", adjust, "-o", str(tmp_path / "ko.html")]
        assert CliRunner().invoke(app, words).exit_code == 0
    assert (len(seen), min(seen), max(seen)) == (10, lowest, highest)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["AAPL"], "no 1d bars of AAPL are stored; fetch them with: fintrack run historical --symbols AAPL"),
        (["IBM", "--interval", "1h"], "--intervals 1h"),
        (["IBM", "--end", "1999-01-01"], "stored in that time; there are some from 2023-04-02 to 2024-01-26"),
        (["IBM", "--start", "2025-01-01"], "stored in that time; there are some from 2023-04-02 to 2024-01-26"),
        (["IBM", "--start", "2023-01-02", "--end", "2023-01-03"], "there are some from 2023-04-02 to 2024-01-26"),
        (["IBM", "-o", "/nowhere/chart.png"], "cannot write /nowhere/chart.png: No such file or directory"),
    ],
)
def test_without_bars_one_line_says_what_to_do(
    tmp_path: Path, where: Mapping[str, str], words: list[str], said: str
) -> None:
    finished = fintrack(tmp_path, "chart", *words, check=False, environment=where)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert said in finished.stderr
    assert finished.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["A B"], 2, "not a symbol"),
        (["IBM", "--interval", "2h"], 2, "no interval '2h'; there are 1d, 1h, 15m"),
        (["IBM", "--start", "soon"], 2, "start is no date"),
        (["IBM", "-o", "chart.gif"], 2, "the name must end in .png or .html"),
        (["IBM"], 4, "PostgreSQL does not answer"),
    ],
)
def test_what_is_wrong_is_said_before_the_database_is_asked(
    tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    finished = fintrack(tmp_path, "chart", *words, check=False, environment=NOWHERE)
    assert finished.returncode == code
    assert said in " ".join(finished.stderr.split())
    assert "Traceback" not in finished.stderr
