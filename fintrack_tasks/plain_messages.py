"""Celery messages are read as plain JSON only: no header makes a process decompress or decode a body.

kombu decompresses a body by its headers, and hands some content types to any codec that their encoding names, zlib's
among them: a message of 680 kB became 2.85 GB. This project's messages use neither.
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
    """A message whose body is decoded as JSON or refused with the reason."""

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
    """Use :class:`Message` for everything that uses kombu in this process."""
    virtual.Channel.Message = Message
