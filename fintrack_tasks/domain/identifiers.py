"""UUIDs that sort by their time of creation: :func:`uuid7`."""

from __future__ import annotations

import os
from uuid import UUID

__all__ = ["uuid7"]


def uuid7(now: float) -> UUID:
    """A UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, then random bits; sorts by time of creation.

    :param now: seconds since 1970 (UTC).
    """
    millis = int(now * 1000) & 0xFFFF_FFFF_FFFF
    random = int.from_bytes(os.urandom(10), "big")
    return UUID(
        int=millis << 80 | 0x7 << 76 | (random >> 62 & 0xFFF) << 64 | 0b10 << 62 | random & 0x3FFF_FFFF_FFFF_FFFF
    )
