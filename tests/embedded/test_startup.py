"""A start ends well or leaves nothing behind, and never ends a server that others may be using."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fintrack_tasks.embedded import Stack, startup
from fintrack_tasks.embedded.kafka import Kafka
from fintrack_tasks.embedded.process import ProcessState
from fintrack_tasks.embedded.server import NotReadyError, PortTakenError
from fintrack_tasks.embedded.state import StackState
from fintrack_tasks.embedded.valkey import Valkey
from fintrack_tasks.errors import OutageError

pytestmark = pytest.mark.integration


def test_a_server_that_hangs_is_explained_and_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Stack(home).start()
    pid = StackState.read(home / "stack.json").servers["valkey"].process.pid
    monkeypatch.setattr(startup, "_REUSE_SECONDS", 0.1)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(OutageError, match=r"Valkey.*127\.0\.0\.1.*it runs but does not answer.*fintrack down"):
            Stack(home).start()
        assert not Stack(home).health()["valkey"].running
        assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
    finally:
        os.kill(pid, signal.SIGCONT)
    Stack(home).start()
    assert StackState.read(home / "stack.json").servers["valkey"].process.pid == pid


def test_a_port_lost_between_the_choice_and_the_start_is_replaced(
    home: Path, clients: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    numbers = [server.getsockname()[1] for server in taken]
    choose = startup.choose_port
    monkeypatch.setattr(
        startup, "choose_port", lambda preferred, others: numbers.pop() if numbers else choose(preferred, others)
    )
    try:
        environment = Stack(home).start()
    finally:
        for server in taken:
            server.close()
    with clients(environment).postgres() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with clients(environment).valkey() as client:
        assert client.ping()
    assert clients(environment).topics() is not None


def test_an_interrupted_start_leaves_nothing_behind(home: Path, living: Callable[[Path], dict[int, str]]) -> None:
    def interrupt(line: str) -> None:
        if "starting PostgreSQL" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Stack(home).start(interrupt)
    assert living(home) == {}
    assert not (home / "stack.json").exists()
    assert all(health.running is False for health in Stack(home).health().values())


def test_an_interrupted_start_spares_what_ran_before(home: Path) -> None:
    Stack(home).start()
    before = StackState.read(home / "stack.json").servers
    os.kill(before["postgres"].process.pid, signal.SIGKILL)

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Stack(home).start(interrupt)
    left = StackState.read(home / "stack.json").servers
    assert left == {name: before[name] for name in ("kafka", "valkey")}
    assert all(server.process.running for server in left.values())


def test_a_stranger_on_the_port_is_not_told_the_password(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        server = Valkey(home, "the password")
        ended = ProcessState("valkey", 2**22 + 1, "never", str(server.log))
        with pytest.raises(PortTakenError):
            server.wait(ended, port, patience=5)
        stranger.settimeout(0.2)
        with pytest.raises(TimeoutError):
            stranger.accept()


def test_who_hangs_up_is_no_broker(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:

        def hang_up() -> None:
            stranger.accept()[0].close()

        answering = threading.Thread(target=hang_up)
        answering.start()
        with pytest.raises(NotReadyError):
            Kafka(home).ask(stranger.getsockname()[1])
        answering.join()
