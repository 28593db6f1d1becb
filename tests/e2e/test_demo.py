"""``fintrack demo`` from an empty home: the three jobs once, everything accounted for, nothing left running."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from tests.e2e.harness import fintrack

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(300)]


def processes_of(home: Path) -> list[str]:
    """Every process that carries the stack's mark or was started for this home."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(home) in " ".join(process.cmdline()) or process.environ().get("FINTRACK_STACK") == str(home):
                found.append(f"{process.pid} {process.name()}")
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def test_the_demo_shows_real_prices_and_leaves_nothing_running_twice_in_a_row(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = json.loads(fintrack(home, "demo", "--json").stdout.splitlines()[-1])
    assert first.keys() >= {"jobs", "rows", "events", "seconds"}
    assert first["simulated"] is True
    assert first["simulated"] is True
    assert first["jobs"].keys() == {"fetch_market_data", "fetch_historical_market_data", "fetch_market_index_data"}
    for counts in first["jobs"].values():
        assert counts["items"] == counts["loaded"] + counts["empty"]
        assert counts["failed"] == counts["quarantined_rows"] == 0
    assert first["rows"]["quotes"] >= 10
    assert first["rows"]["bars"] >= 2000
    assert first["rows"]["index_indicators"] >= 2000
    assert first["events"]["market-data"] == sum(counts["loaded"] for counts in first["jobs"].values())
    assert processes_of(home) == []

    second = json.loads(fintrack(home, "demo", "--json").stdout.splitlines()[-1])
    assert second["jobs"]["fetch_historical_market_data"]["items"] == 0  # nothing is missing
    assert second["rows"]["bars"] == first["rows"]["bars"]
    assert processes_of(home) == []
