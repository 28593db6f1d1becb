"""A failure handler does not raise: the message of a task whose handler does is never acknowledged (celery#3488)."""

from __future__ import annotations

from typing import Any

import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.errors import OutageError, UsageError
from fintrack_tasks.tasks import fetch_market_data, foreign_messages, ingest, reconcile
from tests.tasks.test_ingest import ITEM


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Task and reason of the messages that were kept."""
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(foreign_messages, "keep", lambda task, reason, *_: found.append((task, reason)))
    return found


@pytest.mark.parametrize("arguments", [[{}], [], [[]], [[{}, {}]], [None], [1], [[1, 2]], ["text"], [{"id": "x"}]])
def test_a_message_without_an_item_is_kept_as_it_is(kept: list[tuple[str, str]], arguments: list[Any]) -> None:
    ingest.fetch_tasks["ecb"].on_failure(KeyError("id"), "id", arguments, {}, None)
    ingest.load.on_failure(ValueError("not an item's message"), "id", arguments, {}, None)
    assert kept == [("fintrack.fetch.ecb", "wrong_arguments"), ("fintrack.load", "wrong_arguments")]


def test_arguments_that_a_task_does_not_take_are_kept(kept: list[tuple[str, str]]) -> None:
    reconcile.on_failure(TypeError("takes 0 positional arguments but 1 was given"), "id", [1], {}, None)
    fetch_market_data.on_failure(TypeError("unexpected keyword"), "id", [], {"symbol": "AAPL"}, None)
    fetch_market_data.on_failure(UsageError("not a symbol: ''"), "id", [[""]], {}, None)
    assert [task for task, _ in kept] == ["fintrack.reconcile", *["fintrack.fetch_market_data"] * 2]


def test_a_defect_of_ours_is_no_foreign_message(kept: list[tuple[str, str]]) -> None:
    reconcile.on_failure(TypeError("unsupported operand"), "id", [], {}, None)
    reconcile.on_failure(OutageError("PostgreSQL", "localhost"), "id", [], {}, None)
    assert kept == []


def test_an_item_that_cannot_be_ended_because_postgresql_is_down_is_left_to_reconcile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise OutageError("PostgreSQL", "localhost:5432")

    monkeypatch.setattr(pipeline, "fail_item", down)
    ingest.load.on_failure(KeyError("price"), "id", [[ITEM.to_message(), {}]], {}, None)
