"""A server of this machine that behaves as badly as a network does, for the tests of the client and its transport."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from pydantic import SecretStr

from fintrack_tasks.fetch.http.client import HttpClient
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest, HttpResponse, KeyUse

KEY = "k3y-that-nobody-may-see"
FACTS: Facts = replace(provider("coinbase").facts, name="venue", key=None, headers={"User-Agent": "browser"})
KEYED = replace(FACTS, key=KeyUse("API_KEY_VENUE", query="token"))
REQUEST = HttpRequest("/bars", {"symbol": "BTC-USD"})

Talk = Callable[[socket.socket, bytes], None]


class Holder(HttpClient):
    """A client that asks with the venue's one key where the caller gives none."""

    def get(self, facts: Facts, request: HttpRequest, key: SecretStr | None = None) -> HttpResponse:
        own = facts.key is not None and facts.key.variable == "API_KEY_VENUE"
        return super().get(facts, request, key or (SecretStr(KEY) if own else None))


class Peer:
    """A TCP server that answers each connection with its own talk and keeps the heads that it was sent."""

    def __init__(self, *talks: Talk, tls: ssl.SSLContext | None = None) -> None:
        self.heads: list[bytes] = []
        self._talks = talks
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.connections: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        if self._tls:
            try:
                wrapped = self._tls.wrap_socket(connection, server_side=True)
            except OSError:
                return
            self.connections[self.connections.index(connection)] = connection = wrapped
        with connection:
            try:
                while head := self._head(connection):
                    self.heads.append(head)
                    self._talks[min(len(self.heads), len(self._talks)) - 1](connection, head)
            except OSError:
                return

    @staticmethod
    def _head(connection: socket.socket) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            part = connection.recv(4096)
            if not part:
                return b""
            head += part
        return head

    def stop_listening(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)

    def close(self) -> None:
        self.stop_listening()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(6)

    def target(self, number: int) -> str:
        """The address line of the nth request."""
        return self.heads[number].split(b" ", 2)[1].decode()


@contextmanager
def peer(*talks: Talk, tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    server = Peer(*talks, tls=tls)
    try:
        yield server
    finally:
        server.close()


def says(body: bytes, status: str = "200 OK", *headers: str, length: int | None = None) -> Talk:
    """A talk that sends one whole answer (or one that promises another length)."""

    def talk(connection: socket.socket, _head: bytes) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode() + body)
        if length is not None:
            connection.shutdown(socket.SHUT_RDWR)

    return talk


def hangs_up(connection: socket.socket, _head: bytes) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def drips(connection: socket.socket, _head: bytes) -> None:
    """A byte at a time, each within any read time-out, and without an end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(100):
        connection.sendall(b"x")
        time.sleep(0.05)


def stalls(connection: socket.socket, _head: bytes) -> None:
    """Half a body, then silence."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    connection.recv(1)


def sends(*parts: bytes, pause: float = 0.0, ends: bool = True) -> Talk:
    """A talk of raw bytes."""

    def talk(connection: socket.socket, _head: bytes) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        if ends:
            connection.shutdown(socket.SHUT_RDWR)

    return talk


def endless(start: bytes, unit: bytes, pause: float = 0.0) -> Talk:
    """A talk that goes on until the client has had enough."""

    def talk(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(start)
        for _ in range(1_000_000):
            connection.sendall(unit)
            time.sleep(pause)

    return talk


def client(server: Peer, timeout: float = 5.0) -> HttpClient:
    return Holder({"venue": server.url}, timeout)
