"""The check of the providers' addresses asks them within bounds, and gives nothing of this machine away."""

from __future__ import annotations

import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from fintrack_tasks.observability import HealthChecker
from fintrack_tasks.settings import Settings

OTHERS = dict.fromkeys(("database", "redis", "kafka", "disk_space", "memory_usage"), lambda: "not asked")
Talk = Callable[[socket.socket], object]


@contextmanager
def address(talk: Talk) -> Iterator[tuple[str, list[bytes]]]:
    """An address that answers each connection with the talk; and the heads of what it was asked."""
    heads: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    heads.append(connection.recv(65_536))
                    talk(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", heads
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def checked(url: str) -> Mapping[str, Any]:
    settings = Settings.from_mapping({"FINNHUB_BASE_URL": url})
    return HealthChecker(OTHERS, settings).check_system_health().checks["api_endpoints"]


def says(head: str, body: bytes = b"") -> Talk:
    return lambda connection: connection.sendall(f"HTTP/1.1 {head}\r\n\r\n".encode() + body)


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "404 Not Found", "503 Service Unavailable"])
def test_an_address_that_answers_is_reached_whatever_it_says(status: str) -> None:
    with address(says(f"{status}\r\nContent-Length: 0")) as (url, heads):
        found = checked(url)
    assert (found["healthy"], found["detail"]) == (True, "reached: finnhub")
    assert len(heads) == 1


def test_no_body_is_unpacked() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    with address(says(f"200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}", packed)) as (url, _):
        tracemalloc.start()
        try:
            assert checked(url)["healthy"]
            assert tracemalloc.get_traced_memory()[1] < 32 << 20
        finally:
            tracemalloc.stop()


def test_a_body_that_drips_holds_nobody_up() -> None:
    def drips(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(600):
            connection.sendall(b"x")
            time.sleep(0.05)

    with address(drips) as (url, _):
        assert checked(url)["seconds"] < 25  # against waiting for the last drop, after 30 seconds


def test_a_head_that_drips_is_no_answer() -> None:
    def drips(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(400):
            connection.sendall(f"X-{number}: x\r\n".encode())
            time.sleep(0.05)

    with address(drips) as (url, _):
        found = checked(url)
    assert not found["healthy"]
    assert found["detail"].startswith(f"finnhub does not answer at {url}")
    assert found["seconds"] < 18  # against waiting for the last drop, after 20 seconds


def test_addresses_are_asked_at_once() -> None:
    """Each answers only once all of them have been asked."""
    names = ("FINNHUB", "COINBASE", "YAHOO_FINANCE", "TWELVE_DATA", "ECB")
    all_asked = threading.Barrier(len(names), timeout=20)

    def answers(connection: socket.socket) -> None:
        with suppress(threading.BrokenBarrierError):
            all_asked.wait()
            says("200 OK\r\nContent-Length: 0")(connection)

    with ExitStack() as opened:
        urls = [opened.enter_context(address(answers))[0] for _ in names]
        settings = Settings.from_mapping({f"{n}_BASE_URL": url for n, url in zip(names, urls, strict=True)})
        found = HealthChecker(OTHERS, settings).check_system_health().checks["api_endpoints"]
    assert found["healthy"], found


def test_no_password_of_a_netrc_and_no_proxy_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cret-of-netrc\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with address(says("200 OK\r\nContent-Length: 0")) as (url, heads):
        assert checked(url)["healthy"]
    assert b"authorization" not in heads[0].lower()


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with address(says("200 OK\r\nContent-Length: 0")) as (elsewhere, asked):
        with address(says(f"302 Found\r\nLocation: {elsewhere}/\r\nContent-Length: 0")) as (url, _):
            assert checked(url)["healthy"]
        assert not asked


def test_what_is_no_http_is_no_answer() -> None:
    with address(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n")) as (url, _):
        assert not checked(url)["healthy"]


def test_nobody_at_an_address_is_told_with_the_address_and_without_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    found = checked(f"http://me:s3cret-pw@127.0.0.1:{port}")
    assert not found["healthy"]
    assert f"127.0.0.1:{port}" in found["detail"]
    assert "s3cret-pw" not in found["detail"]
