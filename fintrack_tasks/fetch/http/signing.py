"""Signatures of requests to Coinbase, by a key that is not sent. Pure functions: time and nonce are arguments.

Coinbase has two schemes, and a key is of one of them. Its form in ``API_KEY_COINBASE`` (several separated by commas)
says which:

``key:secret:passphrase``
    A key of the Exchange: HMAC-SHA256 of timestamp, method and path with query, keyed with the base64-decoded secret,
    in four ``CB-ACCESS-`` headers.
``organizations/{id}/apiKeys/{id}:-----BEGIN EC PRIVATE KEY-----\\n...``
    A key of the Developer Platform, for Advanced Trade: a JSON Web Token (RFC 7519), signed ES256 (RFC 7518, 3.4: ECDSA
    on P-256), good for two minutes and one address. Line ends are real ones or the two characters ``\\n``.

The Exchange does not take the second, nor Advanced Trade the first. Asking one of their hosts with the other's key is
a :class:`~fintrack_tasks.errors.ConfigurationError`, raised before anything is sent. The provider asks the Exchange, so
a key of Advanced Trade is of use only where ``COINBASE_BASE_URL`` names another host: at hosts that are neither's, such
as a mirror or the sandbox, the key's form alone decides. What is signed is what is sent, a mirror's path prefix too.

Sources: Coinbase's "Exchange REST API Authentication" and "Coinbase App API Key Authentication" (the token's claims as
its own Python client writes them: no ``aud``, and a ``uri`` without the query).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import SecretStr

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.fetch.providers.base import Facts

__all__ = ["es256_token", "exchange_signature", "secrets_of", "sign"]

_EXCHANGE: Final = re.compile(r"([a-z0-9-]+\.)*exchange\.coinbase\.com")
_ADVANCED_TRADE: Final = re.compile(r"api\.coinbase\.com")
_KEY_NAME: Final = re.compile(r"organizations/[\w-]+/apiKeys/[\w-]+", re.ASCII)
_SENDABLE: Final = re.compile(r"[!-~]+")
_TOKEN_SECONDS: Final = 120
_TIMESTAMP: Final = "CB-ACCESS-TIMESTAMP"


def sign(
    facts: Facts, key: SecretStr, method: str, host: str, path_with_query: str, now: datetime, nonce: str
) -> dict[str, str]:
    """The headers that sign one request.

    :param host: as in the ``Host`` header: with a port where it is not the scheme's own.
    :param path_with_query: exactly as sent.
    :param now: aware; the signature holds for half a minute or two minutes around it.
    :param nonce: never used before.
    :raises ConfigurationError: names the key's variable, and shows no part of the key, when it has neither form, its
        secret is no base64, its PEM is none or not of the curve P-256, or it is the other API's.
    """
    variable = facts.key.variable if facts.key else "the key"
    name, _, rest = key.get_secret_value().partition(":")
    stamp = int(now.timestamp())
    if "-----BEGIN" in rest:
        _not_for(_EXCHANGE, host, f"{variable} is a key of Advanced Trade, which {host} does not take", facts)
        token = _request_token(
            variable, name, rest, f"{method} {host}{path_with_query.partition('?')[0]}", stamp, nonce
        )
        return {"Authorization": f"Bearer {token}"}
    _not_for(_ADVANCED_TRADE, host, f"{variable} is a key of the Exchange, which {host} does not take", facts)
    return _exchange_headers(variable, name, rest, f"{stamp}{method}{path_with_query}", stamp)


def secrets_of(key: SecretStr, headers: dict[str, str]) -> tuple[list[str], list[str]]:
    """What a provider must not be seen to repeat: the parts of the key, and the signatures of one request."""
    signatures = [value.rpartition(" ")[2] for name, value in headers.items() if name != _TIMESTAMP]
    return key.get_secret_value().split(":"), signatures


def exchange_signature(secret: bytes, message: bytes) -> str:
    """Base64 of the HMAC-SHA256 (RFC 2104)."""
    return base64.b64encode(hmac.digest(secret, message, hashlib.sha256)).decode()


def es256_token(private_key: ec.EllipticCurvePrivateKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A compact JSON Web Token; ``header`` is completed with ``alg`` and ``typ``."""
    parts = (orjson.dumps({"alg": "ES256", "typ": "JWT", **header}), orjson.dumps(claims))
    signed = ".".join(map(_base64url, parts))
    r, s = decode_dss_signature(private_key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _not_for(hosts: re.Pattern[str], host: str, wrong: str, facts: Facts) -> None:
    if hosts.fullmatch(host.partition(":")[0].rstrip(".").lower()):
        raise ConfigurationError(f"{wrong}; give a key of that host, or set {facts.name.upper()}_BASE_URL to another")


def _exchange_headers(variable: str, name: str, rest: str, message: str, stamp: int) -> dict[str, str]:
    secret, _, passphrase = rest.partition(":")
    if not (_SENDABLE.fullmatch(name) and secret and _SENDABLE.fullmatch(passphrase)):
        raise ConfigurationError(
            f"{variable} is neither key:secret:passphrase "
            "nor organizations/.../apiKeys/...:-----BEGIN EC PRIVATE KEY-----..."
        )
    secret_bytes = b""
    with suppress(ValueError):
        secret_bytes = base64.b64decode(secret, validate=True)
    if not secret_bytes:
        raise ConfigurationError(f"the secret in {variable} is no base64")
    return {
        "CB-ACCESS-KEY": name,
        "CB-ACCESS-SIGN": exchange_signature(secret_bytes, message.encode()),
        _TIMESTAMP: str(stamp),
        "CB-ACCESS-PASSPHRASE": passphrase,
    }


def _request_token(variable: str, name: str, pem: str, uri: str, stamp: int, nonce: str) -> str:
    if not _KEY_NAME.fullmatch(name):
        raise ConfigurationError(f"the private key in {variable} has no organizations/.../apiKeys/... before it")
    claims = {"sub": name, "iss": "cdp", "nbf": stamp, "exp": stamp + _TOKEN_SECONDS, "uri": uri}
    return es256_token(_private_key(variable, pem), {"kid": name, "nonce": nonce}, claims)


def _private_key(variable: str, pem: str) -> ec.EllipticCurvePrivateKey:
    text = pem.replace("\\r", "").replace("\\n", "\n").strip()
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it wants a password
        raise ConfigurationError(f"the private key in {variable} is no readable PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigurationError(f"the private key in {variable} is not of the curve P-256 (ES256)")
    return key
