"""Negative prices and unknown opens on their whole way: checked, loaded, read, put together, compared with later."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.domain import Batch, Kind, to_micros
from fintrack_tasks.pipeline import validation_context
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.queries.aggregate import Adjust, aggregate_bars
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database
from fintrack_tasks.transform.resample import BarLength
from fintrack_tasks.validate import Limits
from tests.store.items import make_run
from tests.validate.published_prices import JNJ, NULLS, OIL, dated_bars

SETTINGS = Settings.from_mapping({})

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(("symbol", "rows", "opens"), [("CL=F", OIL, 3), ("JNJ", JNJ, 1), ("JNJ", NULLS, 1)])
def test_bars_are_loaded_and_read_and_others_are_compared_with_them(
    conn: psycopg.Connection, database_settings: Settings, symbol: str, rows: list[tuple[Any, ...]], opens: int
) -> None:
    _, [item] = make_run(conn, [symbol], Kind.BARS)
    database = Database(database_settings)
    try:
        batch = dated_bars(symbol, rows)
        good = pipeline.validate_item(item, batch, context=StageContext(database, database_settings, NOW))
        assert isinstance(good, Batch)
        clean = pipeline.transform_item(item, good, context=StageContext(database, SETTINGS, NOW))
        pipeline.load_item(item, clean, context=StageContext(database, database_settings, NOW))
        stored = conn.execute("SELECT open, close FROM historical_market_data ORDER BY timestamp").fetchall()
        assert [close for _, close in stored] == [Decimal(row[4]) for row in rows]
        assert sum(opening is not None for opening, _ in stored) == opens
        assert len(conn.execute("SELECT * FROM historical_market_data_adjusted").fetchall()) == 3
        week = aggregate_bars(conn, item.instrument_id, item.instrument, BarLength.W1, now=NOW, adjust=Adjust.NONE)
        assert week.columns["close"][-1] == Decimal(rows[-1][4])
        later = dated_bars(symbol, [("2020-04-22" if symbol == "CL=F" else "1970-01-07", *rows[-1][1:])])
        context = validation_context.gather(item, later, context=StageContext(database, SETTINGS, NOW), limits=Limits())
        assert context.prior_bars is not None
        assert len(context.prior_bars.close) == 3
        assert to_micros(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    finally:
        database.close()
