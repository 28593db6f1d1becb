"""An instrument that cannot be planned fails by itself, with its reason in the ledger; the others are asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import psycopg
import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.domain import AssetClass, Instrument, Interval, Kind, TimeRange, to_micros
from fintrack_tasks.pipeline.plan import Plan, plan_run
from fintrack_tasks.pipeline.run_arguments import check_arguments
from fintrack_tasks.queries import runs
from fintrack_tasks.sessions import requestable_bars, requested_stamps
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import coverage, instruments
from fintrack_tasks.store.bars import load_bars
from fintrack_tasks.store.runs import finish_runs
from tests.store.items import bars, event

pytestmark = pytest.mark.integration

NOW = datetime(2025, 3, 21, 12, tzinfo=UTC)
SETTINGS = Settings(fintrack_history_start="2025-03-01")


def planned(conn: psycopg.Connection, job: str, **named: object) -> Plan:
    return plan_run(conn, check_arguments(job, now=NOW, **named), SETTINGS, NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("job", "wrong", "right"),
    [
        ("fetch_historical_market_data", Instrument("BAD", AssetClass.STOCK, calendar="NOPE"), Instrument.of("AAPL")),
        ("fetch_market_index_data", Instrument("^BAD", AssetClass.INDEX, calendar="NOPE"), Instrument.of("^GSPC")),
    ],
)
def test_a_calendar_that_is_none_fails_its_instrument_alone(
    conn: psycopg.Connection, job: str, wrong: Instrument, right: Instrument
) -> None:
    instruments.add(conn, [wrong, right])
    plan = planned(conn, job)
    assert [item.instrument.symbol for item in plan.items] == [right.symbol]
    assert [(one.item.instrument.symbol, one.reason) for one in plan.refused] == [(wrong.symbol, "misconfigured")]
    pipeline.record_run(conn, plan, SETTINGS, NOW)
    told = {row["symbol"]: row for row in runs.items_of_run(conn, plan.run_id)}
    assert told[wrong.symbol]["state"] == "failed"
    assert told[wrong.symbol]["reason"] == "misconfigured"
    assert "NOPE" in str(told[wrong.symbol]["detail"])
    assert told[right.symbol]["state"] == "queued"


def test_a_run_of_wrong_instruments_alone_ends_as_failed(conn: psycopg.Connection) -> None:
    instruments.add(conn, [Instrument("BAD", AssetClass.STOCK, calendar="NOPE")])
    plan = planned(conn, "fetch_historical_market_data")
    pipeline.record_run(conn, plan, SETTINGS, NOW)
    assert [(run.run_id, run.state) for run in finish_runs(conn, NOW)] == [(plan.run_id, "failed")]


def test_a_quote_needs_no_calendar(conn: psycopg.Connection) -> None:
    instruments.add(conn, [Instrument("BAD", AssetClass.STOCK, calendar="NOPE")])
    plan = planned(conn, "fetch_market_data")
    assert (len(plan.items), plan.refused) == (1, ())


@pytest.mark.parametrize(
    ("symbol", "clocks"),
    [
        ("^TNX", [f"{hour:02}:20" for hour in range(8, 15)]),
        ("^VIX", [f"{hour:02}:15" for hour in range(3, 16)]),
        ("AAPL", [f"{hour:02}:00" for hour in range(9, 16)]),
    ],
)
def test_hours_that_begin_off_the_grid_are_not_asked_for_again(
    conn: psycopg.Connection, symbol: str, clocks: list[str]
) -> None:
    named = {"symbols": [symbol], "intervals": ["1h"], "start": "2025-03-03", "end": "2025-03-04"}
    plan = planned(conn, "fetch_historical_market_data", **named)
    [item] = plan.items
    pipeline.record_run(conn, plan, SETTINGS, NOW)
    new_york = ZoneInfo("America/New_York")
    times = [datetime.fromisoformat(f"2025-03-03T{clock}").replace(tzinfo=new_york) for clock in clocks]
    told = bars(item, ["10"] * len(times), NOW).with_columns(timestamp=[to_micros(each) for each in times])
    load_bars(conn, item, told, event(item), NOW, [True] * len(times))
    assert planned(conn, "fetch_historical_market_data", **named).items == ()


@pytest.mark.parametrize(("interval", "opens"), [(Interval.D1, 0), (Interval.H1, 6)])
def test_where_no_calendar_is_known_gaps_are_told_by_what_came(
    conn: psycopg.Connection, interval: Interval, opens: int
) -> None:
    """Kuwait from Sunday to Thursday, its hours at half past: asked for at once, then not again for what is there."""
    named = {"symbols": ["NBK.KW"], "intervals": [interval.value], "start": "2025-03-02", "end": "2025-03-09"}
    plan = planned(conn, "fetch_historical_market_data", **named)
    [item] = plan.items
    assert item.window == TimeRange(datetime(2025, 3, 2, tzinfo=UTC), datetime(2025, 3, 9, tzinfo=UTC))
    pipeline.record_run(conn, plan, SETTINGS, NOW)
    batch = bars(item, ["10", "11", "12", "13", "14"], datetime(2025, 3, 2, tzinfo=UTC))
    half_past = [stamp + opens * 3_600_000_000 + (opens and 1_800_000_000) for stamp in batch.columns["timestamp"]]
    told = batch.with_columns(timestamp=half_past)
    load_bars(conn, item, told, event(item), NOW, [True] * 5)
    asked = requestable_bars(item.instrument, interval, item.window)
    stands_for = partial(requested_stamps, item.instrument, interval)
    left = coverage.missing(conn, item.instrument_id, interval, asked, NOW, stands_for)
    there = {stamp - stamp % (interval.delta // timedelta(microseconds=1)) for stamp in half_past}
    assert set(left) == set(asked) - there
    coverage.record_absent(conn, item, left, NOW)
    assert planned(conn, "fetch_historical_market_data", **named).items == ()
    assert to_micros(item.window.start) in asked
    assert item.kind is Kind.BARS
