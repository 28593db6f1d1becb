"""The tables of anomaly models by version and of the bars that they flagged; reads of the bars to train on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg
import zstandard

from fintrack_tasks.domain import Interval, from_micros
from fintrack_tasks.store import locks

__all__ = ["KEPT", "bars", "newest_model", "replace_flags", "save_model"]

KEPT: Final = 4
"""Versions whose forest is kept. Of older ones the parameters stay, from which the same bars give the same forest."""

_LARGEST: Final = 64 * 1024 * 1024

_COLUMNS: Final = ("timestamp", "open", "high", "low", "close", "volume")

_FLAG: Final = """
INSERT INTO fintrack.anomalies AS known (instrument_id, interval, timestamp, version, detectors, score, detail, run_id,
                                         flagged_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (instrument_id, interval, timestamp, version)
DO UPDATE SET detectors = excluded.detectors, score = excluded.score, detail = excluded.detail,
              run_id = excluded.run_id, flagged_at = excluded.flagged_at
WHERE (known.detectors, known.score, known.detail) IS DISTINCT FROM
      (excluded.detectors, excluded.score, excluded.detail)
"""


_ADJUSTED_BARS: Final = """
SELECT (extract(epoch FROM timestamp) * 1000000)::bigint, split_open::float8, split_high::float8,
split_low::float8, split_close::float8, split_volume::float8 FROM fintrack.historical_market_data_adjusted
WHERE instrument_id = %s AND interval = %s AND timestamp < %s AND is_final
ORDER BY timestamp DESC LIMIT %s
"""


def bars(
    conn: psycopg.Connection,
    instrument_id: int,
    interval: Interval,
    before: datetime,
    limit: int,
) -> dict[str, list[Any]]:
    """The newest final bars before a moment, oldest first: ``timestamp`` (microseconds), ``open`` to ``volume``.

    Prices are adjusted for splits.
    """
    rows = conn.execute(
        _ADJUSTED_BARS,
        (instrument_id, interval.value, before, limit),
    ).fetchall()
    rows.reverse()
    return {name: [row[place] for row in rows] for place, name in enumerate(_COLUMNS)}


_ADD_MODEL: Final = """
INSERT INTO fintrack.anomaly_models (instrument_id, interval, version, model, forest, fingerprint,
trained_at) SELECT %(instrument)s, %(interval)s, coalesce(max(version), 0) + 1, %(model)s, %(forest)s,
%(fingerprint)s, %(now)s FROM fintrack.anomaly_models
WHERE instrument_id = %(instrument)s AND interval = %(interval)s
ON CONFLICT (instrument_id, interval, fingerprint) DO NOTHING RETURNING version
"""


def save_model(
    conn: psycopg.Connection,
    instrument_id: int,
    interval: Interval,
    summary: Mapping[str, Any],
    forest: Mapping[str, Any],
    now: datetime,
) -> int | None:
    """Write a model as the next version; ``None``, and nothing is written, when an equal model is there."""
    packed = zstandard.compress(orjson.dumps(forest), 9)
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (locks.ANOMALY_MODELS, instrument_id))
        row = conn.execute(
            _ADD_MODEL,
            {
                "instrument": instrument_id,
                "interval": interval.value,
                "model": json.dumps(summary),
                "forest": packed,
                "fingerprint": summary["fingerprint"],
                "now": now,
            },
        ).fetchone()
        if row is None:
            return None
        conn.execute(
            "UPDATE fintrack.anomaly_models SET forest = NULL"
            " WHERE instrument_id = %s AND interval = %s AND version <= %s AND forest IS NOT NULL",
            (instrument_id, interval.value, row[0] - KEPT),
        )
    return int(row[0])


def newest_model(
    conn: psycopg.Connection, instrument_id: int, interval: Interval
) -> tuple[int, dict[str, Any], Any] | None:
    """The newest model: version, summary and forest; ``None`` when none was trained yet."""
    row = conn.execute(
        "SELECT version, model, forest FROM fintrack.anomaly_models WHERE instrument_id = %s AND interval = %s"
        " AND forest IS NOT NULL ORDER BY version DESC LIMIT 1",
        (instrument_id, interval.value),
    ).fetchone()
    if row is None:
        return None
    return int(row[0]), row[1], orjson.loads(zstandard.ZstdDecompressor().decompress(row[2], max_output_size=_LARGEST))


def replace_flags(
    conn: psycopg.Connection,
    instrument_id: int,
    interval: Interval,
    version: int,
    span: tuple[int, int],
    flags: Sequence[tuple[int, Sequence[str], float, Mapping[str, Any]]],
    run_id: UUID | None,
    now: datetime,
) -> None:
    """Write the flags of one version on the bars of a span (first and last stamp, microseconds), in place of those that
    it and earlier versions raised there.

    :param flags: stamp, detectors, score and detail of each.
    """
    stamps = [from_micros(stamp) for stamp, *_ in flags]
    with conn.transaction(), conn.cursor() as cursor:
        cursor.execute(
            "DELETE FROM fintrack.anomalies WHERE instrument_id = %s AND interval = %s AND timestamp BETWEEN %s AND %s"
            " AND (version < %s OR version = %s AND NOT timestamp = ANY(%s))",
            (instrument_id, interval.value, from_micros(span[0]), from_micros(span[1]), version, version, stamps),
        )
        cursor.executemany(
            _FLAG,
            [
                (instrument_id, interval.value, at, version, list(detectors), score, json.dumps(detail), run_id, now)
                for at, (_, detectors, score, detail) in zip(stamps, flags, strict=True)
            ],
        )
