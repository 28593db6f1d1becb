"""What a stage works with beside its item: the database, the settings and the time, in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fintrack_tasks.settings import Settings
from fintrack_tasks.store.connection import Database

__all__ = ["StageContext"]


@dataclass(frozen=True, slots=True)
class StageContext:
    """The context of one call of a stage. ``now`` is aware, in UTC: below the tasks nothing reads the clock."""

    database: Database
    settings: Settings
    now: datetime
