"""Reading and decompressing a body within bounds of size and time: a small one may unpack to gigabytes or never end."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import requests

from fintrack_tasks.errors import MalformedError, TransientError
from fintrack_tasks.fetch.providers.base import Facts

__all__ = ["ACCEPTED", "read_body", "unpacked"]

ACCEPTED: Final = "gzip, deflate"
"""The codings to ask for, whatever others the installed libraries could unpack."""

_CHUNK: Final = 64 * 1024
_GZIP: Final = b"\x1f\x8b"


def read_body(
    facts: Facts, response: requests.Response, late: Callable[[], bool], parts: list[bytes] | None = None
) -> bytes:
    """The whole body, of at most ``facts.largest_body`` bytes both as sent and unpacked.

    :param late: whether the time is over; called for every piece.
    :param parts: receives the pieces, also those of a body that broke off.
    :raises MalformedError: it is larger, or compressed in a way that was not asked for.
    :raises TransientError: it took too long, or ends in its middle.
    :raises zlib.error: its compression is broken.
    """
    declared = response.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and (len(declared) > 18 or int(declared) > facts.largest_body):
        raise _too_large(facts)
    read = getattr(response.raw, "read1", None)
    if read is None:  # another transport's answer, which it unpacks itself
        return _joined(_bounded(facts, response.iter_content(_CHUNK), late), parts)
    # read1 gives what there is: other reads wait for a whole chunk, however slowly it comes.
    sent = iter(lambda: read(_CHUNK, decode_content=False) or b"", b"")
    coding = response.headers.get("content-encoding", "")
    return _joined(_bounded(facts, unpacked(facts, _bounded(facts, sent, late), coding), late), parts)


def _joined(pieces: Iterable[bytes], parts: list[bytes] | None) -> bytes:
    came: list[bytes] = [] if parts is None else parts
    came.extend(pieces)  # one by one: what came before an error stays
    return b"".join(came)


def _too_large(facts: Facts) -> MalformedError:
    return MalformedError(f"{facts.name}: the body is larger than {facts.largest_body} bytes")


def _bounded(facts: Facts, pieces: Iterable[bytes], late: Callable[[], bool]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > facts.largest_body:
            raise _too_large(facts)
        if late():
            raise TransientError(f"{facts.name}: no answer in time")
        yield piece


def unpacked(facts: Facts, pieces: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """The pieces as they were before their ``Content-Encoding``, each of at most 64 KiB; some are empty.

    One layer of gzip or deflate is unpacked. More than one is refused: it was not asked for, and decompression bombs
    have that form.
    """
    codings = [name for part in coding.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if not codings:
        yield from pieces
    elif codings in (["gzip"], ["x-gzip"], ["deflate"]):
        yield from _inflated(facts, pieces, gzip=codings != ["deflate"])
    else:
        raise MalformedError(f"{facts.name}: a body compressed as nobody asked for")


def _inflated(facts: Facts, pieces: Iterable[bytes], *, gzip: bool) -> Iterator[bytes]:
    waiting, stream, ended = b"", None, False
    for piece in pieces:
        waiting += piece
        full = False
        while waiting or full:
            if stream is None:
                if len(waiting) < len(_GZIP):
                    break
                if ended and not (gzip and waiting.startswith(_GZIP)):
                    return  # padding behind the last member
                stream = zlib.decompressobj(_window(waiting, gzip=gzip))
            part = stream.decompress(waiting, _CHUNK)
            waiting, full = stream.unconsumed_tail, len(part) == _CHUNK
            if stream.eof:
                waiting, stream, full, ended = stream.unused_data, None, False, True
            yield part
    if stream is not None or (waiting and not ended):
        raise TransientError(f"{facts.name}: the body was cut off")


def _window(start: bytes, *, gzip: bool) -> int:
    """zlib's name of a format: gzip (RFC 1952), zlib (RFC 1950), or the bare stream that some call deflate too."""
    if gzip:
        return 16 + zlib.MAX_WBITS
    looks_like_zlib = start[0] & 0x0F == 8 and int.from_bytes(start[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if looks_like_zlib else -zlib.MAX_WBITS
