"""The keys of PostgreSQL's advisory locks: one constant for each operation that must not run twice at a time."""

from __future__ import annotations

from typing import Final

__all__ = ["ANOMALY_MODELS", "LOADS", "MEASURING", "MIGRATION", "OUTBOX_DRAIN", "QUARANTINE"]

MIGRATION: Final = 7_246_311
"""Two migrations at once wait for each other."""
OUTBOX_DRAIN: Final = 7_246_312
"""One drain works in the whole fleet, so that events keep their order."""
LOADS: Final = 7_246_313
"""With an instrument's number: its loads follow each other, so that its events stand in the order of its commits."""
MEASURING: Final = 7_246_314
"""One process measures the quality of runs at a time."""
ANOMALY_MODELS: Final = 7_246_315
"""With an instrument's number: versions of its model are counted one after another."""
QUARANTINE: Final = 7_246_316
"""With an instrument's number: what adds to its rows in quarantine and what decides on them wait for each other."""
