"""``up`` and ``up --live`` beside, before and after each other in one folder, with workers, beat and Flower."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dotenv import dotenv_values

from fintrack_tasks.embedded import Stack
from fintrack_tasks.embedded.process import find_marked, kill
from fintrack_tasks.embedded.state import StackState
from tests.e2e.harness import fintrack, parse_env

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

NOBODY = {f"{name}_BASE_URL": "http://127.0.0.1:9" for name in ("YAHOO_FINANCE", "COINBASE", "ECB", "WIKIPEDIA")}
"""In the live mode the real providers are out of reach here: an operator's own addresses at which nobody answers."""
QUICK = {"FLOWER_PORT": "0", "FINTRACK_ITEM_DEADLINE_SECONDS": "20"}


def rows(environment: dict[str, str], table: str) -> int:
    with psycopg.connect(
        host=environment["DB_HOST"], port=environment["DB_PORT"], dbname=environment["DB_NAME"],
        user=environment["DB_USER"], password=environment["DB_PASSWORD"],
    ) as conn:  # fmt: skip
        row = conn.execute(f"SELECT count(*) FROM fintrack.{table}").fetchone()
    return int(row[0]) if row else 0


def test_no_simulated_row_is_seen_by_a_live_reader_whatever_was_started_when(tmp_path: Path) -> None:
    home = tmp_path / "home"

    def up(*words: str, check: bool = True, **more: str) -> Any:
        return fintrack(home, "up", "--detach", *words, environment={**QUICK, **more}, check=check)

    def refused(*words: str) -> None:
        before = dotenv_values(home / "stack.env")
        finished = fintrack(home, *words, environment={**QUICK, **NOBODY}, check=False)
        assert finished.returncode == 2
        assert "runs in" in finished.stderr
        assert finished.stderr.rstrip().endswith("stop it: fintrack down")
        assert dotenv_values(home / "stack.env") == before

    try:
        assert "simulated" in up().stdout
        simulated = parse_env(fintrack(home, "env").stdout)
        told = json.loads(
            fintrack(home, "run", "market-data", "--symbols", "AAPL,BTC-USD", "--json").stdout.splitlines()[-1]
        )
        assert (told["rows"]["quotes"], told["simulated"]) == (2, True)
        refused("up", "--live", "--detach")
        refused("demo", "--live")
        workers = [p for p in Stack(home).processes() if p.name.startswith(("fetch", "etl"))]
        assert workers
        assert all(p.running for p in workers)
        fintrack(home, "down")

        # A shell that still has the simulated stack's variables starts the live one.
        left = {name: value for name, value in simulated.items() if name.endswith("_BASE_URL") or "SANDBOX" in name}
        assert "real prices" in up("--live", **left).stdout
        live = parse_env(fintrack(home, "env").stdout)
        assert live["FINTRACK_SANDBOX_URL"] == ""
        assert not [name for name in live if name.endswith(("_BASE_URL", "_QUOTA")) or "HISTORY" in name]
        assert live["DB_NAME"] != simulated["DB_NAME"]
        assert rows(live, "quotes") == rows(live, "bars") == rows(live, "payloads") == 0
        refused("up", "--detach")
        refused("demo")
        kill(find_marked(home))
        refused("up", "--detach")  # its servers live
        kill([known.process.pid for known in StackState.read(home / "stack.json").servers.values()])

        up()
        again = parse_env(fintrack(home, "env").stdout)
        assert again["DB_NAME"] == simulated["DB_NAME"]
        assert rows(again, "quotes") >= 2
    finally:
        fintrack(home, "down", check=False)
