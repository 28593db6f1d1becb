"""A pipeline as a person would start and use it: every command runs in a process of its own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from fintrack_tasks.embedded import Stack

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Pipeline:
    """What the tests hold of the running pipeline: its environment, and the commands that a person would type."""

    home: Path
    environment: Mapping[str, str]

    def fintrack(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return fintrack(self.home, *words, check=check, environment=self.environment)

    def run(self, *words: str, check: bool = True) -> dict[str, Any]:
        finished = self.fintrack("run", *words, "--json", check=check)
        return dict(json.loads(finished.stdout.splitlines()[-1]))

    def as_owner(self) -> Pipeline:
        """The same for questions and changes that no service may make."""
        owner = Stack(self.home).owner_environment()
        login = {"DB_USER": owner["DB_OWNER_USER"], "DB_PASSWORD": owner["DB_OWNER_PASSWORD"]}
        return replace(self, environment={**self.environment, **login})

    def query(self, sql: str, *parameters: object) -> list[dict[str, Any]]:
        env = self.environment
        with psycopg.connect(
            host=env["DB_HOST"],
            port=env["DB_PORT"],
            dbname=env["DB_NAME"],
            user=env["DB_USER"],
            password=env["DB_PASSWORD"],
            row_factory=dict_row,
        ) as conn:
            return conn.execute(sql, parameters).fetchall()


def fintrack(
    home: Path, *words: str, check: bool = True, environment: Mapping[str, str] | None = None, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person would, in its own process."""
    finished = subprocess.run(
        [sys.executable, "-m", "fintrack_tasks.cli", *words],
        env={**clean_environment(), **(environment or {}), "FINTRACK_HOME": str(home)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check and finished.returncode:
        pytest.fail(
            f"fintrack {' '.join(words)} exited with {finished.returncode}:\n{finished.stdout}\n{finished.stderr}"
        )
    return finished


def clean_environment() -> dict[str, str]:
    """The process' environment without anything that points at another stack, or says how wide its terminal is."""
    ours = ("DB_", "REDIS_", "KAFKA_", "FINTRACK_", "API_KEY_", "FLOWER_", "COLUMNS", "LINES")
    return {n: v for n, v in os.environ.items() if not n.startswith(ours) and not n.endswith(("_BASE_URL", "_QUOTA"))}


def parse_env(text: str) -> dict[str, str]:
    """The variables of ``fintrack env``, read by a shell as a person would have it read."""
    script = f'{text}\n{shlex.quote(sys.executable)} -c "import json, os; print(json.dumps(dict(os.environ)))"'
    shown = subprocess.run(["sh", "-c", script], env={}, capture_output=True, text=True, check=True)
    return {name: value for name, value in json.loads(shown.stdout).items() if f"export {name}=" in text}
