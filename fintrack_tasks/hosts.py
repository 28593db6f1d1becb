"""Which addresses a provider may have: no link-local or cloud-metadata host, and no key over plain HTTP."""

from __future__ import annotations

import ipaddress
import socket
import unicodedata
from typing import Final
from urllib.parse import urlsplit

__all__ = ["address_of", "is_barred", "is_loopback", "is_named_loopback", "problem"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_BARRED: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/32",  # this machine, by another name
        "169.254.0.0/16",  # link-local; the metadata of most clouds at .169.254
        "fe80::/10",
        "fd00:ec2::254/128",  # Amazon
        "fd20:ce::254/128",  # Google
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure
        "192.0.0.192/32",  # Oracle
        "::/128",
    )
)
_BARRED_NAMES: Final = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
_BARRED_SUFFIXES: Final = (".metadata.google.internal", ".metadata.goog", ".ec2.internal")
_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")


def problem(url: str, *, keyed: bool) -> str | None:
    """What is wrong with the address of a provider; ``None`` where it is allowed. Repeats no more of it than its host.

    :param keyed: whether a key is sent along.
    """
    if "\\" in url or not url.isprintable() or " " in url:
        return "is no http(s) address"  # parsers take different hosts out of it
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is no http(s) address"
    if parts.scheme.lower() not in ("http", "https") or not host:
        return "is no http(s) address"
    if is_barred(host):
        return f"names {host}, a link-local or metadata address, which is never asked"
    if parts.scheme.lower() == "http" and (keyed or "@" in parts.netloc) and not is_loopback(host):
        return f"would send a key in clear to {host}: it needs https"
    return None


def is_barred(host: str) -> bool:
    """Whether a host, in whatever spelling, is link-local or serves a machine's own secrets (cloud metadata)."""
    address = address_of(host)
    if address is None:
        name = _plain(host)
        return name in _BARRED_NAMES or name.endswith(_BARRED_SUFFIXES)
    return any(address.version == network.version and address in network for network in _BARRED)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its spelling alone."""
    address = address_of(host)
    return is_named_loopback(host) if address is None else address.is_loopback


def is_named_loopback(host: str) -> bool:
    """Whether a host is a name for this machine, which a resolver should not, but could, resolve to another."""
    name = _plain(host)
    return name == "localhost" or name.endswith(".localhost")


def address_of(host: str) -> Address | None:
    """The address that a host is without a look-up; ``None`` for a name.

    Resolvers read ``2852039166``, ``0xa9fea9fe`` and ``0251.0376.43518`` as IPv4 addresses. For an IPv6 address that
    embeds an IPv4 one it is the latter.
    """
    text = _plain(host)
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return _by_parts(text)
    return _embedded(found) if isinstance(found, ipaddress.IPv6Address) else found


def _by_parts(text: str) -> ipaddress.IPv4Address | None:
    """An IPv4 address of one to four numbers, each decimal, octal or hexadecimal."""
    if not text[:1].isdigit() or not text.isascii() or " " in text:
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except OSError:
        return None


def _embedded(address: ipaddress.IPv6Address) -> Address:
    carried = address.ipv4_mapped or address.sixtofour
    if carried is None and (address in _TRANSLATED or 1 < int(address) <= 0xFFFFFFFF):
        carried = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return carried or address


def _plain(host: str) -> str:
    """As HTTP libraries resolve a host: full-width digits and all dots of IDNA in ASCII, no brackets, no root dot."""
    return unicodedata.normalize("NFKC", host).replace("\u3002", ".").strip("[]").rstrip(".").lower()
