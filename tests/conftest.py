"""What the whole suite shares: one local stack for all workers of a run, and the profiles of hypothesis.

The stack's folder is ``FINTRACK_TEST_HOME`` or ``.fintrack/test`` in the checkout. Its data stays between runs, so that
a run that follows a ``kill -9`` proves the recovery; its servers stop with the run that started them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from fintrack_tasks.embedded import Stack
from fintrack_tasks.errors import ConfigurationError

hypothesis_settings.register_profile("default", deadline=None)
hypothesis_settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis_settings.load_profile("ci" if os.environ.get("CI") else "default")


def test_home() -> Path:
    """The folder of the stack that the suite shares."""
    return Path(os.environ.get("FINTRACK_TEST_HOME") or Path(__file__).resolve().parents[1] / ".fintrack" / "test")


def missing_service(reason: str) -> None:
    """A service that is missing skips on a laptop and fails in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def stack() -> dict[str, str]:
    """The environment of the shared stack (``DB_HOST``, ..., ``REDIS_URL``, ``KAFKA_BOOTSTRAP_SERVERS``).

    Whichever worker asks first starts it, under the stack's own lock; the others find it running.
    """
    try:
        return Stack(test_home()).start()
    except ConfigurationError as error:
        missing_service(str(error))
        raise


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave nothing running: the controller stops the stack when its workers have ended (without xdist: at the end)."""
    if not hasattr(session.config, "workerinput"):
        Stack(test_home()).stop()
