"""The table of fx rates: one for each pair, time and source, read as of a moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from fintrack_tasks.domain import FxRate

__all__ = ["add", "as_of", "newest"]

_COLUMNS: Final = ("base", "quote", "timestamp", "rate", "source")
_CHUNK: Final = 10_000
"""Rates of one statement."""

_ADD: Final = """
INSERT INTO fintrack.fx_rates AS known (base, quote, timestamp, rate, source, received_at, item_id, payload_sha)
SELECT base, quote, timestamp, rate, source, %s, %s, %s
FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::numeric[], %s::text[])
     AS given(base, quote, timestamp, rate, source)
ON CONFLICT (base, quote, timestamp, source) DO UPDATE SET
    rate = excluded.rate, received_at = excluded.received_at, item_id = excluded.item_id,
    payload_sha = excluded.payload_sha
WHERE known.rate <> excluded.rate
"""

_AS_OF: Final = """
SELECT r.base, r.quote, r.timestamp, r.rate, r.source
FROM unnest(%(currencies)s::text[]) AS one(code)
CROSS JOIN unnest(%(currencies)s::text[]) AS other(code)
CROSS JOIN LATERAL (
    SELECT * FROM fintrack.fx_rates f
    WHERE f.base = one.code AND f.quote = other.code AND f.timestamp <= %(at)s AND f.timestamp >= %(oldest)s
    ORDER BY f.timestamp DESC, f.source LIMIT 1
) r
WHERE one.code <> other.code
"""


def add(
    conn: psycopg.Connection,
    rates: Iterable[FxRate],
    now: datetime,
    *,
    item_id: UUID | None = None,
    payload_sha: bytes | None = None,
) -> int:
    """Write rates, all or none; returns how many were new or had changed. Idempotent.

    :param item_id: the item whose quote they come from; ``payload_sha``: the raw answer that they were read from.
    """
    given = {(each.base, each.quote, each.timestamp, each.source): each for each in rates}
    chosen, changed = list(given.values()), 0
    with conn.transaction():
        for start in range(0, len(chosen), _CHUNK):
            part = chosen[start : start + _CHUNK]
            columns = [[getattr(each, name) for each in part] for name in _COLUMNS]
            changed += conn.execute(_ADD, (now, item_id, payload_sha, *columns)).rowcount
    return changed


def newest(conn: psycopg.Connection, source: str) -> datetime | None:
    """The time of the newest rate of a source's own files; ``None`` before the first. Quotes of pairs do not count."""
    row = conn.execute(
        "SELECT max(timestamp) FROM fintrack.fx_rates WHERE source = %s AND payload_sha IS NOT NULL", (source,)
    ).fetchone()
    return row[0] if row else None


def as_of(conn: psycopg.Connection, currencies: Sequence[str], at: datetime, max_age: timedelta) -> list[FxRate]:
    """The newest rate of each pair of these currencies at or before a moment, none older than ``max_age``.

    One query. With the base currencies included, the result has all that a conversion between them needs.
    """
    with conn.cursor(row_factory=class_row(FxRate)) as cursor:
        return cursor.execute(
            _AS_OF, {"currencies": sorted(set(currencies)), "at": at, "oldest": at - max_age}
        ).fetchall()
