"""The only HTTP to providers: time-outs, bounds, and what a failure of the network means.

Answers are not interpreted here: every status comes back as it is, and the provider's ``parse`` says what it means.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NoReturn
from urllib.parse import urljoin, urlsplit

import requests
import tenacity
import urllib3.exceptions
from pydantic import SecretStr
from requests.adapters import HTTPAdapter

from fintrack_tasks.errors import ConfigurationError, MalformedError, ProviderError, TransientError
from fintrack_tasks.fetch.keys import KeyRing
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest, HttpResponse

__all__ = ["MAPPED", "HttpClient"]

_LARGEST_BODY: Final = 8 * 1024 * 1024
_CONNECT_SECONDS: Final = 5.0
_MOST_REDIRECTS: Final = 3
_POOL: Final = 32
_CHUNK: Final = 64 * 1024

MAPPED: Final[tuple[tuple[type[Exception], type[ProviderError], str], ...]] = (
    (requests.exceptions.SSLError, TransientError, "its certificate was not accepted"),
    (requests.exceptions.ConnectTimeout, TransientError, "no connection in time"),
    (requests.exceptions.ReadTimeout, TransientError, "no answer in time"),
    (requests.exceptions.Timeout, TransientError, "no answer in time"),
    (requests.exceptions.ChunkedEncodingError, TransientError, "the body was cut off"),
    (requests.exceptions.ContentDecodingError, MalformedError, "the body's compression is broken"),
    (requests.exceptions.ConnectionError, TransientError, "no connection"),
    (requests.exceptions.TooManyRedirects, MalformedError, "too many redirects"),
    (requests.exceptions.InvalidURL, MalformedError, "a redirect to no address"),
    (requests.exceptions.RequestException, TransientError, "the request failed"),
    (urllib3.exceptions.DecodeError, MalformedError, "the body's compression is broken"),
    (urllib3.exceptions.HTTPError, TransientError, "the connection broke"),
    (zlib.error, MalformedError, "the body's compression is broken"),
    (OSError, TransientError, "the connection broke"),
)
"""Library errors to ours, the narrower ones first. The text never carries the URL: a key may stand in its query."""


class HttpClient:
    """One per process; its session's pool is shared by the threads.

    :param base_urls: provider name to the URL that replaces its own.
    :param keys: where keys come from.
    :param timeout: seconds for a whole answer.
    :param session: the transport; anything with the interface of :class:`requests.Session` (curl_cffi's has it).
    """

    def __init__(
        self,
        base_urls: Mapping[str, str] | None = None,
        keys: KeyRing | None = None,
        timeout: float = 15.0,
        session: requests.Session | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_urls = dict(base_urls or {})
        self._keys = keys
        self._timeout = timeout
        self._session = session or _session()
        self._clock = clock

    def get(self, facts: Facts, request: HttpRequest) -> HttpResponse:
        """Ask, and give the answer as it came.

        A connection that could not be made, or that broke before the answer began, is tried again at once (twice,
        with jitter): the provider has not counted it.

        :raises TransientError: the network failed.
        :raises MalformedError: the body is too large, its compression is broken, or a redirect leads away.
        :raises MissingKeyError: the provider needs a key and none is set.
        """
        base = self._base_urls.get(facts.name) or facts.base_url
        if urlsplit(base).scheme not in ("http", "https"):
            raise ConfigurationError(f"{facts.name.upper()}_BASE_URL is no http(s) address")
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_BlipError),
            stop=tenacity.stop_after_attempt(3),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=1.0),
            reraise=True,
        )
        try:
            return attempts(self._once, facts, base, request)
        except _BlipError as blip:
            raise TransientError(blip.detail) from None

    def _once(self, facts: Facts, base: str, request: HttpRequest) -> HttpResponse:
        params, headers = dict(request.params), {**facts.headers, **request.headers}
        if facts.key and self._keys and (key := self._keys.key(facts)):
            _put_key(facts, key, params, headers)
        deadline = self._clock() + self._timeout
        url = base.rstrip("/") + request.path
        try:
            for _ in range(_MOST_REDIRECTS + 1):
                with self._session.get(
                    url,
                    params=params,
                    headers=headers,
                    stream=True,
                    allow_redirects=False,
                    timeout=(_CONNECT_SECONDS, self._timeout),
                ) as response:
                    if not response.is_redirect:
                        return HttpResponse(
                            response.status_code,
                            self._body(facts, response, deadline),
                            {name.lower(): value for name, value in response.headers.items()},
                        )
                    url = _redirected(facts, url, response.headers.get("location", ""))
                    params = {}  # a redirect's address is whole: the parameters are not put on it again
        except tuple(known for known, _, _ in MAPPED) as error:
            _raise_mapped(facts, error)
        raise MalformedError(f"{facts.name}: too many redirects")

    def _body(self, facts: Facts, response: requests.Response, deadline: float) -> bytes:
        """The decompressed body, bounded in size and time: a small answer may unpack to gigabytes, or drip for hours.

        A break here is not tried again at once: the provider has counted the request.
        """
        parts, size = [], 0
        try:
            for chunk in _chunks(response):
                size += len(chunk)
                if size > _LARGEST_BODY:
                    raise MalformedError(f"{facts.name}: the body is larger than {_LARGEST_BODY // 1024 // 1024} MiB")
                if self._clock() > deadline:
                    raise TransientError(f"{facts.name}: the body took too long")
                parts.append(chunk)
        except tuple(known for known, _, _ in MAPPED) as error:
            ours, detail = _mapped(facts, error)
            raise ours(detail) from None
        return b"".join(parts)

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()


class _BlipError(Exception):
    """A failure before the provider answered: worth another try at once."""

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail)


class _Session(requests.Session):
    """Redirects are the client's: requests would read a redirect's body whole, even when told not to follow it."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


def _session() -> requests.Session:
    session = _Session()
    session.trust_env = False  # neither a proxy nor a .netrc password is picked up unseen
    adapter = HTTPAdapter(pool_connections=_POOL, pool_maxsize=_POOL)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _put_key(facts: Facts, key: SecretStr, params: dict[str, str], headers: dict[str, str]) -> None:
    use, value = facts.key, key.get_secret_value()
    if use is None:
        return
    if use.query:
        params[use.query] = use.prefix + value
    if use.header:
        headers[use.header] = use.prefix + value


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """The decompressed body as it arrives.

    ``iter_content`` waits for whole chunks, so a peer that sends a byte at a time would never meet the deadline.
    """
    read = getattr(response.raw, "read1", None)
    if read is None:  # another transport's answer
        yield from response.iter_content(_CHUNK)
        return
    while chunk := read(_CHUNK, decode_content=True):
        yield chunk


def _redirected(facts: Facts, url: str, location: str) -> str:
    """The address of a redirect, which may not leave the provider's host nor drop its encryption."""
    here = urlsplit(url)
    try:
        target = urlsplit(urljoin(url, location))
    except ValueError:
        raise MalformedError(f"{facts.name}: a redirect to no address") from None
    schemes = ("https",) if here.scheme == "https" else ("http", "https")
    if not location or target.hostname != here.hostname or target.scheme not in schemes:
        raise MalformedError(f"{facts.name}: a redirect away from the provider's host")
    return target.geturl()


def _mapped(facts: Facts, error: Exception) -> tuple[type[ProviderError], str]:
    """Our error and its text; the narrowest known class decides."""
    ours, text = next((ours, text) for known, ours, text in MAPPED if isinstance(error, known))
    return ours, f"{facts.name}: {text}"


def _raise_mapped(facts: Facts, error: Exception) -> NoReturn:
    ours, detail = _mapped(facts, error)
    if isinstance(error, requests.exceptions.ConnectionError) and not isinstance(
        error, requests.exceptions.Timeout | requests.exceptions.SSLError
    ):
        raise _BlipError(detail) from None
    raise ours(detail) from None
