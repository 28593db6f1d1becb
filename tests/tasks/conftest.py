"""The connections and settings of the tasks that run in a test's own process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from fintrack_tasks.app import app
from fintrack_tasks.connections import Connections
from fintrack_tasks.domain import Item
from fintrack_tasks.settings import Settings
from fintrack_tasks.tasks import base


@dataclass(frozen=True)
class Sent:
    """A message that Celery would have handed to the broker."""

    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    options: dict[str, Any]


class Outgoing(list[Sent]):
    """Every message in order; :attr:`items` are those of the messages to fetch tasks."""

    @property
    def items(self) -> list[Item]:
        return [Item.from_message(each.args[0]) for each in self if each.task.startswith("fintrack.fetch.")]


@pytest.fixture
def outgoing(monkeypatch: pytest.MonkeyPatch) -> Outgoing:
    """Collects what is sent at the one place where Celery publishes, in place of a broker."""
    found = Outgoing()

    def publish(_producer: Any, task: str, message: Any, **options: Any) -> None:
        args, kwargs, _ = message.body
        found.append(Sent(task, list(args), dict(kwargs), {**message.headers, **message.properties, **options}))

    monkeypatch.setattr(app.amqp, "send_task_message", publish)
    return found


@pytest.fixture
def use() -> Iterator[Callable[[Any], Any]]:
    """Gives the tasks of this process other connections until the end of the test."""
    before = base.use(None)

    def choose(opened: Any) -> Any:
        base.use(opened)
        return opened

    yield choose
    base.use(before)


@pytest.fixture
def process(use: Callable[[Any], Any], database_settings: Settings) -> Iterator[Connections]:
    """This process as a worker over the test's own database."""
    opened: Connections = use(Connections(database_settings))
    yield opened
    opened.close()
