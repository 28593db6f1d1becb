"""Maintenance: a local stack's logs stay within bounds although PostgreSQL is away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fintrack_tasks.connections import Connections
from fintrack_tasks.embedded import logs
from fintrack_tasks.errors import OutageError
from fintrack_tasks.settings import Settings
from fintrack_tasks.tasks import maintenance


def test_what_has_grown_is_cut_each_minute_although_the_database_is_away(
    tmp_path: Path, use: Callable[[Any], Any]
) -> None:
    nowhere = {"FINTRACK_HOME": str(tmp_path), "DB_HOST": "127.0.0.1", "DB_PORT": "1"}
    use(Connections(Settings.from_mapping(nowhere)))
    (tmp_path / "logs").mkdir()
    long, short = tmp_path / "logs" / "postgres.log", tmp_path / "logs" / "beat.log"
    long.write_bytes(b"x" * (logs.LIMIT + 1))
    short.write_bytes(b"y" * logs.LIMIT)
    with pytest.raises(OutageError):
        maintenance.reconcile.run()
    assert long.stat().st_size == 0
    assert long.with_name("postgres.log.1").stat().st_size == logs.LIMIT + 1
    assert short.stat().st_size == logs.LIMIT
