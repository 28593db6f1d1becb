"""``fintrack run``: what a person is told of a run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fintrack_tasks.cli import run
from fintrack_tasks.domain import uuid7
from fintrack_tasks.store.ledger import RunSummary

NOW = datetime(2024, 5, 6, 15, 0, tzinfo=UTC)


@pytest.mark.parametrize("items", [0, 2])
def test_a_run_without_items_says_why_there_are_none(items: int, capsys: pytest.CaptureFixture[str]) -> None:
    summary = RunSummary(
        uuid7(), "fetch_historical_market_data", "finished", None, NOW, NOW, items, 0, 0, items, 0, 0, 0
    )
    run._show(summary, {"quotes": 0}, {"market-data": 0}, [], 0.5, as_json=False)
    said = " ".join(capsys.readouterr().err.split())
    assert ("nothing was to be fetched: no bar is missing" in said) is not items
    assert ("--start and --end" in said) is not items
