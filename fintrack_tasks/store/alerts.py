"""The table of alerts, kept until somebody resolves them."""

from __future__ import annotations

from datetime import datetime, timedelta

import psycopg

__all__ = ["add", "add_once"]


def add(conn: psycopg.Connection, rule: str, severity: str, subject: str, detail: str, now: datetime) -> None:
    """Write an alert."""
    conn.execute(
        "INSERT INTO fintrack.alerts (rule, severity, subject, detail, created_at) VALUES (%s, %s, %s, %s, %s)",
        (rule, severity, subject, detail[:2000], now),
    )


def add_once(
    conn: psycopg.Connection, rule: str, severity: str, subject: str, detail: str, now: datetime, seconds: float
) -> bool:
    """Write an alert unless its rule and subject have one that is younger than so many seconds."""
    return bool(
        conn.execute(
            "INSERT INTO fintrack.alerts (rule, severity, subject, detail, created_at) SELECT %s, %s, %s, %s, %s"
            " WHERE NOT EXISTS (SELECT FROM fintrack.alerts WHERE rule = %s AND subject = %s AND created_at > %s)",
            (rule, severity, subject, detail[:2000], now, rule, subject, now - timedelta(seconds=seconds)),
        ).rowcount
    )
