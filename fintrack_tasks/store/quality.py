"""Measures of quality, per run, instrument and day."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import psycopg

from fintrack_tasks.domain import Item

__all__ = ["add"]


def add(conn: psycopg.Connection, item: Item, metrics: Iterable[Mapping[str, Any]], now: datetime) -> None:
    """Write measures of an item down, in the caller's transaction.

    :param metrics: each with ``metric``, ``value`` (decimal text) and ``detail`` (JSON).
    """
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO fintrack.quality_metrics (run_id, instrument_id, day, metric, value, detail, created_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                (item.run_id, item.instrument_id, now.date(), m["metric"], m["value"], json.dumps(m["detail"]), now)
                for m in metrics
            ],
        )
