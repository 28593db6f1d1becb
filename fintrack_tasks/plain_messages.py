"""Messages are JSON as they stand: nothing that a message says of itself makes a process of ours unpack it.

kombu unpacks a body by the compression that its headers name, and hands content of some types to any codec that its
encoding names, zlib's among them. 680 kB of a message became 2.85 GB so. No message of ours is either.
"""

from __future__ import annotations

from typing import Any, Final

from kombu.exceptions import ContentDisallowed
from kombu.transport import virtual

__all__ = ["LARGEST", "Message", "install"]

LARGEST: Final = 4 * 1024 * 1024
"""Bytes of an element of a queue. A batch of 1,000 bars with all indicators is a quarter of it, and what JSON makes of
the worst element stays under 100 MB."""

_CONTENT_TYPE: Final = "application/json"


class Message(virtual.Message):
    """A message whose body is decoded as JSON, or not at all: its consumer is told why, and drops it."""

    def __init__(self, payload: dict[str, Any], channel: Any = None, **kwargs: Any) -> None:
        self.errors: list[Any] = _problems(payload)  # the base class leaves a body alone that has one
        super().__init__(payload, channel=channel, **kwargs)  # type: ignore[no-untyped-call]

    def _decode(self) -> Any:
        if self.errors:
            raise self.errors[0][1]
        return super()._decode()  # type: ignore[no-untyped-call]


def _problems(payload: dict[str, Any]) -> list[tuple[type[Exception], Exception, None]]:
    headers, content = payload.get("headers") or {}, payload.get("content-type")
    if headers.get("compression"):
        error = ContentDisallowed("it is compressed, which no message of ours is")
    elif content != _CONTENT_TYPE:
        error = ContentDisallowed("its content is not JSON")
    else:
        return []
    return [(ContentDisallowed, error, None)]


def install() -> None:
    """Read every message of this process so. For programs of ours: it holds for all that use kombu in it."""
    virtual.Channel.Message = Message
