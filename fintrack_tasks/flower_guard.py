"""The guard in front of Flower, in whatever way Flower was started with this application.

Flower can start and revoke tasks and stop workers, so nobody reaches it without a login, and no page of another origin
reaches it with the login that a browser keeps. Flower's own checks cover some of its handlers and only some of its
settings; here every request passes one place before any handler sees it.

:mod:`fintrack_tasks.app` installs it in each process that has Flower loaded. It works on Flower's own class, since
Flower's command knows no other.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import flower.app
import flower.views
from flower.options import options as flower_options
from tornado.web import RequestHandler, stream_request_body

from fintrack_tasks import flower_login, flower_shutdown
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.settings import Settings, settings

__all__ = ["Rules", "install", "refusal", "set_defaults"]

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  compared with, not bound to
_HOST: Final = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[\w.-]+))(?::\d{1,5})?", re.ASCII)
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_MOST_TASKS: Final = 5000
"""Tasks that Flower remembers, about 11 kB each; its own default of 100,000 would take a gigabyte."""
_COLUMNS: Final = "name,args,state,received,runtime,worker,uuid"
_UNSAID: Final = -1
"""Stands for a port that nobody has named yet."""
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}
"""Of every answer; none of them lets another origin in."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may ask: with one of these logins, under one of these host names.

    ``logins`` is empty where Flower's OAuth is in use instead. ``any_address``: it listens on every address of the
    machine, so that it may be called by any of them; a numeric address cannot be rebound by somebody's DNS.
    """

    logins: tuple[str, ...]
    hosts: frozenset[str]
    any_address: bool = False
    health_path: str = "/healthcheck"
    metrics_path: str = "/metrics"

    def __repr__(self) -> str:
        return f"Rules(hosts={sorted(self.hosts)})"


def refusal(rules: Rules, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str] | None:
    """The status and the reason with which a request is refused, ``None`` where it may pass."""
    host = headers.get("Host", "")
    if not _is_ours(rules, host):
        return 403, "not asked under a name of this Flower; FLOWER_HOSTS lists further ones"
    if not _same_origin(method, host, headers):
        return 403, "asked by a page of another origin"
    if path == rules.health_path:
        return None
    if not rules.logins:
        return (401, "the metrics need a login: set FLOWER_BASIC_AUTH") if path == rules.metrics_path else None
    return None if _logged_in(rules.logins, headers.get("Authorization", "")) else (401, "log in")


def _is_ours(rules: Rules, host: str) -> bool:
    """Whether the ``Host`` header names this Flower: a name that somebody else's DNS points here does not."""
    if not (match := _HOST.fullmatch(host)):
        return False
    name = (match["address"] or match["name"].rstrip(".")).lower()
    return name in rules.hosts or (rules.any_address and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_origin(method: str, host: str, headers: Mapping[str, str]) -> bool:
    """Whether a page of this Flower asks, or no page at all.

    A browser adds the login it keeps to requests of any page. It says where these come from in one header or another:
    by its age in ``Sec-Fetch-Site``, ``Origin`` or ``Referer``.
    """
    if (origin := headers.get("Origin")) is not None and not _at(origin, host):
        return False
    if site := headers.get("Sec-Fetch-Site"):
        followed = method in _SAFE_METHODS and headers.get("Sec-Fetch-Mode") == "navigate"
        # A link from elsewhere may open Flower in a window, not in a frame.
        return site in ("same-origin", "none") or (followed and headers.get("Sec-Fetch-Dest") == "document")
    if method in _SAFE_METHODS or origin is not None:
        return True
    referer = headers.get("Referer")
    return referer is None or _at(referer, host)


def _at(url: str, host: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _logged_in(logins: tuple[str, ...], header: str) -> bool:
    scheme, _, encoded = header.partition(" ")
    try:
        given = b64decode(encoded.strip(), validate=True)
    except ValueError:
        return False
    matches = [hmac.compare_digest(given, login.encode()) for login in logins]  # all, so that the time says nothing
    return scheme.lower() == "basic" and any(matches)


@stream_request_body  # a refused body is not read into memory
class _Refused(RequestHandler):
    """The answer to a request that was refused."""

    def initialize(self, status: int, reason: str) -> None:
        self._refusal = status, reason

    def set_default_headers(self) -> None:
        _set_headers(self)

    def check_xsrf_cookie(self) -> None:
        """It is refused already, for a reason that says more."""

    def prepare(self) -> None:
        status, reason = self._refusal
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        if status == 401:
            self.set_header("WWW-Authenticate", 'Basic realm="flower", charset="UTF-8"')
        self.finish(f"{reason}\n")

    def data_received(self, chunk: bytes) -> None:
        """Nothing of it is wanted."""


def _set_headers(handler: RequestHandler) -> None:
    for name, value in _HEADERS.items():
        handler.set_header(name, value)


def install() -> None:
    """Put the guard into Flower, once a process: at the latest when a Flower of this application is made."""
    original = flower.app.Flower.start_http_server
    if getattr(original, "guarded", False):
        return

    def start(self: Any) -> Any:
        try:
            self.fintrack_rules = _complete(self.options, settings())
        except ConfigurationError as error:
            raise SystemExit(f"Flower: {error}") from None
        flower_shutdown.limit_shutdown()
        return original(self)

    start.guarded = True  # type: ignore[attr-defined]
    find = flower.app.Flower.find_handler

    def find_handler(self: Any, request: Any, **kwargs: Any) -> Any:
        refused = refusal(self.fintrack_rules, request.method, request.path, request.headers)
        if refused:
            return self.get_handler_delegate(request, _Refused, {"status": refused[0], "reason": refused[1]})
        return find(self, request, **kwargs)

    flower.app.Flower.start_http_server = start
    flower.app.Flower.find_handler = find_handler
    flower.views.BaseHandler.set_default_headers = _set_headers


def set_defaults() -> None:
    """Set what the environment and the command line may still change: to be called before Flower reads these."""
    flower_options.conf = os.devnull  # or a flowerconfig.py of the working folder would be executed
    flower_options.port = _UNSAID
    flower_options.max_tasks = _MOST_TASKS
    flower_options.tasks_columns = _COLUMNS


def _complete(options: Any, own: Settings) -> Rules:
    """Fill in what neither the command line nor Flower's own variables have said.

    :raises ConfigurationError: no login can be had.
    """
    if options.port == _UNSAID:
        options.port = own.flower_port
    options.address = options.address or own.flower_address or "127.0.0.1"
    if options.basic_auth:
        options.basic_auth = flower_login.checked(list(options.basic_auth))
    elif not options.auth:
        options.basic_auth = flower_login.logins(own)
    prefix = f"/{options.url_prefix.strip('/')}" if options.url_prefix else ""
    named = {name.strip().lower() for name in own.flower_hosts.split(",") if name.strip()}
    everywhere = options.address in _EVERYWHERE
    return Rules(
        logins=tuple(options.basic_auth or ()),
        hosts=LOOPBACK | named | (frozenset() if everywhere else {options.address.lower()}),
        any_address=everywhere,
        health_path=f"{prefix}/healthcheck",
        metrics_path=f"{prefix}/metrics",
    )
