"""The session below the client: pooled connections, threads, TLS, and where a name leads."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fintrack_tasks.errors import (
    ConfigurationError,
    MalformedError,
    TransientError,
)
from fintrack_tasks.fetch.http import transport
from fintrack_tasks.fetch.http.client import HttpClient
from fintrack_tasks.fetch.providers.base import HttpRequest
from tests.fetch.http.peer import (
    FACTS,
    KEYED,
    REQUEST,
    Holder,
    Peer,
    client,
    hangs_up,
    peer,
    says,
)

# --- pooled connections


def test_a_pooled_connection_that_breaks_under_a_request_is_not_tried_again() -> None:
    """Its server may have read the request before it closed."""
    with peer(says(b"[]"), hangs_up, says(b"[]")) as server:
        asking = client(server)
        asking.get(FACTS, REQUEST)
        with pytest.raises(TransientError, match="the connection broke"):
            asking.get(FACTS, REQUEST)
        assert (len(server.heads), len(server.connections)) == (2, 1)
        assert asking.get(FACTS, REQUEST).status == 200
        assert (len(server.heads), len(server.connections)) == (3, 2)


def test_a_pooled_connection_that_its_server_has_closed_is_not_used_again() -> None:
    def answers_and_closes(connection: socket.socket, head: bytes) -> None:
        says(b"[]")(connection, head)
        connection.shutdown(socket.SHUT_RDWR)

    with peer(answers_and_closes) as server:
        asking = client(server)
        for _ in range(4):
            assert asking.get(FACTS, REQUEST).status == 200
            time.sleep(0.05)
        assert (len(server.heads), len(server.connections)) == (4, 4)


def test_a_pooled_connection_that_idled_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server may be about to close it, which a request could not be saved from."""
    monkeypatch.setattr(transport, "_IDLE_SECONDS", 0.1)
    with peer(says(b"[]")) as server:
        asking = client(server)
        asking.get(FACTS, REQUEST)
        asking.get(FACTS, REQUEST)
        assert len(server.connections) == 1
        time.sleep(0.15)
        asking.get(FACTS, REQUEST)
        assert len(server.connections) == 2


def test_threads_share_the_pool_and_each_gets_its_own_answer() -> None:
    def echoes(connection: socket.socket, head: bytes) -> None:
        says(head.split(b" ", 2)[1])(connection, head)

    with peer(echoes) as server:
        asking = client(server)

        def ask(number: int) -> bool:
            return asking.get(FACTS, HttpRequest(f"/bars/{number}")).body == f"/bars/{number}".encode()

        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(ask, range(200)))
        assert len(server.heads) == 200
        assert len(server.connections) <= 8


def test_no_cookie_is_kept() -> None:
    with peer(says(b"[]", "200 OK", "Set-Cookie: seen=1; Path=/")) as server:
        asking = client(server)
        asking.get(FACTS, REQUEST)
        asking.get(FACTS, REQUEST)
    assert b"cookie" not in server.heads[1].lower()


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "venue")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(tz=UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(tz=UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "venue.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def trusting(server: Peer, certificate: Path, url: str | None = None) -> HttpClient:
    session = transport.open_session()
    session.verify = str(certificate)
    return Holder({"venue": url or server.url}, 5.0, session)


def test_a_trusted_certificate_is_accepted_and_its_connection_is_pooled(tls: ssl.SSLContext, certificate: Path) -> None:
    with peer(says(b"[]"), tls=tls) as server:
        asking = trusting(server, certificate)
        assert asking.get(FACTS, REQUEST).body == asking.get(FACTS, REQUEST).body == b"[]"
        assert len(server.connections) == 1


def test_a_self_signed_certificate_is_refused_and_nothing_is_sent(tls: ssl.SSLContext) -> None:
    with peer(says(b"[]"), tls=tls) as server:
        with pytest.raises(TransientError, match="certificate"):
            client(server).get(KEYED, REQUEST)
        assert server.heads == []
        assert len(server.connections) == 1  # it would be no better a moment later


def test_a_certificate_of_another_name_is_refused(tls: ssl.SSLContext, certificate: Path) -> None:
    with peer(says(b"[]"), tls=tls) as server:
        elsewhere = server.url.replace("127.0.0.1", "localhost")
        with pytest.raises(TransientError, match="certificate"):
            trusting(server, certificate, elsewhere).get(KEYED, REQUEST)
        assert server.heads == []


def test_the_environment_cannot_lift_the_check(tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "")
    with peer(says(b"[]"), tls=tls) as server, pytest.raises(TransientError, match="certificate"):
        client(server).get(FACTS, REQUEST)


def test_a_handshake_that_breaks_is_tried_again_since_nothing_was_sent() -> None:
    tries = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def slams() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    tries.append(connection.recv(1))  # of the client's hello
                    connection.close()

        threading.Thread(target=slams, daemon=True).start()
        with pytest.raises(TransientError, match="no connection"):
            HttpClient({"venue": f"https://127.0.0.1:{listener.getsockname()[1]}"}).get(FACTS, REQUEST)
        listener.shutdown(socket.SHUT_RDWR)
    assert len(tries) == 3


def test_a_handshake_without_an_answer_is_no_connection_in_time() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(TransientError, match="no connection in time"),
    ):
        HttpClient({"venue": f"https://127.0.0.1:{listener.getsockname()[1]}"}, timeout=0.3).get(FACTS, REQUEST)


def test_a_tls_connection_that_breaks_after_the_request_is_not_tried_again(
    tls: ssl.SSLContext, certificate: Path
) -> None:
    with peer(hangs_up, tls=tls) as server, pytest.raises(TransientError, match="the connection broke"):
        trusting(server, certificate).get(FACTS, REQUEST)
    assert len(server.heads) == 1


def test_a_redirect_does_not_drop_the_encryption(tls: ssl.SSLContext, certificate: Path) -> None:
    with peer(says(b"[]")) as plain:
        there = f"Location: {plain.url}/bars"
        moved = peer(says(b"", "302 Found", there), tls=tls)
        with moved as server, pytest.raises(MalformedError, match="redirect away"):
            trusting(server, certificate).get(KEYED, REQUEST)
        assert plain.connections == []


def test_a_redirect_does_not_drop_the_encryption_of_one_port(tls: ssl.SSLContext, certificate: Path) -> None:
    def talk(connection: socket.socket, head: bytes) -> None:
        says(b"", "302 Found", f"Location: {server.url.replace('https', 'http')}/bars")(connection, head)

    with peer(talk, tls=tls) as server, pytest.raises(MalformedError, match="redirect away"):
        trusting(server, certificate).get(KEYED, REQUEST)


# --- where a name leads


@pytest.mark.parametrize(
    ("name", "leads_to"), [("rebound.example.com", "169.254.169.254"), ("localhost", "203.0.113.7")], ids=str
)
def test_a_name_that_leads_to_metadata_is_left_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, name: str, leads_to: str
) -> None:
    # A connection to this machine says that its peer is another one, as after a name was bound anew.
    peer = Peer(lambda connection, head: None)
    port = urlsplit(peer.url).port
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    class Elsewhere(socket.socket):
        def getpeername(self) -> tuple[str, int]:
            return leads_to, 80

    monkeypatch.setattr(socket, "socket", Elsewhere)
    try:
        with pytest.raises(ConfigurationError, match=f"{name} leads to {leads_to}, which is never asked"):
            HttpClient({"venue": f"http://{name}:{port}"}, timeout=2).get(FACTS, REQUEST)
    finally:
        monkeypatch.undo()
        peer.close()
    assert peer.heads == []
