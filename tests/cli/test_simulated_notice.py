"""Whatever a command shows of simulated prices says that they are; of real ones nothing does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fintrack_tasks import cli
from fintrack_tasks.cli import app
from fintrack_tasks.cli.simulated_notice import NOTE
from fintrack_tasks.domain import Kind, Mode
from fintrack_tasks.store import Database, database_mode
from fintrack_tasks.store.bars import load_bars
from tests.store.items import NOW, bars, event, make_run

pytestmark = pytest.mark.integration

DAY = "2024-05-01"
COMMANDS = (
    ("explain", "AAPL", DAY),
    ("runs", "list"),
    ("instruments", "list"),
    ("quality",),
    ("quarantine", "list"),
    ("aggregate", "AAPL", "--to", "1w"),
    ("backfill", "status"),
    ("db", "upgrade"),
    ("providers",),
    ("chart", "AAPL"),
)
"""One of each group: all print by the same two functions."""

Run = Callable[..., str]


@pytest.fixture
def run(
    database: Database, database_variables: dict[str, str], stack: dict[str, str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:  # fmt: skip
    """Runs a command on a database of one mode that holds six bars; gives what stood on its standard output."""
    for name, value in {**stack, **database_variables, "FINTRACK_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def invoke(holds: Mode, *words: str) -> str:
        # Where it is asked, the database's own word is enough: the settings say nothing of a market.
        if holds is Mode.SIMULATED and words[0] in ("db", "providers"):
            monkeypatch.setenv("FINTRACK_SANDBOX_URL", "http://127.0.0.1:9")
        database_mode.admit(database, simulated=holds is Mode.SIMULATED)
        with database.connection() as conn:
            _, [item] = make_run(conn, ["AAPL"], Kind.BARS)
            batch = bars(item, ["184.1", "184.2", "184.3", "184.4", "184.5", "184.6"])
            load_bars(conn, item, batch, event(item), NOW, [True] * 6)
        finished = CliRunner().invoke(app, list(words))
        assert finished.exit_code == 0, (finished.output, finished.exception)
        return finished.stdout

    return invoke


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_simulated_prices_are_called_so_in_the_first_line_once_and_by_a_field_for_machines(
    words: tuple[str, ...], run: Run
) -> None:
    said = run(Mode.SIMULATED, *words)
    assert said.splitlines()[0].rstrip() == NOTE
    assert said.count(NOTE) == 1
    assert json.loads(run(Mode.SIMULATED, *words, "--json").splitlines()[-1])["simulated"] is True


@pytest.mark.parametrize("words", COMMANDS[:3], ids=" ".join)
def test_of_real_prices_nothing_says_simulated(words: tuple[str, ...], run: Run) -> None:
    assert "simulated" not in run(Mode.LIVE, *words) + run(Mode.LIVE, *words, "--json")


def test_no_command_writes_past_the_two_functions_that_say_so() -> None:
    """But for ``--version`` and the lines of ``env``, which a shell reads: FINTRACK_SANDBOX_URL and DB_NAME say it."""
    folder = Path(cli.__file__).parent
    direct = re.compile(
        r"sys\.stdout\.write|(?<![.\w])print\(|typer\.(?:echo|secho)|console\.(?:out|log|print_json|file)\b"
    )
    found = {
        path.name: len(direct.findall(path.read_text())) for path in folder.glob("*.py") if path.name != "output.py"
    }
    assert {name: count for name, count in found.items() if count} == {"__init__.py": 1, "stack.py": 1}


def test_a_chart_of_simulated_prices_says_so_on_itself(run: Run, tmp_path: Path) -> None:
    from fintrack_tasks.cli import chart_drawing

    drawn: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        as_png = chart_drawing.as_png
        patch.setattr(chart_drawing, "as_png", lambda chart: drawn.append(chart) or as_png(chart))
        run(Mode.SIMULATED, "chart", "AAPL", "-o", "chart.png")
    assert any("simulated prices" in note for note in drawn[0].notes)
    run(Mode.SIMULATED, "chart", "AAPL", "-o", "chart.html")
    assert "simulated prices" in (tmp_path / "chart.html").read_text()
