"""Who did what to the data by hand, and when. Rows are added, never changed."""

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
    """Write an action down, in the caller's transaction."""
    conn.execute(
        "INSERT INTO fintrack.audit_log (actor, action, subject, detail, created_at) VALUES (%s, %s, %s, %s, %s)",
        (actor[:100], action, subject, json.dumps(detail, default=str), now),
    )
