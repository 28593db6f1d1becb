"""Which hosts a provider may be asked at: none that answers for the machine itself, none in clear with a key.

This module imports nothing of the project.
"""

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
    """What is wrong with the address of a provider, ``None`` where nothing is. Never repeats more than its host.

    :param keyed: a secret is sent along.
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
    """Whether a host, in whatever spelling, is link-local or tells a machine's own secrets (cloud metadata)."""
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
    """Whether a host is this machine by a name, which a resolver should not, but could, take elsewhere."""
    name = _plain(host)
    return name == "localhost" or name.endswith(".localhost")


def address_of(host: str) -> Address | None:
    """The address that a host stands for without being looked up; ``None`` for a name.

    Resolvers take ``2852039166``, ``0xa9fea9fe`` and ``0251.0376.43518`` for IPv4 addresses. IPv6 addresses that carry
    an IPv4 one are taken for that one.
    """
    text = _plain(host)
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return _by_parts(text)
    return _carried(found) if isinstance(found, ipaddress.IPv6Address) else found


def _by_parts(text: str) -> ipaddress.IPv4Address | None:
    """An IPv4 address of one to four numbers, each decimal, octal or hexadecimal."""
    if not text[:1].isdigit() or not text.isascii() or " " in text:
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except OSError:
        return None


def _carried(address: ipaddress.IPv6Address) -> Address:
    carried = address.ipv4_mapped or address.sixtofour
    if carried is None and (address in _TRANSLATED or 1 < int(address) <= 0xFFFFFFFF):
        carried = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return carried or address


def _plain(host: str) -> str:
    """As the libraries will ask for it: full-width digits and every dot of IDNA become plain, brackets and the root dot
    go."""
    return unicodedata.normalize("NFKC", host).replace("\u3002", ".").strip("[]").rstrip(".").lower()
