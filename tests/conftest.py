"""What the whole suite shares: one local stack for all workers of a run, and the profiles of hypothesis.

The stack's folder is ``FINTRACK_TEST_HOME`` or ``.fintrack/test`` in the checkout. Its data stays between runs, so that
a run that follows a ``kill -9`` proves the recovery; its servers stop with the last run that uses them.

Fixtures of one part of the package live in ``tests/fixtures_<part>.py``; each such file is found here by its name.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import signal
import time
from pathlib import Path
from typing import IO, NoReturn

import pytest
from hypothesis import settings as hypothesis_settings

from fintrack_tasks.embedded import Stack, postgres
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.observability import masking

hypothesis_settings.register_profile("default", deadline=None)
hypothesis_settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis_settings.load_profile("ci" if os.environ.get("CI") else "default")

HERE = Path(__file__).resolve().parent
SHARED_HOME = Path(os.environ.get("FINTRACK_TEST_HOME") or HERE.parent / ".fintrack" / "test")

_in_use = pytest.StashKey[IO[str]]()


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Shells start what runs in the background deaf to Ctrl-C, and so would be every command that a test interrupts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for path in sorted(HERE.glob("fixtures_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        config.pluginmanager.register(module, path.stem)


LONGEST_FIRST = ("embedded", "integration", "cli", "publish", "test_installed.py", "pipeline", "tasks", "store")
"""Files are handed to the workers of a parallel run one by one: a long one at the end would leave the others idle."""
LAST = "e2e"
"""Its whole pipeline, once started, runs beside whatever follows it until the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(LONGEST_FIRST)} | {LAST: len(LONGEST_FIRST) + 1}
    items.sort(key=lambda item: ranks.get(item.path.relative_to(HERE).parts[0], len(LONGEST_FIRST)))


@pytest.fixture(autouse=True)
def added_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test learns its own secrets: a password of another's, such as ``one``, would mask a word of this one's."""
    monkeypatch.setattr(masking, "_added", set())


def missing_service(reason: str) -> NoReturn:
    """A service that is missing skips on a laptop and fails in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> dict[str, str]:
    """The environment of the shared stack (``DB_HOST``, ..., ``REDIS_URL``, ``KAFKA_BOOTSTRAP_SERVERS``).

    Whichever worker asks first starts it, under the stack's own lock; the others find it running. Each of them holds
    a shared lock, which the system drops even when the worker is killed.
    """
    SHARED_HOME.mkdir(parents=True, exist_ok=True)
    in_use = _users_file()
    fcntl.flock(in_use, fcntl.LOCK_SH)
    pytestconfig.stash[_in_use] = in_use
    try:
        with pytest.MonkeyPatch.context() as here:
            # Killed servers lose nothing of what the system holds; only a power cut would, and no test makes one.
            here.setitem(postgres._SETTINGS, "fsync", "off")
            return Stack(SHARED_HOME).start()
    except ConfigurationError as error:
        missing_service(str(error))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave nothing running: the controller stops the stack, unless another run in this checkout still uses it."""
    if in_use := session.config.stash.get(_in_use, None):
        in_use.close()
    if hasattr(session.config, "workerinput") or not (SHARED_HOME / "stack.json").exists():
        return
    with _users_file() as alone:
        deadline = time.monotonic() + 1.0  # a worker may need a moment to end
        while time.monotonic() < deadline:
            try:
                fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.05)
            else:
                Stack(SHARED_HOME).stop()
                return


def _users_file() -> IO[str]:
    """The file whose lock says that a run uses the shared stack."""
    return (SHARED_HOME / "users.lock").open("a", encoding="utf-8")
