"""The connections and settings of the tasks that run in a test's own process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fintrack_tasks.connections import Connections
from fintrack_tasks.settings import Settings
from fintrack_tasks.tasks import base


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
