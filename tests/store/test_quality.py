"""Measures of quality are written with their item's run, instrument and day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import psycopg
import pytest

from fintrack_tasks.store import quality
from fintrack_tasks.transform.consensus import combine
from tests.store.items import NOW, make_run, quote

pytestmark = pytest.mark.integration


def test_a_measure_keeps_its_exact_value_and_its_detail(conn: psycopg.Connection) -> None:
    run, [item] = make_run(conn, ["BTC-USD"])
    detail = {"provider": "coinbase", "prices": {"coinbase": "0.000000059"}, "flagged": True}
    quality.add(conn, item, [{"metric": "provider_deviation_bps", "value": "-51.0001", "detail": detail}], NOW)
    rows = conn.execute(
        "SELECT run_id, instrument_id, day, metric, value, detail, created_at FROM fintrack.quality_metrics"
    ).fetchall()
    assert rows == [
        (run, item.instrument_id, date(2024, 5, 6), "provider_deviation_bps", Decimal("-51.0001"), detail, NOW)
    ]


def test_nothing_to_say_writes_nothing(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["BTC-USD"])
    quality.add(conn, item, [], NOW)
    assert conn.execute("SELECT count(*) FROM fintrack.quality_metrics").fetchone() == (0,)


def test_measures_belong_to_the_callers_transaction(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["BTC-USD"])
    made = [{"metric": "provider_spread_bps", "value": "1", "detail": {}}]

    with conn.transaction(force_rollback=True):
        quality.add(conn, item, made, NOW)
    assert conn.execute("SELECT count(*) FROM fintrack.quality_metrics").fetchone() == (0,)


@pytest.mark.parametrize("prices", [["99", "100", "101"], ["1", "1", "1e300"], ["0", "0", "5"]])
def test_every_measure_of_a_consensus_fits_the_table(conn: psycopg.Connection, prices: list[str]) -> None:
    _, [item] = make_run(conn, ["BTC-USD"])
    combined = combine([replace(quote(item, price), source=f"p{n}") for n, price in enumerate(prices)], 50)
    quality.add(conn, item, combined.meta["metrics"], NOW)
    stored = conn.execute("SELECT metric, value FROM fintrack.quality_metrics").fetchall()
    assert sorted(stored) == sorted((each["metric"], Decimal(each["value"])) for each in combined.meta["metrics"])
