"""A provider may repeat a key in any of the forms that text takes on the web; none may pass."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest

from fintrack_tasks.fetch.http.redaction import Redaction

KEY = 'aB3/x+9="\\&<z'
PLAIN = "k3y-that-nobody-may-see"


def each(form: str, text: str) -> str:
    return "".join(form.format(ord(character)) for character in text)


def lower(text: str) -> str:
    """With lower-case digits in its percent-encoding, and the rest as it is."""
    return re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), text)


@pytest.mark.parametrize("key", [KEY, PLAIN])
@pytest.mark.parametrize(
    "written",
    [
        pytest.param(lambda key: key, id="raw"),
        pytest.param(lambda key: quote(key, safe=""), id="percent"),
        pytest.param(quote, id="percent but for slashes"),
        pytest.param(lambda key: lower(quote(key, safe="")), id="lower-case percent"),
        pytest.param(lambda key: each("%{:02X}", key), id="percent of every character"),
        pytest.param(lambda key: each("%{:02x}", key), id="lower-case percent of every character"),
        pytest.param(lambda key: quote(quote(key, safe=""), safe=""), id="percent twice"),
        pytest.param(lambda key: json.dumps(key)[1:-1], id="JSON"),
        pytest.param(lambda key: json.dumps(key)[1:-1].replace("/", "\\/"), id="JSON with escaped slashes"),
        pytest.param(lambda key: each("\\u{:04x}", key), id="JSON escapes"),
        pytest.param(lambda key: each("\\u{:04X}", key), id="upper-case JSON escapes"),
        pytest.param(lambda key: json.dumps(json.dumps(key)[1:-1])[1:-1], id="JSON in JSON"),
        pytest.param(html.escape, id="HTML"),
        pytest.param(lambda key: each("&#{};", key), id="HTML numbers"),
        pytest.param(lambda key: each("&#x{:x};", key), id="HTML hexadecimal numbers"),
        pytest.param(lambda key: quote(key[:4], safe="") + key[4:], id="a mixture"),
    ],
)
def test_every_form_of_a_key_is_masked(key: str, written: Callable[[str], str]) -> None:
    text = written(key)
    assert Redaction([key]).body(f'{{"error":"apikey={text}."}}'.encode()) == b'{"error":"apikey=[masked]."}'
    assert Redaction([key]).text(f"key {text}; é") == "key [masked]; é"


def test_every_occurrence_is_masked() -> None:
    assert Redaction([PLAIN]).body(f"{PLAIN}{PLAIN} {PLAIN}".encode()) == b"[masked][masked] [masked]"


def test_a_key_inside_another_does_not_leave_the_rest_of_it() -> None:
    assert Redaction([PLAIN, f"{PLAIN}-and-more"]).body(f"<{PLAIN}-and-more>".encode()) == b"<[masked]>"


def test_what_is_no_key_stays_byte_for_byte() -> None:
    body = b'\xff\xfe\x00{"price":"1.10","t":1704888000,"u":"%6b%33","s":"\\u006b"}'
    assert Redaction([PLAIN]).body(body) == body
    assert Redaction().body(body) == body


@pytest.mark.parametrize("key", ["", "demo", "1234567"])
def test_a_short_key_is_left_or_it_would_be_found_in_the_data(key: str) -> None:
    assert Redaction([key]).body(b'{"symbol":"demo","volume":1234567}') == b'{"symbol":"demo","volume":1234567}'


def test_a_signature_is_masked_as_it_was_sent_and_percent_encoded() -> None:
    redaction = Redaction(signatures=["abc/def+ghi="])
    assert redaction.body(b"abc/def+ghi= abc%2Fdef%2Bghi%3D") == b"[masked] [masked]"


@pytest.mark.parametrize("unit", [b"\\", b"%25", b"&#0", b"&#x0", b'"a":1,'])
def test_no_body_makes_the_search_slow(unit: bytes) -> None:
    """Eight MiB of what a form begins with: a search that goes back over it would take hours."""
    started = time.monotonic()
    Redaction([KEY, PLAIN]).body(unit * (8 * 1024 * 1024 // len(unit)))
    assert time.monotonic() - started < 120  # against hours
