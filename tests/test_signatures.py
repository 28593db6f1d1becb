"""A message that was signed is known again behind the broker, and none that differs in anything is."""

from __future__ import annotations

import copy
import hashlib
import hmac as reference
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils.json import dumps, loads

from fintrack_tasks.signatures import Signer

KEY, OLDER, OTHER = b"k" * 32, b"o" * 32, b"x" * 32

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def signer(*keys: bytes) -> Signer:
    return Signer(lambda: keys or (KEY,))


def through_the_broker(value: Any) -> Any:
    """As Celery carries it: kombu's JSON."""
    return loads(dumps(value))


@given(st.dictionaries(st.text(), JSON), st.dictionaries(st.text(), JSON) | st.none())
def test_whatever_json_a_stage_hands_on_verifies_behind_the_broker(item: dict[str, Any], batch: Any) -> None:
    signature = signer().sign("fintrack.load", item, batch)
    item, batch, signature = through_the_broker([item, batch, signature])
    assert signer().verify(signature, "fintrack.load", item, batch)


def test_what_json_carries_in_another_form_verifies_too() -> None:
    batch = {"meta": {"rows": (1, 2), 1: "a number as a key", "half": "\ud800", "large": 2**80, "larger": 2**80 + 1}}
    signature = signer().sign("fintrack.load", {}, batch)
    assert signer().verify(signature, "fintrack.load", {}, through_the_broker(batch))


ITEM = {"id": "1", "symbol": "MSFT", "window": [1, 2], "generation": 0}
BATCH = {"symbol": "MSFT", "columns": {"timestamp": [1], "price": ["246.28"]}, "meta": {}}


MADE = datetime(2024, 5, 6, 15, tzinfo=UTC)
RUN = UUID("0190a0b0-0000-7000-8000-000000000000")


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        (None, math.nan),
        (None, math.inf),
        (str(RUN), RUN),
        (MADE.isoformat(), MADE),
        ("2024-05-06", MADE.date()),
        ("1.50", Decimal("1.50")),
    ],
)
def test_a_value_beyond_json_is_not_taken_for_the_text_that_it_has_in_json(said: Any, instead: Any) -> None:
    """Kombu's JSON makes such values of what a message says, so that a stage would get what nobody signed."""
    signature = signer().sign("fintrack.load", {}, {"columns": {"volume": [said]}})
    batch = through_the_broker({"columns": {"volume": [instead]}})
    assert batch["columns"]["volume"] != [said]
    assert not signer().verify(signature, "fintrack.load", {}, batch)


@pytest.mark.parametrize(
    ("stage", "path", "value"),
    [
        ("fintrack.transform", (), None),
        ("fintrack.load", (0, "symbol"), "AAPL"),
        ("fintrack.load", (0, "generation"), 1),
        ("fintrack.load", (0, "more"), None),
        ("fintrack.load", (1, "columns", "price", 0), "666.66"),
        ("fintrack.load", (1, "columns", "price", 0), 246.28),
        ("fintrack.load", (1, "columns", "timestamp"), ["1"]),
        ("fintrack.load", (1, "meta", "splits"), []),
    ],
)
def test_a_message_that_differs_in_anything_does_not_verify(stage: str, path: tuple[Any, ...], value: Any) -> None:
    signature = signer().sign("fintrack.load", ITEM, BATCH)
    changed: list[Any] = copy.deepcopy([ITEM, BATCH])
    if path:
        place: Any = changed
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
    assert signer().verify(signature, "fintrack.load", ITEM, BATCH)
    assert not signer().verify(signature, stage, *changed)


def test_an_item_alone_is_not_the_same_as_with_a_batch() -> None:
    assert not signer().verify(signer().sign("fintrack.fetch", ITEM), "fintrack.fetch", ITEM, BATCH)
    assert not signer().verify(signer().sign("fintrack.fetch", ITEM, BATCH), "fintrack.fetch", ITEM)


@pytest.mark.parametrize("signature", [None, "", "00" * 32, 5, ["a"], {"a": 1}, "é" * 64, b"bytes", True])
def test_what_is_no_signature_does_not_verify(signature: object) -> None:
    assert not signer().verify(signature, "fintrack.load", ITEM, BATCH)


def test_what_cannot_be_signed_does_not_verify_and_raises_nothing() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    ring: list[Any] = []
    ring.append(ring)
    for each in (deep, ring):
        assert not signer().verify("00" * 32, "fintrack.load", each, BATCH)


def test_it_is_an_hmac_of_sha256_under_the_newest_key() -> None:
    text = b'["fintrack message 1","fintrack.fetch",{"id":"1","symbol":"MSFT"},null]'
    wanted = reference.new(KEY, text, hashlib.sha256).hexdigest()
    assert signer(KEY, OLDER).sign("fintrack.fetch", {"symbol": "MSFT", "id": "1"}) == wanted


def test_a_key_is_exchanged_while_messages_are_on_their_way() -> None:
    keys, now, readings = [OLDER], [0.0], []

    def read() -> list[bytes]:
        readings.append(list(keys))
        return keys

    worker = Signer(read, lambda: now[0])
    before = worker.sign("fintrack.load", ITEM, BATCH)
    keys.insert(0, KEY)
    assert signer(KEY, OLDER).verify(before, "fintrack.load", ITEM, BATCH)  # another process, started since
    after = signer(KEY, OLDER).sign("fintrack.load", ITEM, BATCH)
    now[0] = 60.0
    assert worker.verify(after, "fintrack.load", ITEM, BATCH)
    assert worker.sign("fintrack.load", ITEM, BATCH) == after
    keys[:] = [OTHER, KEY]
    assert not signer(*keys).verify(before, "fintrack.load", ITEM, BATCH)


def test_forged_messages_do_not_read_the_keys_again_each_time() -> None:
    now, readings = [0.0], []

    def read() -> list[bytes]:
        readings.append(now[0])
        return [KEY]

    worker = Signer(read, lambda: now[0])
    for _ in range(1000):
        assert not worker.verify("00" * 32, "fintrack.load", ITEM, BATCH)
        now[0] += 0.01
    assert len(readings) <= 3
    assert "k" * 8 not in repr(worker)
