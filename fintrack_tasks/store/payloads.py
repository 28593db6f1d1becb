"""The table of raw provider answers (payloads): as received, compressed, under the hash of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

import orjson
import psycopg
import zstandard

from fintrack_tasks.domain import ORIGIN_HEADER
from fintrack_tasks.errors import StoreError
from fintrack_tasks.printable import printable

__all__ = ["INSERT", "Payload", "add", "get"]

_KEPT_HEADERS: Final = ("content-type", "date", "etag", "last-modified", "retry-after", ORIGIN_HEADER)
_LARGEST: Final = 64 * 1024 * 1024  # bytes; far above what the client lets in


INSERT: Final = """
    INSERT INTO fintrack.payloads (sha256, provider, path, status, headers, body, size, received_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (sha256) DO NOTHING
"""
"""With :meth:`Payload.columns`; the ledger has it in the statement that notes whose answer it is."""


@dataclass(frozen=True, slots=True)
class Payload:
    """One raw answer. ``sha256`` is that of ``body``; ``path`` is what was asked, without host, query and key."""

    sha256: bytes
    provider: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime

    @classmethod
    def of(
        cls, provider: str, path: str, status: int, headers: Mapping[str, str], body: bytes, received_at: datetime
    ) -> Self:
        """A payload of an answer, with the headers that explain it and no others."""
        # A NUL in a header is let through by HTTP's client and refused by the database.
        kept = {name: printable(headers[name]) for name in _KEPT_HEADERS if name in headers}
        # The status belongs to the content: an empty 404 and an empty 200 are not the same answer.
        digest = hashlib.sha256(b"%d\n" % status + body).digest()
        return cls(digest, provider, path, status, kept, body, received_at)

    def columns(self) -> tuple[bytes, str, str, int, str, bytes, int, datetime]:
        """The row of ``payloads``: the body compressed by zstd."""
        compressed = zstandard.compress(self.body, 3)
        headers = orjson.dumps(dict(self.headers)).decode()
        return self.sha256, self.provider, self.path, self.status, headers, compressed, len(self.body), self.received_at


def add(conn: psycopg.Connection, payload: Payload) -> None:
    """Write an answer that belongs to no item; idempotent."""
    conn.execute(
        INSERT,
        payload.columns(),
    )


def get(conn: psycopg.Connection, sha256: bytes) -> Payload:
    """Read an answer.

    :raises StoreError: when it is not there, or is not what its hash says.
    """
    row = conn.execute(
        "SELECT provider, path, status, headers, body, size, received_at FROM fintrack.payloads WHERE sha256 = %s",
        (sha256,),
    ).fetchone()
    if row is None:
        raise StoreError(f"payload {sha256.hex()[:16]} is not kept")
    provider, path, status, headers, compressed, size, received_at = row
    try:
        body = zstandard.ZstdDecompressor().decompress(compressed, max_output_size=min(size, _LARGEST))
    except zstandard.ZstdError:
        raise StoreError(f"payload {sha256.hex()[:16]} is damaged") from None
    payload = Payload(sha256, provider, path, status, headers, body, received_at)
    if hashlib.sha256(b"%d\n" % status + body).digest() != sha256:
        raise StoreError(f"payload {sha256.hex()[:16]} is not what its hash says")
    return payload
