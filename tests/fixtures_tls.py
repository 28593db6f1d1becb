"""Servers that demand TLS, as fixtures over :mod:`tests.tls`."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.tls import Authority, Door, make_authority, serve


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def another_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One that vouches for none of the servers."""
    return make_authority(tmp_path_factory.mktemp("another-authority"))


@pytest.fixture
def tls_door(authority: Authority) -> Iterator[Callable[..., Door]]:
    """``tls_door(port)`` opens a door before a plain server on 127.0.0.1.

    ``demands_certificate``: of the client; ``asked_first``: libpq asks for TLS before it speaks it.
    """
    with contextlib.ExitStack() as opened:

        def open_door(port: int, *, demands_certificate: bool = False, asked_first: bool = False) -> Door:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(authority.server_cert, authority.server_key)
            if demands_certificate:
                context.load_verify_locations(authority.ca)
                context.verify_mode = ssl.CERT_REQUIRED
            listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
            threading.Thread(target=serve, args=(listener, port, context, asked_first), daemon=True).start()
            return Door(listener.getsockname()[1])

        yield open_door
