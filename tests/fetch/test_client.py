"""The client against sockets of this machine that behave as badly as a network does."""

from __future__ import annotations

import gzip
import inspect
import socket
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import urllib3.exceptions
from pydantic import SecretStr

from fintrack_tasks.errors import ConfigurationError, MalformedError, MissingKeyError, ProviderError, TransientError
from fintrack_tasks.fetch.client import MAPPED, HttpClient
from fintrack_tasks.fetch.keys import KeyRing
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.answers import retry_after
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest, KeyUse

KEY = "k3y-that-nobody-may-see"
FACTS: Facts = replace(provider("coinbase").facts, name="venue", headers={"User-Agent": "browser"})
KEYED = replace(FACTS, key=KeyUse("API_KEY_VENUE", query="token"))
REQUEST = HttpRequest("/bars", {"symbol": "BTC-USD"})

Talk = Callable[[socket.socket, bytes], None]


class Keys:
    """A source with one key."""

    def api_keys(self, variable: str) -> tuple[SecretStr, ...]:
        return (SecretStr(KEY),) if variable == "API_KEY_VENUE" else ()


class Peer:
    """A TCP server that answers each connection with its own talk and keeps the heads that it was sent."""

    def __init__(self, *talks: Talk) -> None:
        self.heads: list[bytes] = []
        self._talks = talks
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.connections: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

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
        with connection:
            connection.settimeout(5)
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

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(6)

    def target(self, number: int) -> str:
        """The address line of the nth request."""
        return self.heads[number].split(b" ", 2)[1].decode()


@contextmanager
def peer(*talks: Talk) -> Iterator[Peer]:
    server = Peer(*talks)
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


def client(server: Peer, timeout: float = 5.0) -> HttpClient:
    return HttpClient({"venue": server.url}, KeyRing(Keys()), timeout)


# --- what is asked, and what comes back


def test_an_answer_comes_back_as_it_is() -> None:
    with peer(says(b'{"a":1}', "200 OK", "X-Remaining: 7")) as server:
        response = client(server).get(FACTS, REQUEST)
    assert (response.status, response.body) == (200, b'{"a":1}')
    assert response.headers["x-remaining"] == "7"
    assert server.target(0) == "/bars?symbol=BTC-USD"
    assert b"User-Agent: browser\r\n" in server.heads[0]


@pytest.mark.parametrize("status", ["204 No Content", "400 Bad", "401 No", "404 No", "429 Slow", "500 Oh", "503 Later"])
def test_no_status_is_an_error_of_the_client(status: str) -> None:
    with peer(says(b"", status)) as server:
        assert client(server).get(FACTS, REQUEST).status == int(status[:3])


def test_html_passes_through_for_the_provider_to_judge() -> None:
    page = b"<!DOCTYPE html><title>Are you a robot?</title>"
    with peer(says(page, "200 OK", "Content-Type: text/html")) as server:
        assert client(server).get(FACTS, REQUEST).body == page


def test_a_compressed_body_comes_back_unpacked() -> None:
    with peer(says(gzip.compress(b"[1,2]"), "200 OK", "Content-Encoding: gzip")) as server:
        assert client(server).get(FACTS, REQUEST).body == b"[1,2]"


def test_a_chunked_body_comes_back_whole() -> None:
    def talk(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n")
        time.sleep(0.05)
        connection.sendall(b"3\r\n,2]\r\n0\r\n\r\n")

    with peer(talk) as server:
        assert client(server).get(FACTS, REQUEST).body == b"[1,2]"


def test_one_connection_serves_many_requests() -> None:
    with peer(says(b"[]")) as server:
        asking = client(server)
        for _ in range(5):
            asking.get(FACTS, REQUEST)
        assert len(server.connections) == 1


def test_a_base_url_with_a_path_and_a_slash_is_a_prefix() -> None:
    with peer(says(b"[]")) as server:
        HttpClient({"venue": server.url + "/mirror/"}).get(FACTS, REQUEST)
    assert server.target(0) == "/mirror/bars?symbol=BTC-USD"


def test_a_base_url_that_is_no_address_names_its_variable() -> None:
    with pytest.raises(ConfigurationError, match="VENUE_BASE_URL"):
        HttpClient({"venue": "ftp://127.0.0.1"}).get(FACTS, REQUEST)


def test_no_proxy_and_no_netrc_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with peer(says(b"[]")) as server:
        assert client(server).get(FACTS, REQUEST).status == 200


# --- a network that fails


def test_a_refused_connection_is_transient() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransientError, match="venue"):
        HttpClient({"venue": f"http://127.0.0.1:{port}"}).get(FACTS, REQUEST)


def test_a_connection_that_breaks_before_the_answer_is_tried_again_at_once() -> None:
    with peer(hangs_up, hangs_up, says(b"[]")) as server:
        assert client(server).get(FACTS, REQUEST).body == b"[]"
    assert len(server.heads) == 3


def test_the_third_break_is_transient() -> None:
    with peer(hangs_up) as server, pytest.raises(TransientError, match="no connection"):
        client(server).get(FACTS, REQUEST)
    assert len(server.heads) == 3


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(says(b'{"chart"', length=500), id="length"),
        pytest.param(
            lambda connection, _: (
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,2"),
                connection.shutdown(socket.SHUT_RDWR),
            ),
            id="in a chunk",
        ),
        pytest.param(
            lambda connection, _: (
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n"),
                connection.shutdown(socket.SHUT_RDWR),
            ),
            id="between chunks",
        ),
    ],
)
def test_a_body_that_is_cut_is_transient_and_asked_for_once(talk: Talk) -> None:
    """The provider has counted the request: trying again is for the queue, which waits."""
    with peer(talk) as server, pytest.raises(TransientError):
        client(server).get(FACTS, REQUEST)
    assert len(server.heads) == 1


def test_a_silent_peer_is_transient_and_asked_once() -> None:
    with peer(lambda connection, _: connection.recv(1)) as server, pytest.raises(TransientError, match="in time"):
        client(server, 0.3).get(FACTS, REQUEST)
    assert len(server.heads) == 1


def test_a_body_that_stalls_is_transient_and_asked_for_once() -> None:
    with peer(stalls) as server, pytest.raises(TransientError):
        client(server, 0.3).get(FACTS, REQUEST)
    assert len(server.heads) == 1


def test_a_body_that_drips_meets_the_deadline() -> None:
    """Each byte is in time and the whole is not."""
    started = time.monotonic()
    with peer(drips) as server:
        with pytest.raises(TransientError, match="too long"):
            client(server, 0.5).get(FACTS, REQUEST)
        assert time.monotonic() - started < 2.0


# --- a body that harms


def test_a_body_that_unpacks_to_gigabytes_is_refused() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([packer.compress(bytes(1 << 20)) for _ in range(256)]) + packer.flush()
    assert len(bomb) < 400_000
    with peer(says(bomb, "200 OK", "Content-Encoding: gzip")) as server, pytest.raises(MalformedError, match="8 MiB"):
        client(server).get(FACTS, REQUEST)


def test_a_plain_body_without_end_is_refused() -> None:
    def talk(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            connection.sendall(bytes(1 << 20))

    with peer(talk) as server, pytest.raises(MalformedError, match="8 MiB"):
        client(server).get(FACTS, REQUEST)


def test_a_broken_compression_is_malformed() -> None:
    broken = says(b"this is not gzip at all", "200 OK", "Content-Encoding: gzip")
    with peer(broken) as server, pytest.raises(MalformedError, match="compression"):
        client(server).get(FACTS, REQUEST)


# --- redirects


def test_a_redirect_on_the_same_host_is_followed_with_its_own_query() -> None:
    moved = says(b"", "302 Found", "Location: /v2/bars?symbol=BTC-USD&x=1")
    with peer(moved, says(b"[]")) as server:
        assert client(server).get(FACTS, REQUEST).body == b"[]"
    assert parse_qs(urlsplit(server.target(1)).query) == {"symbol": ["BTC-USD"], "x": ["1"]}


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:1/",
        "//example.invalid/",
        "https://consent.example.invalid/?a=b",
        "http://[::1",
        "ftp://127.0.0.1/",
    ],
)
def test_a_redirect_to_another_host_is_refused(location: str) -> None:
    with peer(says(b"", "302 Found", f"Location: {location}")) as server:
        with pytest.raises(MalformedError, match="redirect"):
            client(server).get(KEYED, REQUEST)
        assert len(server.heads) == 1


def test_the_body_of_a_redirect_is_not_read() -> None:
    """It could be without end."""

    def talk(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.invalid/\r\n\r\n")
        connection.sendall(bytes(1 << 26))
        pytest.fail("the whole body was taken")

    with peer(talk) as server, pytest.raises(MalformedError, match="redirect away"):
        client(server).get(FACTS, REQUEST)


def test_a_circle_of_redirects_ends() -> None:
    circle = peer(says(b"", "301 Moved", "Location: /bars"))
    with circle as server, pytest.raises(MalformedError, match="too many redirects"):
        client(server).get(FACTS, REQUEST)
    assert len(server.heads) == 4


# --- keys


def test_a_key_goes_where_the_facts_say() -> None:
    header = replace(FACTS, key=KeyUse("API_KEY_VENUE", header="Authorization", prefix="Token "))
    with peer(says(b"[]")) as server:
        client(server).get(KEYED, REQUEST)
        client(server).get(header, REQUEST)
    assert parse_qs(urlsplit(server.target(0)).query)["token"] == [KEY]
    assert f"Authorization: Token {KEY}\r\n".encode() in server.heads[1]
    assert KEY not in server.target(1)


def test_a_missing_key_names_its_variable_and_asks_nobody() -> None:
    other = replace(FACTS, key=KeyUse("API_KEY_OTHER", query="token"))
    with peer(says(b"[]")) as server:
        with pytest.raises(MissingKeyError, match="API_KEY_OTHER"):
            client(server).get(other, REQUEST)
        assert server.heads == []


@pytest.mark.parametrize(
    "talk",
    [
        hangs_up,
        stalls,
        drips,
        says(b"{", length=100),
        says(b"no gzip", "200 OK", "Content-Encoding: gzip"),
        says(b"", "302 Found", "Location: http://localhost:1/?token=" + KEY),
        says(b"", "302 Found", "Location: /bars?token=" + KEY),
    ],
)
def test_no_error_shows_the_key(talk: Talk) -> None:
    """Neither its text, nor its repr, nor its traceback."""
    with peer(talk) as server, pytest.raises(ProviderError) as caught:
        client(server, 0.4).get(KEYED, REQUEST)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value.__dict__)
    assert KEY not in shown


def test_no_error_of_a_refused_connection_shows_the_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransientError) as caught:
        HttpClient({"venue": f"http://127.0.0.1:{port}"}, KeyRing(Keys())).get(KEYED, REQUEST)
    assert KEY not in "".join(traceback.format_exception(caught.value))


# --- the libraries' errors


def failures() -> list[type[Exception]]:
    """Every error class of requests and of urllib3, and what lies below them."""
    found: set[type[Exception]] = {zlib.error, OSError, TimeoutError, ConnectionResetError, socket.gaierror}
    for module, base in (
        (requests.exceptions, requests.exceptions.RequestException),
        (urllib3.exceptions, urllib3.exceptions.HTTPError),
    ):
        found |= {known for _, known in inspect.getmembers(module, inspect.isclass) if issubclass(known, base)}
    assert len(found) > 40
    return sorted(found, key=lambda known: f"{known.__module__}.{known.__qualname__}")


class Failing(requests.Session):
    """A transport that fails in one way before any answer."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def get(self, *_args: object, **_kwargs: object) -> requests.Response:  # type: ignore[override]
        raise self.error


@pytest.mark.parametrize("known", failures(), ids=lambda known: f"{known.__module__}.{known.__qualname__}")
def test_every_error_of_the_libraries_is_one_of_ours(known: type[Exception]) -> None:
    error = known.__new__(known)  # their constructors want pools, responses and the like
    Exception.__init__(error, f"https://host/?token={KEY}")
    with pytest.raises(ProviderError) as caught:
        HttpClient(session=Failing(error)).get(FACTS, REQUEST)
    assert isinstance(caught.value, TransientError | MalformedError)
    assert str(caught.value).startswith("venue: ")
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_narrower_errors_come_before_wider_ones() -> None:
    """Otherwise the wider one would hide them."""
    classes = [known for known, _, _ in MAPPED]
    for position, known in enumerate(classes):
        assert not any(issubclass(known, earlier) for earlier in classes[:position] if earlier is not known)


def test_an_error_that_is_none_of_the_networks_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        HttpClient(session=Failing(ZeroDivisionError())).get(FACTS, REQUEST)


# --- Retry-After


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("99999999999999", 31 * 86_400.0),
        ("Wed, 10 Jan 2024 12:02:00 GMT", 120.0),
        ("Wednesday, 10-Jan-24 12:02:00 GMT", 120.0),
        ("Wed, 10 Jan 2024 11:00:00 GMT", 0.0),
        ("Wed, 10 Jan 2024 13:02:00 +0100", 120.0),
        ("Wed, 10 Jan 2024 12:02:00 -0000", 120.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("Wed, 99 Jan 2024 12:02:00 GMT", None),
    ],
)
def test_retry_after_in_both_forms(text: str, seconds: float | None) -> None:
    now = datetime(2024, 1, 10, 12, tzinfo=UTC)
    assert retry_after({"retry-after": text}, now) == seconds


def test_retry_after_may_be_absent() -> None:
    assert retry_after({}, datetime(2024, 1, 10, tzinfo=UTC)) is None


def test_retry_after_reaches_the_quota_error() -> None:
    with peer(says(b"slow", "429 Too Many Requests", "Retry-After: 17")) as server:
        response = client(server).get(FACTS, REQUEST)
    assert retry_after(response.headers, datetime.now(tz=UTC)) == 17.0
