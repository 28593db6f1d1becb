"""The session and sockets below the client, which close gaps that requests and urllib3 leave open.

* Their read time-out begins anew with every byte, and heads, chunk sizes and trailers are read inside the
  library: a peer that drips could hold a thread for hours. Here it bounds the whole answer.
* They report a connection that broke in its TLS handshake like one that broke after the request. Here
  ``NewConnectionError`` and ``ConnectTimeoutError`` alone mean that nothing was sent.
* They reuse a pooled connection however long it idled, when its server may just be closing it. Here it is not reused.
* They connect wherever a name leads. Here no link-local or metadata address is sent anything.
* They take a head that was cut for a whole one, and log a broken header line together with the URL, where a key may
  stand. Here such an answer is an error.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HeaderParsingError, NewConnectionError
from urllib3.response import HTTPResponse
from urllib3.util.response import assert_header_parsing

from fintrack_tasks import hosts
from fintrack_tasks.errors import ConfigurationError

__all__ = ["open_session"]

_POOL: Final = 32
_IDLE_SECONDS: Final = 4.0
"""Servers commonly close an idle connection after five seconds or later."""


def open_session() -> requests.Session:
    """A session for every thread of a process: pooled, certificates verified, its surroundings ignored."""
    session = _Session()
    session.trust_env = False  # neither a proxy nor a .netrc password is picked up unseen
    # An answer depends on its request alone: no cookie is kept, which one thread would get and all would send.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _Adapter(pool_connections=_POOL, pool_maxsize=_POOL)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Session(requests.Session):
    """Redirects are the client's: requests would read a redirect's body whole, even when told not to follow it."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class _UntilThen(io.RawIOBase):
    """A socket's bytes, all of which must come before the socket's time-out has passed once."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        seconds = sock.gettimeout()
        self._until = None if seconds is None else time.monotonic() + seconds
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._until is not None:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer took too long")
            self._sock.settimeout(left)
        size = self._raw.readinto(buffer)
        self.ended = size == 0
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer with one deadline from its first byte to its last, and a whole head."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()  # nothing was read from it yet
        self._bytes = _UntilThen(sock)
        self.fp = io.BufferedReader(self._bytes)

    def begin(self) -> None:
        super().begin()
        if self._bytes.ended:  # http.client takes the end of the connection for the end of the head
            raise http.client.IncompleteRead(b"")
        try:
            assert_header_parsing(self.msg)
        except HeaderParsingError:
            raise http.client.HTTPException("a header line is none") from None


class _Connection(HTTPConnection):
    response_class = _Answer
    _used = 0.0

    def connect(self) -> None:
        """Connect, and shake hands where it is TLS.

        :raises NewConnectionError: nothing was sent; a certificate that is not accepted stays the error that it is.
        """
        try:
            super().connect()
        except ssl.SSLCertVerificationError:
            raise
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no handshake in time") from error
        except OSError as error:
            raise NewConnectionError(self, "the handshake broke") from error
        self._used = time.monotonic()

    def _new_conn(self) -> socket.socket:
        """Look at the peer before anything is sent: a name may lead anywhere, and elsewhere a moment later.

        :raises ConfigurationError: it is one that no provider has.
        """
        sock = super()._new_conn()
        peer = str(sock.getpeername()[0])
        if hosts.is_barred(peer) or (hosts.is_named_loopback(self.host) and not hosts.is_loopback(peer)):
            sock.close()
            raise ConfigurationError(f"{self.host} leads to {peer}, which is never asked; see the provider's _BASE_URL")
        return sock

    @property
    def is_connected(self) -> bool:
        return super().is_connected and time.monotonic() - self._used < _IDLE_SECONDS

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # urllib3's own type, as in its class
        self._used = time.monotonic()
        return super().getresponse()


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
