"""The keys that stages sign their messages with. In PostgreSQL, because clients of the broker must not know them.

The writer role reads them, the reader role does not. The newest key signs; the one before it is still accepted, so that
a key can be rotated while messages are in flight: as ``fintrack_admin``, ``INSERT INTO fintrack.message_keys DEFAULT
VALUES``.
"""

from __future__ import annotations

from typing import Final

import psycopg

from fintrack_tasks.errors import ConfigurationError

__all__ = ["KNOWN", "read"]

KNOWN: Final = 2
"""So many of the newest keys are believed."""


def read(conn: psycopg.Connection) -> tuple[bytes, ...]:
    """The accepted keys, newest first.

    :raises ConfigurationError: there is none.
    """
    rows = conn.execute("SELECT secret FROM fintrack.message_keys ORDER BY id DESC LIMIT %s", (KNOWN,)).fetchall()
    if not rows:
        raise ConfigurationError(
            "the database holds no key for messages; as its owner: INSERT INTO fintrack.message_keys DEFAULT VALUES"
        )
    return tuple(bytes(secret) for (secret,) in rows)
