"""A message is JSON as it stands: no process unpacks what a message asks it to unpack."""

from __future__ import annotations

import bz2
import json
import lzma
import tracemalloc
import zlib
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from kombu import compression
from kombu.exceptions import ContentDisallowed
from kombu.transport import virtual

from fintrack_tasks import plain_messages
from fintrack_tasks.plain_messages import Message

CHANNEL = virtual.Channel.__new__(virtual.Channel)  # for its codecs; it has no connection
TEXT = b"[" + b" " * (16 * 1024 * 1024) + b"]"


def payload(body: bytes, content: str = "application/json", encoding: str = "utf-8", **headers: Any) -> dict[str, Any]:
    return {
        "body": b64encode(body).decode(),
        "content-type": content,
        "content-encoding": encoding,
        "headers": headers,
        "properties": {"body_encoding": "base64", "delivery_tag": "1", "delivery_info": {}},
    }


PACKED: dict[str, Callable[[], dict[str, Any]]] = {
    **{
        name: lambda name=name, pack=pack: payload(pack(TEXT), compression=name)  # type: ignore[misc]
        for name, pack in (
            ("zlib", zlib.compress),
            ("gzip", zlib.compress),
            ("bzip2", bz2.compress),
            ("lzma", lzma.compress),
        )
    },
    "application/x-gzip": lambda: payload(zlib.compress(TEXT), compression="application/x-gzip"),
    "codec zlib": lambda: payload(zlib.compress(TEXT), "application/data", "zlib_codec"),
    "codec zip": lambda: payload(zlib.compress(TEXT), "application/text", "ZIP"),
    "codec bz2": lambda: payload(bz2.compress(TEXT), "application/data", "bz2"),
}


@pytest.mark.parametrize("form", PACKED)
def test_no_compression_and_no_codec_unpacks_a_body(form: str) -> None:
    made = PACKED[form]()
    tracemalloc.start()
    try:
        message = Message(made, channel=CHANNEL)
        assert message.errors  # its consumer takes it for one that cannot be decoded, and drops it
        with pytest.raises(ContentDisallowed):
            message.decode()
        with pytest.raises(ContentDisallowed):
            _ = message.payload
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_kombu_itself_would_unpack_them() -> None:
    """Why the class is there; where this fails, kombu has mended it."""
    packed = zlib.compress(b"[]")
    assert virtual.Message(payload(packed, compression="gzip"), channel=CHANNEL).body == b"[]"
    assert virtual.Message(payload(packed, "application/data", "zlib_codec"), channel=CHANNEL).decode() == b"[]"


@pytest.mark.parametrize("name", compression.encoders())
def test_every_compression_that_kombu_knows_is_refused(name: str) -> None:
    assert Message(payload(b"x", compression=name), channel=CHANNEL).errors


@pytest.mark.parametrize("content", ["application/x-python-serialize", "application/x-yaml", "text/plain", "", None])
def test_content_that_is_not_json_is_refused(content: Any) -> None:
    assert Message({**payload(b"[]"), "content-type": content}, channel=CHANNEL).errors


def test_a_plain_message_is_decoded_as_ever() -> None:
    body = [[1, "é"], {"symbol": "MSFT"}, {}]
    message = Message(payload(json.dumps(body).encode(), lang="py"), channel=CHANNEL)
    assert message.errors == []
    assert message.decode() == body


def test_a_process_of_ours_reads_every_message_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual.Channel, "Message", virtual.Channel.Message)
    plain_messages.install()
    assert isinstance(CHANNEL.message_to_python(payload(b"[]")), Message)
