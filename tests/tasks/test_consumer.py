"""What a worker's consumer makes of a message before a task sees it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fintrack_tasks.tasks.consumer import WorkerConsumer
from fintrack_tasks.tasks.pacing import PacedConsumer


def test_a_message_does_not_choose_its_own_time_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of a millisecond would end a true item as failed, by a repeated message of its own."""
    received: list[Any] = []
    monkeypatch.setattr(PacedConsumer, "create_task_handler", lambda *_, **__: received.append)
    consumer = WorkerConsumer.__new__(WorkerConsumer)
    consumer.pool = SimpleNamespace(uses_semaphore=False)
    headers = {"task": "fintrack.publish", "id": "1", "timelimit": [0.001, 0.001]}
    message = SimpleNamespace(headers=headers, body="[[], {}, {}]", decode=lambda: [[], {}, {}])
    consumer.create_task_handler()(message)
    assert received == [message]
    assert message.headers == {"task": "fintrack.publish", "id": "1"}
