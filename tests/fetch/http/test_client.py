"""The client against sockets of this machine that behave as badly as a network does."""

from __future__ import annotations

import gzip
import inspect
import io
import json
import logging
import socket
import struct
import threading
import time
import traceback
import tracemalloc
import zlib
from base64 import urlsafe_b64decode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import requests
import urllib3
import urllib3.exceptions
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from fintrack_tasks.errors import (
    ConfigurationError,
    MalformedError,
    MissingKeyError,
    ProviderError,
    QuotaError,
    TransientError,
)
from fintrack_tasks.fetch.http import transport
from fintrack_tasks.fetch.http.client import MAPPED, HttpClient
from fintrack_tasks.fetch.http.signing import exchange_signature
from fintrack_tasks.fetch.providers.answers import raise_for_status
from fintrack_tasks.fetch.providers.base import HttpRequest, HttpResponse, KeyUse
from tests.fetch.http.peer import (
    FACTS,
    KEY,
    KEYED,
    REQUEST,
    Holder,
    Peer,
    Talk,
    client,
    drips,
    endless,
    hangs_up,
    peer,
    says,
    sends,
    stalls,
)

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


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(hangs_up, id="closed"),
        pytest.param(
            lambda connection, _: (
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
                connection.close(),
            ),
            id="reset",
        ),
        pytest.param(sends(b"HTTP/1.1 200"), id="in the status line"),
        pytest.param(sends(b"HTTP/1.1 404 Not Found"), id="in the reason"),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\nContent-Le"), id="in a header"),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"), id="before the end of the head"),
    ],
)
def test_a_connection_that_breaks_after_the_request_is_not_tried_again(talk: Talk) -> None:
    """The provider has read the request, and may have counted it."""
    with peer(talk) as server, pytest.raises(TransientError):
        client(server).get(FACTS, REQUEST)
    assert len(server.heads) == 1
    assert len(server.connections) == 1


def test_a_connection_that_is_closed_unread_is_not_tried_again() -> None:
    """Whether the request was read cannot be known."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asking = threading.Thread(target=lambda: [listener.accept()[0].close()], daemon=True)
        asking.start()
        with pytest.raises(TransientError, match="the connection broke"):
            HttpClient({"venue": f"http://127.0.0.1:{listener.getsockname()[1]}"}).get(FACTS, REQUEST)
        listener.settimeout(0.5)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_refused_connection_is_tried_again_at_once_and_then_serves() -> None:
    """The listener comes up between two tries."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    seen = []

    class Late(requests.Session):
        def get(self, url: str, **options: object) -> requests.Response:  # type: ignore[override]
            seen.append(url)
            if len(seen) == 3:
                late.append(socket.create_server(("127.0.0.1", port)))
                threading.Thread(target=serve, daemon=True).start()
            return session.get(url, **options)  # type: ignore[arg-type]  # passed on as they came

    def serve() -> None:
        connection, _ = late[0].accept()
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")
        connection.close()

    late: list[socket.socket] = []
    session = transport.open_session()
    try:
        answer = HttpClient({"venue": f"http://127.0.0.1:{port}"}, session=Late()).get(FACTS, REQUEST)
        assert answer.body == b"[]"
        assert len(seen) == 3
    finally:
        for listener in late:
            listener.close()


def test_a_name_that_is_not_found_is_tried_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def unknown(host: str, *_: object) -> None:
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(TransientError, match="no connection"):
        HttpClient({"venue": "http://venue.invalid"}).get(FACTS, REQUEST)
    assert asked == ["venue.invalid"] * 3


def test_the_server_sees_no_more_requests_than_were_made_whatever_it_does() -> None:
    """Eight threads, and a server that answers, answers and closes, cuts, hangs up and resets by turns."""

    def resets(connection: socket.socket, _head: bytes) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    def answers_and_closes(connection: socket.socket, head: bytes) -> None:
        says(b"[]")(connection, head)
        connection.shutdown(socket.SHUT_RDWR)

    turns = [says(b"[]"), answers_and_closes, says(b"[]"), hangs_up, says(b"[]"), says(b"[", length=9), resets]
    made = 300
    with peer(*(turns * made)) as server:
        asking = client(server)

        def ask(number: int) -> int:
            with suppress(TransientError):
                asking.get(FACTS, HttpRequest(f"/{number}"))
            return number

        with ThreadPoolExecutor(8) as threads:
            assert len(list(threads.map(ask, range(made)))) == made
        targets = [server.target(number) for number in range(len(server.heads))]
    assert len(set(targets)) == len(targets) <= made


def test_a_refused_connection_behind_a_redirect_does_not_ask_the_first_address_again() -> None:
    """Each address is asked at most once, whatever becomes of the next."""
    servers: list[Peer] = []

    def leaves(connection: socket.socket, head: bytes) -> None:
        servers[0].stop_listening()
        says(b"", "302 Found", "Location: /elsewhere", "Connection: close")(connection, head)

    with peer(leaves) as server:
        servers.append(server)
        with pytest.raises(TransientError, match="no connection"):
            client(server).get(FACTS, REQUEST)
    assert len(server.heads) == 1


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
        with pytest.raises(TransientError, match="in time"):
            client(server, 0.5).get(FACTS, REQUEST)
        assert time.monotonic() - started < 30  # against a hang: what drips has no end


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(endless(b"HTTP/1.1 200 ", b"O", 0.02), id="status line"),
        pytest.param(endless(b"HTTP/1.1 200 OK\r\nX: ", b"y", 0.02), id="header"),
        pytest.param(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.02), id="interim answers"),
        pytest.param(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="a flood of interim answers"),
        pytest.param(endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0", 0.02), id="chunk size"),
        pytest.param(
            endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", 0.02), id="trailers"
        ),
        pytest.param(
            endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
            id="a flood of trailers",
        ),
        pytest.param(
            endless(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08" + bytes(6), b"n", 0.02),
            id="a name in gzip",
        ),
    ],
)
def test_whatever_drips_meets_the_deadline(talk: Talk) -> None:
    """Also where the libraries read on by themselves."""
    started = time.monotonic()
    with peer(talk) as server:
        with pytest.raises(TransientError, match="in time"):
            client(server, 0.5).get(FACTS, REQUEST)
        assert time.monotonic() - started < 30  # against a hang: what drips has no end
    assert len(server.heads) == 1


def test_the_time_for_an_answer_does_not_begin_anew_with_a_redirect() -> None:
    def slowly(connection: socket.socket, head: bytes) -> None:
        time.sleep(0.3)
        says(b"", "302 Found", "Location: /bars")(connection, head)

    with peer(slowly) as server, pytest.raises(TransientError, match="in time"):
        client(server, 0.5).get(FACTS, REQUEST)
    assert len(server.heads) == 2


# --- answers that are no HTTP


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(sends(b"Hello, this is no HTTP at all\r\n\r\n"), id="HTTP 0.9"),
        pytest.param(sends(b"<!DOCTYPE html><title>Router</title>"), id="HTML without a head"),
        pytest.param(sends(b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n"), id="TLS"),
        pytest.param(sends(b"HTTP/3.0 200 OK\r\n\r\n"), id="unknown version"),
        pytest.param(sends(b"HTTP/1.1 OK\r\n\r\n"), id="no status"),
        pytest.param(sends(b"HTTP/1.1 99999 OK\r\n\r\n"), id="no such status"),
        pytest.param(sends(b"HTTP/1.1 200 " + b"O" * 70_000 + b"\r\n\r\n"), id="a status line without end"),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n"), id="a flood of headers"),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"), id="a header without end"),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\nno header\r\nX: y\r\n\r\n[]"), id="a header line that is none"),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n[]"), id="two lengths"),
    ],
)
def test_what_is_no_http_is_malformed_and_asked_once(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), peer(talk) as server, pytest.raises(MalformedError, match="venue: "):
        client(server).get(KEYED, REQUEST)
    assert len(server.heads) == 1
    assert KEY not in caplog.text


@pytest.mark.parametrize("body", [b"zz\r\n[]\r\n0\r\n\r\n", b"-5\r\n[]\r\n0\r\n\r\n", b"1" * 70_000 + b"\r\n", b"[]"])
def test_chunks_that_are_none_are_a_typed_error(body: bytes) -> None:
    talk = sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    with peer(talk) as server, pytest.raises(ProviderError):
        client(server).get(FACTS, REQUEST)
    assert len(server.heads) == 1


@pytest.mark.parametrize("length", [b"", b"Content-Length: many\r\n", b"Content-Length: -1\r\n"])
def test_an_answer_without_a_length_ends_with_its_connection(length: bytes) -> None:
    with peer(sends(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n[1,", b"2]", pause=0.05)) as server:
        assert client(server).get(FACTS, REQUEST).body == b"[1,2]"


def test_an_interim_answer_is_passed_over() -> None:
    with peer(sends(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")) as server:
        assert client(server).get(FACTS, REQUEST).body == b"[]"


# --- a body that harms

SMALL = replace(FACTS, largest_body=1 << 20)


def bomb(window: int, mebibytes: int = 128) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    packed = b"".join([packer.compress(bytes(1 << 20)) for _ in range(mebibytes)]) + packer.flush()
    assert len(packed) < 600_000
    return packed


@pytest.mark.parametrize(("coding", "window"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
def test_a_body_that_unpacks_to_a_thousandfold_is_refused_in_bounded_memory(coding: str, window: int) -> None:
    body = bomb(window)
    with peer(says(body, "200 OK", f"Content-Encoding: {coding}")) as server:
        asking = client(server)
        tracemalloc.start()
        try:
            with pytest.raises(MalformedError, match="larger than 1048576 bytes"):
                asking.get(SMALL, REQUEST)
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("coding", ["gzip, gzip", "gzip, gzip, gzip", "br", "zstd", "gzip\r\nContent-Encoding: gzip"])
def test_layers_and_codings_that_nobody_asked_for_are_refused(coding: str) -> None:
    body = gzip.compress(gzip.compress(gzip.compress(bytes(1 << 20))))
    with (
        peer(says(body, "200 OK", f"Content-Encoding: {coding}")) as server,
        pytest.raises(MalformedError, match="nobody asked for"),
    ):
        client(server).get(FACTS, REQUEST)
    assert b"Accept-Encoding: gzip, deflate\r\n" in server.heads[0]


def test_a_plain_body_without_end_is_refused() -> None:
    with (
        peer(endless(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", bytes(1 << 16))) as server,
        pytest.raises(MalformedError, match="larger than 1048576 bytes"),
    ):
        client(server).get(SMALL, REQUEST)


def test_a_packed_body_that_unpacks_to_nothing_without_end_is_refused() -> None:
    start = b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nConnection: close\r\n\r\n"
    with (
        peer(endless(start, b"\x00\x00\x00\xff\xff" * 10_000)) as server,
        pytest.raises(MalformedError, match="larger than 1048576 bytes"),
    ):
        client(server, 30.0).get(SMALL, REQUEST)


@pytest.mark.parametrize("length", [(1 << 20) + 1, 10**30])
def test_a_body_that_says_that_it_is_too_large_is_not_read(length: int) -> None:
    with (
        peer(sends(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode(), ends=False)) as server,
        pytest.raises(MalformedError, match="larger than 1048576 bytes"),
    ):
        client(server).get(SMALL, REQUEST)


@pytest.mark.parametrize("headers", [(), ("Content-Encoding: gzip",)])
def test_a_body_of_just_the_largest_size_is_taken(headers: tuple[str, ...]) -> None:
    body = bytes(1 << 20)
    with peer(says(gzip.compress(body) if headers else body, "200 OK", *headers)) as server:
        assert client(server).get(SMALL, REQUEST).body == body


def test_a_broken_compression_is_malformed() -> None:
    broken = says(b"this is not gzip at all", "200 OK", "Content-Encoding: gzip")
    with peer(broken) as server, pytest.raises(MalformedError, match="compression"):
        client(server).get(FACTS, REQUEST)


def test_a_packed_body_that_is_cut_is_transient() -> None:
    cut = says(gzip.compress(b"[1,2]" * 99)[:-9], "200 OK", "Content-Encoding: gzip")
    with peer(cut) as server, pytest.raises(TransientError, match="cut off"):
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
        "http://127.0.0.1/",
        "http://127.0.0.1:1/",
        "//127.0.0.1:1/",
        "http://user:password@127.0.0.1:PORT/",
        "http://elsewhere.invalid\\@127.0.0.1:PORT/",
        "http://elsewhere.invalid#@127.0.0.1:PORT/",
        "http://127.0.0.1:PORT@elsewhere.invalid/",
        "http://127.0.0.1.elsewhere.invalid:PORT/",
        "https://127.0.0.1:PORT/",
    ],
)
def test_a_redirect_to_another_host_is_refused(location: str) -> None:
    """Another port is another server: the key goes to neither."""

    def talk(connection: socket.socket, head: bytes) -> None:
        to = location.replace("PORT", server.url.rpartition(":")[2])
        says(b"", "302 Found", f"Location: {to}")(connection, head)

    with peer(talk) as server:
        with pytest.raises(MalformedError, match="redirect"):
            client(server).get(KEYED, REQUEST)
        assert len(server.heads) == 1


def test_a_redirect_to_the_same_host_keeps_the_keys_header() -> None:
    header = replace(FACTS, key=KeyUse("API_KEY_VENUE", header="X-Token"))

    def talk(connection: socket.socket, head: bytes) -> None:
        says(b"", "307 Temporary", f"Location: {server.url}/v2#part")(connection, head)

    with peer(talk, says(b"[]")) as server:
        assert client(server).get(header, REQUEST).body == b"[]"
    assert server.target(1) == "/v2"
    assert f"X-Token: {KEY}\r\n".encode() in server.heads[1]


def test_a_redirect_may_turn_to_encryption() -> None:
    """From port 80 to port 443, as servers do."""
    asked = []

    class Turning(requests.Session):
        def get(self, url: str, **_: object) -> requests.Response:  # type: ignore[override]
            asked.append(url)
            response = requests.Response()
            response.status_code = 301 if len(asked) == 1 else 200
            response.headers["location"] = "https://venue.example/bars?a=1"
            response.raw = urllib3.HTTPResponse(io.BytesIO(b"[]"), preload_content=False)
            return response

    HttpClient({"venue": "http://venue.example"}, session=Turning()).get(FACTS, HttpRequest("/bars", {"a": "1"}))
    assert asked == ["http://venue.example/bars?a=1", "https://venue.example/bars?a=1"]


def test_the_body_of_a_redirect_is_not_read() -> None:
    """It could be without end."""
    taken = []

    def talk(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.invalid/\r\n\r\n")
        connection.sendall(bytes(1 << 26))
        taken.append("all of it")

    with peer(talk) as server, pytest.raises(MalformedError, match="redirect away"):
        client(server).get(FACTS, REQUEST)
    assert taken == []


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


def test_the_callers_key_is_what_is_sent() -> None:
    with peer(says(b"[]")) as server:
        client(server).get(KEYED, REQUEST, SecretStr("another-key"))
        HttpClient({"venue": server.url}).get(KEYED, REQUEST, SecretStr("another-key"))
        client(server).get(FACTS, REQUEST, SecretStr("another-key"))
    assert [parse_qs(urlsplit(server.target(n)).query).get("token") for n in range(3)] == [
        ["another-key"],
        ["another-key"],
        None,  # a provider that takes no key is given none
    ]


def test_a_provider_that_needs_a_key_is_not_asked_without() -> None:
    with peer(says(b"[]")) as server:
        for key in (None, SecretStr("")):
            with pytest.raises(MissingKeyError, match="API_KEY_VENUE"):
                HttpClient({"venue": server.url}).get(KEYED, REQUEST, key)
        assert server.heads == []


def test_a_provider_whose_key_is_optional_is_asked_without() -> None:
    optional = replace(FACTS, key=KeyUse("API_KEY_OTHER", query="token", optional=True))
    with peer(says(b"[]")) as server:
        for asking in (client(server), HttpClient({"venue": server.url})):
            assert asking.get(optional, REQUEST).status == 200
    assert [server.target(n) for n in range(2)] == ["/bars?symbol=BTC-USD"] * 2


def test_an_optional_key_is_used_where_there_is_one() -> None:
    optional = replace(FACTS, key=KeyUse("API_KEY_VENUE", query="token", optional=True))
    with peer(says(b"[]")) as server:
        client(server).get(optional, REQUEST)
    assert parse_qs(urlsplit(server.target(0)).query)["token"] == [KEY]


@pytest.mark.parametrize("key", ["two\nlines-of-it", "umläute-in-it", "a\tb-secret", "null\x00-secret", "key-\u2028-x"])
@pytest.mark.parametrize("use", [KeyUse("API_KEY_VENUE", query="q"), KeyUse("API_KEY_VENUE", header="X-Key")])
def test_a_key_that_cannot_be_sent_names_its_variable(key: str, use: KeyUse) -> None:
    with peer(says(b"[]")) as server:
        with pytest.raises(ConfigurationError, match="API_KEY_VENUE") as caught:
            client(server).get(replace(FACTS, key=use), REQUEST, SecretStr(key))
        assert server.heads == []
    assert key not in "".join(traceback.format_exception(caught.value))


# --- a key that is repeated


ODD = 'k/3+y="that\\nobody-may'


@pytest.mark.parametrize("key", [KEY, ODD])
@pytest.mark.parametrize(
    "written",
    [
        pytest.param(lambda key: key, id="raw"),
        pytest.param(lambda key: quote(key, safe=""), id="percent"),
        pytest.param(lambda key: "".join(f"%{byte:02x}" for byte in key.encode()), id="all percent, lower case"),
        pytest.param(lambda key: "".join(f"%{byte:02X}" for byte in key.encode()), id="all percent, upper case"),
        pytest.param(lambda key: json.dumps(key)[1:-1], id="JSON"),
        pytest.param(lambda key: json.dumps(key)[1:-1].replace("/", "\\/"), id="JSON of PHP"),
        pytest.param(lambda key: "".join(f"\\u{ord(c):04X}" for c in key), id="all JSON escapes"),
    ],
)
@pytest.mark.parametrize(
    "use", [KeyUse("API_KEY_VENUE", query="q"), KeyUse("API_KEY_VENUE", header="X-Key", prefix="T ")]
)
def test_a_key_that_the_provider_repeats_is_masked(key: str, written: Callable[[str], str], use: KeyUse) -> None:
    said = written(key)
    body = f'{{"error":"key {said} refused","again":"{said}"}}'.encode()
    with peer(says(body, "401 No", f"X-Key: <{said}>", f"Link: </bars?q={said}>")) as server:
        answer = client(server).get(replace(FACTS, key=use), REQUEST, SecretStr(key))
    assert answer.body == b'{"error":"key [masked] refused","again":"[masked]"}'
    assert (answer.headers["x-key"], answer.headers["link"]) == ("<[masked]>", "</bars?q=[masked]>")


def test_a_key_that_is_cut_by_chunks_and_packed_is_masked() -> None:
    packed = gzip.compress(f'{{"error":"{KEY}"}}'.encode())
    chunks = [b"1\r\n" + packed[n : n + 1] + b"\r\n" for n in range(len(packed))]
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    plain = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    halves = [b"8\r\n" + KEY[:8].encode() + b"\r\n", b"f\r\n" + KEY[8:].encode() + b"\r\n", b"0\r\n\r\n"]
    with peer(sends(head, *chunks, b"0\r\n\r\n", ends=False), sends(plain, *halves, pause=0.02, ends=False)) as server:
        asking = client(server)
        assert asking.get(KEYED, REQUEST).body == b'{"error":"[masked]"}'
        assert asking.get(KEYED, REQUEST).body == b"[masked]"


# --- a key that signs

SIGNED = replace(FACTS, key=KeyUse("API_KEY_VENUE", signed=True, optional=True))
SECRET = "Y29pbmJhc2UgZXhjaGFuZ2Ugc2VjcmV0LCAzMiBieXRl"
HMAC_KEY = SecretStr(f"0123456789abcdef:{SECRET}:pass-phrase")


def signing(server: Peer, path: str = "") -> HttpClient:
    nonces = iter(range(9))
    return HttpClient(
        {"venue": server.url + path},
        now=lambda: datetime(2024, 1, 10, 12, tzinfo=UTC),
        nonce=lambda: f"nonce-{next(nonces)}",
    )


def field(head: bytes, name: str) -> str:
    [value] = [line.partition(": ")[2] for line in head.decode().split("\r\n") if line.startswith(f"{name}: ")]
    return value


@pytest.mark.parametrize(
    ("base", "request_"),
    [
        ("", HttpRequest("/products/BTC%2fUSD/ticker")),
        ("", HttpRequest("/candles", {"start": "2024-01-01T00:00:00Z", "note": "ä é+/&=%"})),
        ("", HttpRequest("/a b/{c}|d", {"e": "~!*'()"})),
        ("/mirror/", HttpRequest("/x/../y//z", {"q": "1"})),
    ],
)
def test_what_is_signed_is_what_is_sent(base: str, request_: HttpRequest) -> None:
    with peer(says(b"[]")) as server:
        signing(server, base).get(SIGNED, request_, HMAC_KEY)
    message = f"1704888000GET{server.target(0)}".encode()
    assert field(server.heads[0], "CB-ACCESS-SIGN") == exchange_signature(b"coinbase exchange secret, 32 byte", message)
    assert SECRET.encode() not in server.heads[0]


def test_every_redirect_is_signed_for_its_own_address() -> None:
    with peer(says(b"", "302 Found", "Location: /v2/bars?x=1"), says(b"[]")) as server:
        signing(server).get(SIGNED, REQUEST, HMAC_KEY)
    signatures = [field(head, "CB-ACCESS-SIGN") for head in server.heads]
    assert signatures[1] == exchange_signature(b"coinbase exchange secret, 32 byte", b"1704888000GET/v2/bars?x=1")
    assert signatures[0] != signatures[1]


def test_without_a_key_a_signing_provider_is_asked_unsigned() -> None:
    with peer(says(b"[]")) as server:
        signing(server).get(SIGNED, REQUEST)
    assert b"CB-ACCESS" not in server.heads[0]


def test_what_signs_is_masked_where_it_is_repeated_and_the_time_is_not() -> None:
    def echoes(connection: socket.socket, head: bytes) -> None:
        said = [field(head, f"CB-ACCESS-{name}") for name in ("KEY", "SIGN", "TIMESTAMP", "PASSPHRASE")]
        says(" ".join([*said, SECRET]).encode())(connection, head)

    with peer(echoes) as server:
        body = signing(server).get(SIGNED, REQUEST, HMAC_KEY).body
    assert body == b"[masked] [masked] 1704888000 [masked] [masked]"


def test_a_token_is_made_for_the_host_and_masked_where_it_is_repeated() -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    key = SecretStr("organizations/1-2/apiKeys/3-4:" + pem.decode().replace("\n", "\\n"))

    def echoes(connection: socket.socket, head: bytes) -> None:
        says(field(head, "Authorization").encode())(connection, head)

    with peer(echoes) as server:
        asking = signing(server)
        assert asking.get(SIGNED, REQUEST, key).body == b"Bearer [masked]"
        asking.get(SIGNED, REQUEST, key)
    tokens = [field(head, "Authorization").removeprefix("Bearer ").split(".") for head in server.heads]
    unpacked = [json.loads(urlsafe_b64decode(part + "==")) for token in tokens for part in token[:2]]
    assert [part.get("nonce") for part in unpacked] == ["nonce-0", None, "nonce-1", None]
    assert unpacked[1]["uri"] == f"GET {server.url.removeprefix('http://')}/bars"


def test_a_key_that_cannot_sign_asks_nobody() -> None:
    with peer(says(b"[]")) as server:
        with pytest.raises(ConfigurationError, match="API_KEY_VENUE"):
            signing(server).get(SIGNED, REQUEST, SecretStr("neither:form"))
        assert server.heads == []


# --- errors show nothing


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
        says(b"", "302 Found", "Location: http://[" + KEY),
        sends(b"no HTTP " + KEY.encode()),
        says(b"", "200 " + KEY, "Content-Encoding: " + KEY),
    ],
)
def test_no_error_shows_the_key(talk: Talk) -> None:
    """Neither its text, nor its repr, nor its traceback, nor an error that it keeps."""
    with peer(talk) as server, pytest.raises(ProviderError) as caught:
        client(server, 0.4).get(KEYED, REQUEST)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value.__dict__)
    assert KEY not in shown
    assert "/bars" not in str(caught.value)
    assert caught.value.__context__ is caught.value.__cause__ is None


def test_no_error_of_a_refused_connection_shows_the_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransientError) as caught:
        Holder({"venue": f"http://127.0.0.1:{port}"}).get(KEYED, REQUEST)
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


NOW = datetime(2024, 1, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["17", format_datetime(NOW + timedelta(seconds=17), usegmt=True)])
@pytest.mark.parametrize(("status", "error"), [("429 Too Many Requests", QuotaError), ("503 Later", TransientError)])
def test_retry_after_reaches_the_error_in_both_forms(text: str, status: str, error: type[ProviderError]) -> None:
    with peer(says(b"slow", status, f"Retry-After: {text}")) as server:
        response = client(server).get(FACTS, REQUEST)
    with pytest.raises(error) as caught:
        raise_for_status(response, NOW)
    assert caught.value.retry_after == 17.0
    assert len(server.heads) == 1


def test_the_part_of_a_body_that_came_before_it_broke_off_is_kept_without_the_key() -> None:
    half = b'{"Information": "key ' + KEY.encode() + b" has reached"
    with peer(says(half, length=5000)) as server:
        with pytest.raises(TransientError) as caught:
            client(server).get(KEYED, REQUEST)
        partial = caught.value.partial
    assert isinstance(partial, HttpResponse)
    assert (partial.status, partial.body) == (200, b'{"Information": "key [masked] has reached')


def test_a_body_that_broke_off_inside_the_key_keeps_no_part_of_it() -> None:
    half = b'{"Information": "key ' + KEY[:-2].encode()
    with peer(says(half, length=5000)) as server, pytest.raises(TransientError) as caught:
        client(server).get(KEYED, REQUEST)
    assert caught.value.partial.body == b'{"Information": "key [masked]'


def test_nothing_is_kept_where_nothing_came() -> None:
    with peer(says(b"", length=5000)) as server, pytest.raises(TransientError) as caught:
        client(server).get(FACTS, REQUEST)
    assert caught.value.partial is None


# --- Where nothing, or no key, is sent ------------------------------------------------------------------------------


@pytest.mark.parametrize("use", [KeyUse("API_KEY_VENUE", query="token"), KeyUse("API_KEY_VENUE", header="X-Key")])
@pytest.mark.parametrize(
    "base", ["http://venue.example.com", "http://10.255.255.1:8080", "http://localhost.example.com"]
)
def test_a_key_is_sent_in_clear_to_no_other_machine(base: str, use: KeyUse) -> None:
    client = HttpClient({"venue": base}, timeout=1)
    with pytest.raises(
        ConfigurationError, match=r"VENUE_BASE_URL would send a key in clear to .*: it needs https"
    ) as caught:
        client.get(replace(FACTS, key=use), REQUEST, SecretStr(KEY))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("base", ["http://169.254.169.254/latest", "https://[fe80::1]", "http://0xa9fea9fe"])
def test_metadata_is_asked_for_nothing_with_a_key_or_without(base: str) -> None:
    client = HttpClient({"venue": base}, timeout=1)
    for facts, key in ((FACTS, None), (KEYED, SecretStr(KEY))):
        with pytest.raises(ConfigurationError, match=r"VENUE_BASE_URL names .* link-local or metadata address"):
            client.get(facts, REQUEST, key)
