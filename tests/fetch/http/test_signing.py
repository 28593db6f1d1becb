"""Signatures against published vectors, against openssl, and against the schemes followed step by step."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import traceback
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pydantic import SecretStr

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.fetch.http.signing import es256_token, exchange_signature, secrets_of, sign
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import KeyUse
from fintrack_tasks.settings import Settings

FACTS = replace(provider("coinbase").facts, key=KeyUse("API_KEY_COINBASE", signed=True, optional=True))
EXCHANGE = "api.exchange.coinbase.com"
ADVANCED_TRADE = "api.coinbase.com"
CANDLES = "/products/BTC-USD/candles?granularity=86400&start=2024-01-01T00%3A00%3A00Z"
NOW = datetime(2024, 1, 10, 12, 0, 0, 999_999, tzinfo=UTC)  # 1704888000 and a bit

SECRET = "Y29pbmJhc2UgZXhjaGFuZ2Ugc2VjcmV0LCAzMiBieXRl"  # base64 of 33 bytes
HMAC_KEY = f"0123456789abcdef:{SECRET}:pass-phrase"

# RFC 7515, appendix A.3.1: the key, what is signed, and one of its signatures.
X = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
Y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
D = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
RFC_TOKEN = (
    "eyJhbGciOiJFUzI1NiJ9"
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)
NAME = "organizations/5d5b8a2e-0000-4000-8000-000000000001/apiKeys/9f1c7e3a-0000-4000-8000-000000000002"


def base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def whole_number(text: str) -> int:
    return int.from_bytes(base64url(text), "big")


PUBLIC_KEY = ec.EllipticCurvePublicNumbers(whole_number(X), whole_number(Y), ec.SECP256R1()).public_key()
PRIVATE_KEY = ec.derive_private_key(whole_number(D), ec.SECP256R1())


SEC1, PKCS8 = serialization.PrivateFormat.TraditionalOpenSSL, serialization.PrivateFormat.PKCS8


def pem(key: Any, form: serialization.PrivateFormat = SEC1, password: bytes | None = None) -> str:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return str(key.private_bytes(serialization.Encoding.PEM, form, encryption).decode())


TOKEN_KEY = f"{NAME}:" + pem(PRIVATE_KEY).replace("\n", "\\n")


def verified(token: str, key: ec.EllipticCurvePublicKey = PUBLIC_KEY) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token whose signature is right (RFC 7518, 3.4: r and s, 32 bytes each)."""
    header, claims, signature = token.split(".")
    raw = base64url(signature)
    assert len(raw) == 64
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.verify(der, f"{header}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    return json.loads(base64url(header)), json.loads(base64url(claims))


def signed(key: str, path: str = CANDLES, host: str = EXCHANGE, nonce: str = "n0nce") -> dict[str, str]:
    return sign(FACTS, SecretStr(key), "GET", host, path, NOW, nonce)


def token_of(headers: dict[str, str]) -> str:
    assert list(headers) == ["Authorization"]
    scheme, token = headers["Authorization"].split(" ")
    assert scheme == "Bearer"
    return token


# --- the Exchange


@pytest.mark.parametrize(
    ("secret", "message", "expected"),
    [
        (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
        (
            b"\xaa" * 131,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            b"\xaa" * 131,
            (
                b"This is a test using a larger than block-size key and a larger than block-size data. "
                b"The key needs to be hashed before being used by the HMAC algorithm."
            ),
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ],
    ids=["case 1", "case 2", "case 3", "case 4", "case 6", "case 7"],
)
def test_the_hmac_is_that_of_rfc_4231(secret: bytes, message: bytes, expected: str) -> None:
    assert base64.b64decode(exchange_signature(secret, message)).hex() == expected


def test_the_signature_is_what_openssl_says() -> None:
    """The secret's bytes sign timestamp, method and path with its query, in one string.

    printf '%s' '1704888000GET/products/BTC-USD/candles?granularity=86400&start=2024-01-01T00%3A00%3A00Z' |
      openssl dgst -sha256 -mac HMAC -binary -macopt hexkey:$(printf '%s' "$SECRET" | openssl base64 -d -A |
      od -An -v -tx1 | tr -d ' \\n') | openssl base64 -A
    """
    assert signed(HMAC_KEY) == {
        "CB-ACCESS-KEY": "0123456789abcdef",
        "CB-ACCESS-SIGN": "125wx3LCCaSULGZcKW07n0vCxLZnNVfsGXpmotRDvgk=",
        "CB-ACCESS-TIMESTAMP": "1704888000",
        "CB-ACCESS-PASSPHRASE": "pass-phrase",
    }


def test_the_signature_is_that_of_the_published_scheme() -> None:
    message = "1704888000" + "GET" + "/products/ETH-EUR/ticker"
    digest = hmac.new(base64.b64decode(SECRET), message.encode("utf-8"), hashlib.sha256).digest()
    headers = signed(HMAC_KEY, "/products/ETH-EUR/ticker")
    assert headers["CB-ACCESS-SIGN"] == base64.b64encode(digest).decode("ascii")


def test_the_secret_is_not_sent() -> None:
    assert SECRET not in json.dumps(signed(HMAC_KEY))


def test_a_passphrase_may_hold_colons() -> None:
    assert signed(f"key:{SECRET}:a:b")["CB-ACCESS-PASSPHRASE"] == "a:b"


# --- Advanced Trade


def test_the_verification_of_these_tests_is_that_of_rfc_7515() -> None:
    verified(RFC_TOKEN)
    with pytest.raises(InvalidSignature):
        verified(RFC_TOKEN.replace("Ij", "Iz", 1))


def test_a_token_says_who_asks_what_and_until_when() -> None:
    header, claims = verified(token_of(signed(TOKEN_KEY, "/api/v3/brokerage/market/products", ADVANCED_TRADE)))
    assert header == {"alg": "ES256", "typ": "JWT", "kid": NAME, "nonce": "n0nce"}
    assert claims == {
        "sub": NAME,
        "iss": "cdp",
        "nbf": 1_704_888_000,
        "exp": 1_704_888_120,
        "uri": "GET api.coinbase.com/api/v3/brokerage/market/products",
    }


def test_a_tokens_address_has_no_query() -> None:
    _, claims = verified(token_of(signed(TOKEN_KEY, "/api/v3/brokerage/market/products?limit=5&x=a?b", ADVANCED_TRADE)))
    assert claims["uri"] == "GET api.coinbase.com/api/v3/brokerage/market/products"


def test_a_token_of_another_key_does_not_verify() -> None:
    other = f"{NAME}:{pem(ec.generate_private_key(ec.SECP256R1()))}"
    with pytest.raises(InvalidSignature):
        verified(token_of(signed(other, host=ADVANCED_TRADE)))


def test_every_signature_has_its_64_bytes() -> None:
    """A number with leading zeros is as long as any other: one in 128 tokens has one."""
    for count in range(600):
        verified(es256_token(PRIVATE_KEY, {"nonce": str(count)}, {}))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(pem(PRIVATE_KEY), id="real line ends"),
        pytest.param(pem(PRIVATE_KEY).replace("\n", "\\n"), id="written line ends"),
        pytest.param(pem(PRIVATE_KEY).replace("\n", "\r\n"), id="line ends of Windows"),
        pytest.param(pem(PRIVATE_KEY).replace("\n", "\\r\\n"), id="written line ends of Windows"),
        pytest.param(pem(PRIVATE_KEY).strip(), id="no last line end"),
        pytest.param(pem(PRIVATE_KEY, PKCS8), id="PKCS 8"),
    ],
)
def test_a_private_key_is_read_in_each_of_its_forms(text: str) -> None:
    verified(token_of(signed(f"{NAME}:{text}", host=ADVANCED_TRADE)))


def test_several_keys_of_both_forms_are_told_apart_by_their_commas() -> None:
    keys = Settings.from_mapping({"API_KEY_COINBASE": f"{HMAC_KEY}, {TOKEN_KEY}"}).api_keys("API_KEY_COINBASE")
    first, second = (sign(FACTS, key, "GET", "127.0.0.1", "/", NOW, "n") for key in keys)
    assert (len(first), len(second)) == (4, 1)


# --- the other's host


@pytest.mark.parametrize(
    ("key", "host"),
    [
        (TOKEN_KEY, EXCHANGE),
        (TOKEN_KEY, "API.Exchange.Coinbase.com:443"),
        (TOKEN_KEY, "api-public.sandbox.exchange.coinbase.com"),
        (HMAC_KEY, ADVANCED_TRADE),
    ],
)
def test_a_key_is_not_shown_to_the_host_of_the_other_api(key: str, host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"API_KEY_COINBASE .* does not take.* COINBASE_BASE_URL"):
        signed(key, host=host)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "mirror.example", "notexchange.coinbase.com.example"])
def test_elsewhere_the_keys_form_decides(host: str) -> None:
    assert "CB-ACCESS-SIGN" in signed(HMAC_KEY, host=host)
    _, claims = verified(token_of(signed(TOKEN_KEY, "/x", host)))
    assert claims["uri"] == f"GET {host}/x"


# --- keys that are none


BROKEN_PEM = pem(PRIVATE_KEY).replace("M", "", 1)
OF_NO_FORM = {
    "empty parts": "::",
    "one part": "0123456789abcdef",
    "two parts": f"0123456789abcdef:{SECRET}",
    "no key": f":{SECRET}:pass-phrase",
    "no passphrase": f"0123456789abcdef:{SECRET}:",
    "no secret": "0123456789abcdef::pass-phrase",
    "a key with a space": f"0123456789 abcdef:{SECRET}:pass-phrase",
    "a passphrase with a line end": f"0123456789abcdef:{SECRET}:hidden\nwords",
    "a passphrase that no header carries": f"0123456789abcdef:{SECRET}:pass-phräse",
    "a secret that is no base64": "0123456789abcdef:not base64 at all!:pass-phrase",
    "a secret with wrong padding": f"0123456789abcdef:{SECRET}x:pass-phrase",
    "a secret of padding": "0123456789abcdef:====:pass-phrase",
    "a secret beyond ASCII": "0123456789abcdef:é:pass-phrase",
    "a PEM that is cut": f"{NAME}:{pem(PRIVATE_KEY)[:80]}",
    "a PEM that is broken": f"{NAME}:{BROKEN_PEM}",
    "a PEM of nothing": f"{NAME}:-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----",
    "a PEM beyond ASCII": f"{NAME}:-----BEGIN EC PRIVATE KEY-----\né\n-----END EC PRIVATE KEY-----",
    "a PEM behind a password": f"{NAME}:{pem(PRIVATE_KEY, PKCS8, b'password')}",
    "a PEM without its name": pem(PRIVATE_KEY),
    "a PEM with another name": f"projects/1/apiKeys/2:{pem(PRIVATE_KEY)}",
    "a public key": f"{NAME}:"
    + PUBLIC_KEY.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode(),
    "another curve": f"{NAME}:{pem(ec.generate_private_key(ec.SECP384R1()))}",
    "a curve as long": f"{NAME}:{pem(ec.generate_private_key(ec.SECP256K1()))}",
    "an RSA key": f"{NAME}:{pem(rsa.generate_private_key(65_537, 2_048))}",
    "an Ed25519 key": f"{NAME}:{pem(ed25519.Ed25519PrivateKey.generate(), PKCS8)}",
}


@pytest.mark.parametrize("key", OF_NO_FORM.values(), ids=OF_NO_FORM)
def test_a_key_that_is_none_names_its_variable_and_shows_nothing_of_itself(key: str) -> None:
    with pytest.raises(ConfigurationError, match="API_KEY_COINBASE") as caught:
        signed(key, host="127.0.0.1")
    told = str(caught.value)
    assert "\n" not in told
    assert len(told) < 200
    shown = "".join(traceback.format_exception(caught.value))
    parts = {part for part in key.replace("\n", ":").split(":") if len(part) > 3 and "-----" not in part}
    assert not any(part in shown for part in parts)


# --- what is masked


def test_the_parts_of_a_key_and_the_signature_are_secret_and_the_time_is_not() -> None:
    keys, signatures = secrets_of(SecretStr(HMAC_KEY), signed(HMAC_KEY))
    assert keys == ["0123456789abcdef", SECRET, "pass-phrase"]
    assert "125wx3LCCaSULGZcKW07n0vCxLZnNVfsGXpmotRDvgk=" in signatures
    assert "1704888000" not in signatures


def test_a_token_is_secret_without_its_scheme() -> None:
    headers = signed(TOKEN_KEY, host=ADVANCED_TRADE)
    assert secrets_of(SecretStr(TOKEN_KEY), headers)[1] == [token_of(headers)]
