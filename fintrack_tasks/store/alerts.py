"""Alerts: what a person should look at, kept until it is resolved."""

from __future__ import annotations

from datetime import datetime

import psycopg

__all__ = ["add"]


def add(conn: psycopg.Connection, rule: str, severity: str, subject: str, detail: str, now: datetime) -> None:
    """Write an alert down."""
    conn.execute(
        "INSERT INTO fintrack.alerts (rule, severity, subject, detail, created_at) VALUES (%s, %s, %s, %s, %s)",
        (rule, severity, subject, detail[:2000], now),
    )
