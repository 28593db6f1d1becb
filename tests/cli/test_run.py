"""``fintrack run``: what a person is told of a run."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from fintrack_tasks.cli import run
from fintrack_tasks.domain import uuid7
from fintrack_tasks.store.runs import RunSummary

NOW = datetime(2024, 5, 6, 15, 0, tzinfo=UTC)


@pytest.mark.parametrize("items", [0, 2])
def test_a_run_without_items_says_why_there_are_none(items: int, capsys: pytest.CaptureFixture[str]) -> None:
    summary = RunSummary(
        uuid7(0.0), "fetch_historical_market_data", "finished", None, NOW, NOW, items, 0, 0, items, 0, 0, 0
    )
    run._show(summary, {"quotes": 0}, {"market-data": 0}, [], [], 0.5, as_json=False)
    said = " ".join(capsys.readouterr().err.split())
    assert ("nothing was to be fetched: no bar is missing" in said) is not items
    assert ("--start and --end" in said) is not items


def test_a_span_that_was_given_is_not_advised_once_more(capsys: pytest.CaptureFixture[str]) -> None:
    summary = RunSummary(uuid7(0.0), "fetch_historical_market_data", "finished", None, NOW, NOW, 0, 0, 0, 0, 0, 0, 0)
    run._show(summary, {"quotes": 0}, {"market-data": 0}, [], [], 0.5, as_json=False, nothing=run.NOTHING_IN_SPAN)
    said = " ".join(capsys.readouterr().err.split())
    assert "between --start and --end is stored, or was asked for in vain" in said
    assert "fintrack run historical --refetch" in said
    assert "FINTRACK_HISTORY" not in said


def test_what_nobody_keeps_is_said_in_place_of_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    note = "1h bars of AAPL before 2024-11-29 are not kept by yahoo_finance"
    summary = RunSummary(uuid7(0.0), "fetch_historical_market_data", "finished", note, NOW, NOW, 0, 0, 0, 0, 0, 0, 0)
    run._show(summary, {"quotes": 0}, {"market-data": 0}, [], [], 0.5, as_json=False)
    said = " ".join(capsys.readouterr().err.split())
    assert said == f"not asked for: {note}"
    run._show(summary, {"quotes": 0}, {"market-data": 0}, [], [], 0.5, as_json=True)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["note"] == note


def test_a_consensus_of_fewer_providers_than_were_asked_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    summary = RunSummary(uuid7(0.0), "fetch_market_data", "finished", None, NOW, NOW, 1, 0, 0, 1, 0, 0, 0)
    short = [{"symbol": "AAPL", "detail": "1 of 3 providers: twelve_data"}]
    run._show(summary, {"quotes": 1}, {"market-data": 1}, [], short, 0.5, as_json=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "answered by fewer providers than were asked for" in said
    assert "1 of 3 providers: twelve_data" in said
    run._show(summary, {"quotes": 1}, {"market-data": 1}, [], short, 0.5, as_json=True)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["short_consensus"] == short
