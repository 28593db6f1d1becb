"""Servers that demand TLS: a certificate authority of the test's own, and a door that speaks TLS before a plain server.

The embedded servers come without TLS. The door does what a server that demands it does on the wire: PostgreSQL's
request for TLS or a handshake at once, a certificate for 127.0.0.1 and localhost, and nothing for who speaks plainly.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""What libpq sends before it speaks TLS (PostgreSQL's protocol, SSLRequest)."""


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder, with a server's and a client's certificate of its own signing."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


@dataclass(frozen=True)
class Door:
    """Where the TLS of a server is spoken."""

    port: int


def make_authority(folder: Path) -> Authority:
    """A new authority and its two certificates."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's own authority")])
    ca = _certificate(ca_name, ca_key, ca_name, ca_key, is_ca=True)
    written = [_write(folder / "ca.pem", ca.public_bytes(serialization.Encoding.PEM))]
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"the {name}")])
        certificate = _certificate(subject, key, ca_name, ca_key, is_ca=False)
        written.append(_write(folder / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM)))
        kind, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        written.append(_write(folder / f"{name}.key", key.private_bytes(serialization.Encoding.PEM, kind, secret)))
    return Authority(*written)


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    by: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
) -> x509.Certificate:
    now = datetime.now(tz=UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    return builder.sign(by, hashes.SHA256())


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)  # libpq refuses a key that others can read
    return path


def serve(listener: socket.socket, port: int, context: ssl.SSLContext, asked_first: bool) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # the test has ended
            return
        threading.Thread(target=_pass, args=(client, port, context, asked_first), daemon=True).start()


def _pass(client: socket.socket, port: int, context: ssl.SSLContext, asked_first: bool) -> None:
    with contextlib.suppress(OSError), client:
        client.settimeout(60)
        if asked_first:
            if client.recv(8, socket.MSG_WAITALL) != _SSL_REQUEST:
                return
            client.sendall(b"S")
        with (
            context.wrap_socket(client, server_side=True) as secured,
            socket.create_connection(("127.0.0.1", port)) as server,
        ):
            # No time-out: a worker listens on a connection for as long as it lives.
            secured.settimeout(None)
            back = threading.Thread(target=_copy, args=(server, secured), daemon=True)
            back.start()
            _copy(secured, server)
            back.join(5)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
