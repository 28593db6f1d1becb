"""The HTTP client of all requests to providers: addresses, keys, time-outs, redirects, and network errors as ours.

Answers are not interpreted here: every status comes back as it is, and the provider's ``parse`` says what it means.
Sockets and connection pools are in ``transport``, bodies in ``body``.
"""

from __future__ import annotations

import http.client
import secrets
import ssl
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urljoin

import requests
import tenacity
import urllib3.exceptions
from pydantic import SecretStr
from urllib3.util import Url, parse_url

from fintrack_tasks import hosts
from fintrack_tasks.errors import ConfigurationError, MalformedError, MissingKeyError, ProviderError, TransientError
from fintrack_tasks.fetch.http import signing
from fintrack_tasks.fetch.http.body import ACCEPTED, read_body
from fintrack_tasks.fetch.http.redaction import Redaction
from fintrack_tasks.fetch.http.transport import open_session
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest, HttpResponse

__all__ = ["MAPPED", "HttpClient"]

_CONNECT_SECONDS: Final = 5.0
_MOST_REDIRECTS: Final = 3
_PORTS: Final = {"http": 80, "https": 443}

MAPPED: Final[tuple[tuple[type[Exception], type[ProviderError], str], ...]] = (
    (ssl.SSLCertVerificationError, TransientError, "its certificate was not accepted"),
    (http.client.IncompleteRead, TransientError, "the answer was cut off"),
    (http.client.RemoteDisconnected, TransientError, "the connection broke"),
    (http.client.HTTPException, MalformedError, "the answer is no HTTP"),
    (requests.exceptions.SSLError, TransientError, "the connection broke"),
    (requests.exceptions.ConnectTimeout, TransientError, "no connection in time"),
    (requests.exceptions.Timeout, TransientError, "no answer in time"),
    (requests.exceptions.ChunkedEncodingError, TransientError, "the body was cut off"),
    (requests.exceptions.ContentDecodingError, MalformedError, "the body's compression is broken"),
    (requests.exceptions.ConnectionError, TransientError, "no connection"),
    (requests.exceptions.TooManyRedirects, MalformedError, "too many redirects"),
    (requests.exceptions.InvalidURL, MalformedError, "a redirect to no address"),
    (requests.exceptions.InvalidHeader, MalformedError, "its headers are broken"),
    (requests.exceptions.RequestException, TransientError, "the request failed"),
    (urllib3.exceptions.NewConnectionError, TransientError, "no connection"),
    (urllib3.exceptions.ConnectTimeoutError, TransientError, "no connection in time"),
    (urllib3.exceptions.TimeoutError, TransientError, "no answer in time"),
    (urllib3.exceptions.DecodeError, MalformedError, "the body's compression is broken"),
    (urllib3.exceptions.InvalidHeader, MalformedError, "its headers are broken"),
    (urllib3.exceptions.LocationValueError, MalformedError, "a redirect to no address"),
    (urllib3.exceptions.HTTPError, TransientError, "the connection broke"),
    (zlib.error, MalformedError, "the body's compression is broken"),
    (OSError, TransientError, "the connection broke"),
)
"""Library errors to ours, the narrower ones first. The text never contains the URL, whose query may hold a key."""

_KNOWN: Final = tuple(known for known, _, _ in MAPPED)


class HttpClient:
    """One per process; its session's pool is shared by the threads.

    :param base_urls: provider name to the URL that replaces its own.
    :param timeout: seconds for a whole answer, after at most 5 for connecting.
    :param session: the transport; anything with the interface of :class:`requests.Session` (curl_cffi's has it).
    :param clock: seconds that never go back, for time-outs.
    :param now: the time of day, for signatures.
    :param nonce: makes a text that is used once, for signatures.
    """

    def __init__(
        self,
        base_urls: Mapping[str, str] | None = None,
        timeout: float = 15.0,
        session: requests.Session | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(tz=UTC),
        nonce: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._base_urls = dict(base_urls or {})
        self._timeout = timeout
        self._session = session or open_session()
        self._clock = clock
        self._now = now
        self._nonce = nonce

    def get(self, facts: Facts, request: HttpRequest, key: SecretStr | None = None) -> HttpResponse:
        """Ask once, and give the answer as it came, with ``[masked]`` wherever it repeats the key.

        Only what was never sent is tried again at once (twice, with jitter): the name was not found, the connection
        refused, the handshake broken. Whatever fails later may have been counted by the provider and is left to the
        caller; that holds also where a pooled connection breaks, since its server may have closed it after reading.
        Redirects within the provider's host are followed, three at most; each asks for another address.

        :raises TransientError: the network failed.
        :raises MalformedError: no HTTP, too large, broken compression, or a redirect that leads away.
        :raises MissingKeyError: the provider needs a key and none is set.
        :raises ConfigurationError: the base URL or the key is not valid, or the address is one to which no key, or no
            request at all, may be sent.
        """
        key = self._key(facts, key)
        url, headers = _address(facts, self._base_url(facts, key), request, key)
        deadline = self._clock() + self._timeout
        for _ in range(_MOST_REDIRECTS + 1):
            signature = self._signature(facts, key, url)
            with self._ask(facts, url, {**headers, **signature}, deadline) as response:
                if not response.is_redirect:
                    return self._answer(facts, response, deadline, _redaction(facts, key, signature))
                url = _redirected(facts, url, response.headers.get("location", ""))
        raise MalformedError(f"{facts.name}: too many redirects")

    def reach(self, name: str, url: str) -> int:
        """The status that an address answers with; the body is not read, and no key is sent.

        :param name: names the address in errors.
        :raises TransientError: the network failed.
        :raises MalformedError: no HTTP.
        :raises ConfigurationError: the URL is none; names its variable.
        """
        facts, deadline = _undeclared(name, url), self._clock() + self._timeout
        headers = {**facts.headers, "Accept-Encoding": ACCEPTED}
        with self._ask(facts, f"{self._base_url(facts, None)}/", headers, deadline) as response:
            return response.status_code

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()

    def _base_url(self, facts: Facts, key: SecretStr | None) -> str:
        base = self._base_urls.get(facts.name) or facts.base_url
        parts = Url()
        with suppress(ValueError):
            parts = parse_url(base)
        if parts.scheme not in _PORTS or not parts.host:
            raise ConfigurationError(f"{facts.name.upper()}_BASE_URL is no http(s) address")
        # Looked at as it will be connected to: the parser above may have made another host of it.
        if wrong := hosts.problem(f"{parts.scheme}://{parts.netloc}", keyed=key is not None or parts.auth is not None):
            raise ConfigurationError(f"{facts.name.upper()}_BASE_URL {wrong}")
        return base.rstrip("/")

    def _key(self, facts: Facts, key: SecretStr | None) -> SecretStr | None:
        use = facts.key
        if use is None:
            return None
        if not key and not use.optional:
            raise MissingKeyError(facts.name, use.variable)
        # Only a signing key may span lines: it is not sent.
        if key and not use.signed and not (key.get_secret_value().isascii() and key.get_secret_value().isprintable()):
            raise ConfigurationError(f"{use.variable} holds a character that cannot be sent")
        return key or None

    def _signature(self, facts: Facts, key: SecretStr | None, url: str) -> dict[str, str]:
        if key is None or facts.key is None or not facts.key.signed:
            return {}
        parts = parse_url(url)
        return signing.sign(facts, key, "GET", _host(parts), parts.request_uri, self._now(), self._nonce())

    def _ask(self, facts: Facts, url: str, headers: Mapping[str, str], deadline: float) -> requests.Response:
        """One request, its head answered."""
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda outcome: isinstance(outcome, _Failure) and outcome.unsent),
            stop=tenacity.stop_after_attempt(3),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=1.0),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        outcome = attempts(self._try, facts, url, headers, deadline)
        if isinstance(outcome, _Failure):
            raise outcome.error
        return outcome

    def _try(self, facts: Facts, url: str, headers: Mapping[str, str], deadline: float) -> requests.Response | _Failure:
        left = deadline - self._clock()
        if left <= 0:
            return _Failure(TransientError(f"{facts.name}: no answer in time"), unsent=False)
        try:
            return self._session.get(
                url,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(min(_CONNECT_SECONDS, left), left),
            )
        except _KNOWN as error:
            return _failure(facts, error)

    def _answer(self, facts: Facts, response: requests.Response, deadline: float, redaction: Redaction) -> HttpResponse:
        headers = {name.lower(): redaction.text(value) for name, value in response.headers.items()}
        parts: list[bytes] = []
        try:
            body = read_body(facts, response, lambda: self._clock() > deadline, parts)
        except ProviderError as ours:
            failure = ours
        except _KNOWN as error:
            failure = _failure(facts, error).error
        else:
            return HttpResponse(response.status_code, redaction.body(body), headers)
        if any(parts):
            failure.partial = HttpResponse(response.status_code, redaction.broken_off(b"".join(parts)), headers)
        raise failure  # outside of the handler: the library's error, which knows the URL, is let go


def _undeclared(name: str, url: str) -> Facts:
    """An address of which nothing is known but its name."""
    nothing: frozenset[Any] = frozenset()
    headers = {"User-Agent": "fintrack-tasks", "Accept": "*/*"}
    return Facts(name, url, nothing, nothing, nothing, page_size=1, quotas=(), headers=headers)


@dataclass(frozen=True, slots=True)
class _Failure:
    error: ProviderError
    unsent: bool
    """The provider has seen nothing of it: worth another try at once."""


def _failure(facts: Facts, error: Exception) -> _Failure:
    cause = _cause(error)
    named = next((row for row in MAPPED if isinstance(cause, row[0])), None)
    _, ours, text = named or next(row for row in MAPPED if isinstance(error, row[0]))
    return _Failure(ours(f"{facts.name}: {text}"), isinstance(cause, urllib3.exceptions.NewConnectionError))


def _cause(error: Exception) -> Exception:
    """What happened, below what requests and urllib3 wrapped around it."""
    inner = getattr(error, "reason", None)
    if not isinstance(inner, Exception):
        inner = error.args[-1] if error.args else None
    return _cause(inner) if isinstance(inner, Exception) else error


def _address(facts: Facts, base: str, request: HttpRequest, key: SecretStr | None) -> tuple[str, dict[str, str]]:
    """The whole address as it will be sent, and the headers."""
    params = dict(request.params)
    headers = {**facts.headers, **request.headers, "Accept-Encoding": ACCEPTED}
    if facts.key and key and not facts.key.signed:
        value = facts.key.prefix + key.get_secret_value()
        params |= {facts.key.query: value} if facts.key.query else {}
        headers |= {facts.key.header: value} if facts.key.header else {}
    prepared = requests.PreparedRequest()
    prepared.prepare_url(base + request.path, params)
    return str(prepared.url), headers


def _redaction(facts: Facts, key: SecretStr | None, signature: dict[str, str]) -> Redaction:
    if key is None or facts.key is None:
        return Redaction()
    return Redaction(*signing.secrets_of(key, signature)) if facts.key.signed else Redaction([key.get_secret_value()])


def _redirected(facts: Facts, url: str, location: str) -> str:
    """The address of a redirect, which may leave neither the provider's host and port nor its encryption."""
    here, target = parse_url(url), None
    with suppress(ValueError):
        # Read by the parser that will choose the connection: others see another host in http://elsewhere\@here/.
        target = parse_url(urljoin(url, location))
    if target is None:
        raise MalformedError(f"{facts.name}: a redirect to no address")
    encrypts = (_origin(here)[:2], _origin(target)[:2]) == (("http", 80), ("https", 443))
    if _origin(here)[2:] != _origin(target)[2:] or not (encrypts or _origin(here)[:2] == _origin(target)[:2]):
        raise MalformedError(f"{facts.name}: a redirect away from the provider's host")
    return target._replace(fragment=None).url


def _origin(url: Url) -> tuple[str | None, int | None, str | None, str | None]:
    return url.scheme, url.port or _PORTS.get(url.scheme or ""), url.host, url.auth


def _host(url: Url) -> str:
    """The ``Host`` header."""
    return f"{url.host}:{url.port}" if url.port and url.port != _PORTS.get(url.scheme or "") else str(url.host)
