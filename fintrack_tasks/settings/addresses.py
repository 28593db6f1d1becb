"""Addresses and names of servers: checked and brought to one form, redacted for logs, and told from other programs'."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from fintrack_tasks import hosts

__all__ = [
    "Brokers",
    "MarketUrl",
    "OptionalPath",
    "PlainName",
    "RedisUrl",
    "is_injected_port",
    "on_this_machine",
    "redact_url",
]

_REDIS_URL: Final = re.compile(
    r"(?P<scheme>rediss?)://(?:(?P<user>[^\s:/?#@]*)(?::(?P<password>[^\s/?#@]*))?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/?#@\[\]]+)(?::(?P<port>\d{1,5}))?/?(?P<db>\d{1,5})?"
)
_BROKERS: Final = re.compile(r"(?:[^\s,:/@\[\]]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")
_INJECTED_PORT: Final = re.compile(r"(?:tcp|udp|sctp)://.*")
"""Kubernetes and Docker links set NAME_PORT=tcp://10.0.0.1:5555 for a service called NAME; it is not a setting."""
_MALFORMED: Final = "a malformed URL"


def redact_url(url: str) -> str:
    """The URL without user, password, query and fragment, safe for a log line; a fixed text for what is no URL.

    An unencoded character in a password can end the URL's host early: all before the last ``@`` is left out.
    """
    scheme, separator, rest = url.partition("://")
    try:
        parts = urlsplit(f"{scheme}://{rest.rpartition('@')[2]}")
        if not separator or not parts.hostname or (parts.port is None and parts.netloc.endswith(":")):
            return _MALFORMED
    except ValueError:
        return _MALFORMED
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def is_injected_port(name: str, value: str) -> bool:
    """Whether a variable is not a setting but was injected by Kubernetes or Docker for a service of that name."""
    return name.endswith("_PORT") and _INJECTED_PORT.fullmatch(value) is not None


def on_this_machine(url: str) -> bool:
    """Whether an ``http`` address is a loopback one by its text alone; host names are not resolved."""
    parts = None if hosts.problem(url, keyed=False) else urlsplit(url)
    return (
        parts is not None
        and parts.scheme == "http"
        and "@" not in parts.netloc
        and hosts.is_loopback(str(parts.hostname))
    )


def _blank_to_none(value: object) -> object:
    return None if value == "" else value


def _checked_redis_url(url: SecretStr) -> SecretStr:
    """The URL in the form that all its clients parse alike: user and password percent-encoded, no query.

    The clients of Redis (redis-py, kombu, RedBeat, Flower) read a URL with an unencoded ``/``, ``?`` or ``#`` in its
    password differently, and quote parts of it in their errors. It is parsed here, before any of them.

    :raises ValueError: the message quotes no part of the URL.
    """
    found = _REDIS_URL.fullmatch(url.get_secret_value())
    if found is None:
        raise ValueError(
            "not of the form redis://[user:password@]host[:port][/number], or rediss:// for TLS; in user and password"
            " write / ? # @ : % and blanks percent-encoded (%2F %3F %23 %40 %3A %25 %20); it takes no ?options"
        )
    if found["port"] and not 1 <= int(found["port"]) <= 65535:
        raise ValueError("its port is not between 1 and 65535")
    user, password = (quote(unquote(found[part] or ""), safe="") for part in ("user", "password"))
    who = f"{user}:{password}@" if password else f"{user}@" if user else ""
    return SecretStr(f"{found['scheme']}://{who}{found['host']}:{found['port'] or 6379}/{int(found['db'] or 0)}")


def _checked_brokers(text: str) -> str:
    """:raises ValueError: when it is not ``host:port``, several with commas."""
    brokers = [part.strip() for part in text.split(",") if part.strip()]
    if not brokers or not all(_BROKERS.fullmatch(broker) for broker in brokers):
        raise ValueError("not of the form host:port, several with commas")
    return ",".join(brokers)


def _checked_plain(text: str) -> str:
    """:raises ValueError: when it is a URL: it may hold a password, and names of servers are shown in messages."""
    if "://" in text or "@" in text[1:]:  # at the beginning it is a socket in Linux' abstract namespace
        raise ValueError("a name alone is wanted, no URL: user, password, host, port and database have settings each")
    return text


def _local_market(url: str) -> str:
    if url and (not on_this_machine(url) or urlsplit(url).path.strip("/") or urlsplit(url).query):
        raise ValueError("the local market answers on this machine alone: http://127.0.0.1:PORT")
    return url.rstrip("/")


OptionalPath = Annotated[Path | None, BeforeValidator(_blank_to_none)]
RedisUrl = Annotated[SecretStr, AfterValidator(_checked_redis_url)]
PlainName = Annotated[str, AfterValidator(_checked_plain)]
Brokers = Annotated[str, AfterValidator(_checked_brokers)]
MarketUrl = Annotated[str, AfterValidator(_local_market)]
