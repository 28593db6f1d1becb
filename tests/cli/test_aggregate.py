"""``fintrack aggregate``, as a person types it, over a real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.domain import Batch, Interval, Kind, TimeRange, to_micros
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database
from tests.cli.prices import DAYS, chart, ingest, told
from tests.e2e.harness import fintrack
from tests.store.items import NOW, make_run

pytestmark = pytest.mark.integration


def test_aggregate_prints_the_weeks(
    tmp_path: Path, where: dict[str, str], database: Database, database_settings: Settings
) -> None:
    ingest(database, database_settings, chart(DAYS), NOW)
    found = told(tmp_path, where, "aggregate", "OCDO.L", "--to", "1w")
    [week] = found["bars"]
    assert (found["symbol"], found["interval"], found["from"], found["splits_inside"]) == ("OCDO.L", "1w", "1d", [])
    assert (week["timestamp"], week["open"], week["close"], week["volume"]) == (
        "2024-04-29T00:00:00Z", "4.000", "4.200", "5000"
    )  # fmt: skip
    shown = fintrack(tmp_path, "aggregate", "OCDO.L", "--to", "1mo", environment=where).stdout
    assert "2024-04-01" in shown
    refused = fintrack(tmp_path, "aggregate", "OCDO.L", "--to", "1h", "--from", "1d", check=False, environment=where)
    assert (refused.returncode, refused.stdout) == (2, "")


def test_where_no_bars_are_stored_aggregate_says_which(
    tmp_path: Path, where: dict[str, str], database: Database, database_settings: Settings
) -> None:
    ingest(database, database_settings, chart(DAYS), NOW)
    for words, missing in (
        (("--to", "1h"), "no 15m bars of OCDO.L are stored; fetch them with: fintrack run historical"),
        (("--to", "1w", "--start", "2031-01-01"), "no 1d bars of OCDO.L are stored in that time; fetch them"),
    ):
        refused = fintrack(tmp_path, "aggregate", "OCDO.L", *words, check=False, environment=where)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert missing in " ".join(refused.stderr.split())


def test_aggregate_says_how_many_bars_open_in_no_session(
    tmp_path: Path, where: dict[str, str], database: Database, database_settings: Settings, conn: psycopg.Connection
) -> None:
    """Friday, 26 April 2024, closed at 17:00 in New York, 21:00 UTC."""
    _, [item] = make_run(conn, ["EURUSD=X"], Kind.BARS)
    late = datetime(2024, 4, 26, 20, tzinfo=UTC)
    item = replace(item, interval=Interval.H1, window=TimeRange(late, late + timedelta(hours=2)))
    stamps = [to_micros(late), to_micros(late + timedelta(hours=1))]
    columns: dict[str, list[Any]] = {name: ["1.07", "1.08"] for name in ("open", "high", "low", "close")}
    batch = Batch(
        Kind.BARS, "EURUSD=X", "x", {"timestamp": stamps, **columns, "volume": [None] * 2}, "USD", Interval.H1
    )
    pipeline.load_item(item, batch, context=StageContext(database, database_settings, NOW))
    found = told(tmp_path, where, "aggregate", "EURUSD=X", "--to", "1d")
    [day] = found["bars"]
    assert (day["parts"], day["missing"], found["outside"]) == (1, 23, 1)
    shown = fintrack(tmp_path, "aggregate", "EURUSD=X", "--to", "1d", environment=where).stderr
    assert "1 of the stored bars opens in no session" in " ".join(shown.split())
