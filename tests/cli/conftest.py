"""The variables of commands over the test's own database and a local market."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fintrack_tasks.sandbox import Running, running
from fintrack_tasks.settings import Settings


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    with running(seed=7) as server:
        yield server


@pytest.fixture
def where(database_settings: Settings, stack: dict[str, str], sandbox: Running) -> dict[str, str]:
    return {**stack, **sandbox.environment, "DB_NAME": database_settings.db_name, "ECB_QUOTA": "unlimited"}
