"""The audit log: who changed data by hand, what and when. Append-only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import psycopg

__all__ = ["add"]


def add(
    conn: psycopg.Connection, actor: str, action: str, subject: str, detail: Mapping[str, Any], now: datetime
) -> None:
    """Append an action, in the caller's transaction."""
    conn.execute(
        "INSERT INTO fintrack.audit_log (actor, action, subject, detail, created_at) VALUES (%s, %s, %s, %s, %s)",
        (actor[:100], action, subject, json.dumps(detail, default=str), now),
    )
