"""What a worker's consumer makes of a message before a task sees it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fintrack_tasks.app import app
from fintrack_tasks.tasks import foreign_messages
from fintrack_tasks.tasks.consumer import WorkerConsumer
from fintrack_tasks.tasks.rate_limits import PacedConsumer


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


BODY = ([], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None})


def said(**headers: Any) -> Any:
    """A message as Celery makes it for a task of ours, with these headers in place of its own."""
    made = app.amqp.as_task_v2("1", "fintrack.publish", (), {}, countdown=1, expires=60)
    return SimpleNamespace(headers={**made.headers, **headers}, body="[[], {}, {}]", decode=lambda: BODY)


@pytest.mark.parametrize("prefork", [True, False])
def test_a_message_as_celery_makes_it_is_worked_on(prefork: bool) -> None:
    for headers in ({}, {"shadow": "shown"}, {"retries": 5}, {"group": "g", "group_index": 1}, {"mine": {"a": 1}}):
        assert foreign_messages.misfit(said(**headers), prefork=prefork) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"shadow": ["x"]},
        {"id": {"a": 1}},
        {"id": None},
        {"task": ["fintrack.publish"]},
        {"retries": "x"},
        {"retries": [1]},
        {"retries": 1e308},
        {"eta": 10**30},
        {"expires": {"a": 1}},
        {"group": ["a"]},
        {"root_id": {"a": 1}},
        {"argsrepr": 5},
        {"ignore_result": "yes"},
        {"replaced_task_nesting": "q"},
        {"stamps": "x"},
        {"stamped_headers": 5},
        {"origin": "x" * 5_000},
        {"hostname": "other"},
        {"is_eager": True},
        {"chain": [5]},
        {"loglevel": "x"},
        {"task": "celery.map"},
        {"task": "celery.chord_unlock"},
    ],
)
def test_a_header_that_celery_does_not_write_so_makes_a_message_foreign(headers: dict[str, Any]) -> None:
    """One with a list as its name to be shown kept the true messages behind it from being worked on."""
    assert foreign_messages.misfit(said(**headers), prefork=True)
