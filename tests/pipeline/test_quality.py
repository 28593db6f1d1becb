"""Runs are measured when they have ended, once; models are trained, kept by version, and judge what comes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from fintrack_tasks.domain import (
    AssetClass,
    Batch,
    CorporateAction,
    Finding,
    Instrument,
    Interval,
    Item,
    ItemState,
    Kind,
    TimeRange,
    to_micros,
    uuid7,
)
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.quality import measure_run, train_model
from fintrack_tasks.sandbox.prices import Daily, real_daily
from fintrack_tasks.sessions import are_final
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database, corporate_actions, flags, instruments, quality, quarantine, run_items, runs
from fintrack_tasks.store.bars import load_bars
from fintrack_tasks.store.quotes import load_quote
from tests.store.items import event, make_run, quote

SETTINGS = Settings.from_mapping({})

pytestmark = pytest.mark.integration

NOW = datetime(2013, 3, 2, 2, 0, tzinfo=UTC)
"""The night after the last bundled day, a Friday."""


def day(of: Daily) -> datetime:
    return datetime(of.day.year, of.day.month, of.day.day, tzinfo=UTC)


def batch(item: Item, days: Sequence[Daily]) -> Batch:
    columns: dict[str, list[Any]] = {"timestamp": [to_micros(day(each)) for each in days]}
    for name in ("open", "high", "low", "close", "volume"):
        columns[name] = [repr(getattr(each, name)) for each in days]
    return Batch(item.kind, item.instrument.symbol, "bundled", columns, "USD", Interval.D1)


def bars_run(
    conn: psycopg.Connection,
    symbol: str,
    windows: Sequence[TimeRange],
    now: datetime = NOW,
    calendar: str | None = None,
) -> list[Item]:
    """A historical run of one instrument that waits for its items."""
    instruments.add(conn, [Instrument.of(symbol)])
    conn.execute("UPDATE fintrack.instruments SET calendar = %s WHERE symbol = %s", (calendar, symbol))
    [(number, known)] = instruments.ensure(conn, [Instrument.of(symbol)]).values()
    run = uuid7(time.time())
    items = [Item(uuid7(time.time()), run, Kind.BARS, known, number, Interval.D1, window) for window in windows]
    deadline = now + timedelta(minutes=1)
    runs.create_run(conn, run, "fetch_historical_market_data", {}, items, deadline, now)
    return items


def arrive(conn: psycopg.Connection, item: Item, days: Sequence[Daily], now: datetime = NOW) -> None:
    """Load so many days for one item, as several items of a run would."""
    for first in range(0, len(days), 1000):
        part = batch(item, days[first : first + 1000])
        closed = are_final(item.instrument, Interval.D1, part.columns["timestamp"], now)
        conn.execute("UPDATE fintrack.run_items SET finished_at = NULL WHERE id = %s", (item.id,))
        assert load_bars(conn, item, part, event(item), now, closed)
    conn.execute("UPDATE fintrack.run_items SET rows_loaded = %s WHERE id = %s", (len(days), item.id))


def measured(
    database: Database, conn: psycopg.Connection, run: UUID, now: datetime = NOW
) -> dict[str, dict[str, float]]:
    """Symbol to metric to value, after everything that waits was measured."""
    runs.finish_runs(conn, now)
    while measure_run(context=StageContext(database, SETTINGS, now)) is not None:
        pass
    found: dict[str, dict[str, float]] = {}
    for symbol, metric, value in conn.execute(
        "SELECT i.symbol, q.metric, q.value FROM fintrack.quality_metrics q"
        " JOIN fintrack.instruments i ON i.id = q.instrument_id WHERE q.run_id = %s",
        (run,),
    ):
        found.setdefault(symbol, {})[metric] = float(value)
    return found


def last(symbol: str, count: int) -> tuple[Daily, ...]:
    return real_daily()[symbol][-count:]


def whole(days: Sequence[Daily]) -> TimeRange:
    return TimeRange(day(days[0]), day(days[-1]) + timedelta(days=1))


# --- measuring bars


def test_real_history_that_came_whole_scores_one_throughout(database: Database, conn: psycopg.Connection) -> None:
    days = real_daily()["IBM"]
    [item] = bars_run(conn, "IBM", [whole(days)])
    arrive(conn, item, days)
    assert measured(database, conn, item.run_id) == {
        "IBM": {"completeness": 1, "requested": 1, "accuracy": 1, "consistency": 1, "timeliness": 1, "validity": 1}
    }
    detail = conn.execute("SELECT detail FROM fintrack.quality_metrics WHERE metric = 'requested'").fetchone()
    assert detail == ({"1d": {"expected": 3270, "present": 3270}},)


def test_days_that_are_missing_in_the_middle_and_at_the_end_show(database: Database, conn: psycopg.Connection) -> None:
    days = last("IBM", 100)
    [item] = bars_run(conn, "IBM", [whole(days)])
    arrive(conn, item, [*days[:50], *days[57:98]])
    got = measured(database, conn, item.run_id)["IBM"]
    assert got["requested"] == pytest.approx(0.91)
    assert got["completeness"] == pytest.approx(91 / 98, abs=1e-6)  # to the last day that is stored
    assert got["timeliness"] == pytest.approx(1 / 3, abs=1e-6)


def test_what_lies_before_the_first_bar_is_no_gap_unless_it_failed(
    database: Database, conn: psycopg.Connection
) -> None:
    """FB was first traded on 2012-05-18: asked from January on, nothing is missing."""
    days = real_daily()["FB"]
    early, late = TimeRange(datetime(2012, 1, 3, tzinfo=UTC), day(days[0])), whole(days)
    first, second = bars_run(conn, "FB", [early, late])
    run_items.finish(conn, first, ItemState.EMPTY, "empty", "", "bundled", NOW)
    arrive(conn, second, days)
    assert measured(database, conn, second.run_id)["FB"]["requested"] == 1
    failed, loaded = bars_run(conn, "FB", [early, late])
    run_items.finish(conn, failed, ItemState.FAILED, "transient", "", "bundled", NOW)
    arrive(conn, loaded, days)
    # Sessions from 2012-01-03 to 05-17: 20 in January, 20, 22, 20 (Good Friday) and 13 in May make 95.
    got = measured(database, conn, loaded.run_id)["FB"]
    assert got["requested"] == pytest.approx(196 / (196 + 95), abs=1e-6)
    assert got["completeness"] == 1


def test_a_request_for_years_that_nobody_has_says_nothing_of_what_is_stored(
    database: Database, conn: psycopg.Connection
) -> None:
    days = real_daily()["IBM"]
    [item] = bars_run(conn, "IBM", [whole(days)])
    arrive(conn, item, days)
    measured(database, conn, item.run_id)
    [early] = bars_run(conn, "IBM", [TimeRange(datetime(1981, 1, 1, tzinfo=UTC), datetime(1982, 1, 1, tzinfo=UTC))])
    run_items.finish(conn, early, ItemState.FAILED, "transient", "", "bundled", NOW)
    got = measured(database, conn, early.run_id)["IBM"]
    assert (got["completeness"], got["requested"]) == (1, 0)


def test_a_hole_of_years_shows_however_short_the_newest_run_is(database: Database, conn: psycopg.Connection) -> None:
    days = real_daily()["IBM"]
    [old] = bars_run(conn, "IBM", [whole(days)])
    arrive(conn, old, [*days[:1000], *days[1953:]])
    measured(database, conn, old.run_id)
    [newest] = bars_run(conn, "IBM", [whole(days[-5:])])
    arrive(conn, newest, days[-5:])
    got = measured(database, conn, newest.run_id)["IBM"]
    assert got["completeness"] == pytest.approx((3270 - 953) / 3270, abs=1e-6)
    assert got["requested"] == 1


def test_a_short_run_is_measured_over_a_year_so_that_an_old_gap_still_shows(
    database: Database, conn: psycopg.Connection
) -> None:
    days = last("IBM", 300)
    [item] = bars_run(conn, "IBM", [whole(days)])
    arrive(conn, item, [*days[:200], *days[210:299]])
    measured(database, conn, item.run_id)
    [newest] = bars_run(conn, "IBM", [whole(days[299:])])
    arrive(conn, newest, days[299:])
    got = measured(database, conn, newest.run_id)["IBM"]
    # From 2012-03-01 on, 366 days before: 210 of the 250 sessions of 2012, and 21, 19 and 1 of 2013 make 251.
    assert got["requested"] == pytest.approx(241 / 251, abs=1e-6)
    assert got["completeness"] == pytest.approx(290 / 300, abs=1e-6)
    assert got["timeliness"] == 1


def test_rejected_and_flagged_rows_count_against_what_their_rules_are_about(
    database: Database, conn: psycopg.Connection
) -> None:
    days = last("IBM", 20)
    [item] = bars_run(conn, "IBM", [whole(days)])
    bad = [Finding("value_ranges", "reject", 3, "close is null"), Finding("ohlc", "reject", 4, "low above high")]
    quarantine.add(conn, item, batch(item, days), bad, NOW)
    arrive(conn, item, [*days[:3], *days[5:]])
    for stamp in (day(days[7]), day(days[8])):
        conn.execute(
            "INSERT INTO fintrack.flags (instrument_id, interval, timestamp, source, rule, detail, item_id, created_at)"
            " VALUES (%s, '1d', %s, 'bundled', 'price_jump', '', %s, %s)",
            (item.instrument_id, stamp, item.id, NOW),
        )
    got = measured(database, conn, item.run_id)["IBM"]
    assert got == {
        "completeness": 0.9,
        "requested": 0.9,
        "accuracy": 0.8,
        "consistency": 0.95,
        "timeliness": 1.0,
        "validity": 0.95,
    }


def test_a_run_whose_every_item_failed_says_nothing_of_rows(database: Database, conn: psycopg.Connection) -> None:
    [item] = bars_run(conn, "IBM", [whole(last("IBM", 20))])
    run_items.finish(conn, item, ItemState.FAILED, "transient", "no answer", "bundled", NOW)
    assert measured(database, conn, item.run_id)["IBM"] == {"completeness": 0, "requested": 0, "timeliness": 0}


def test_an_unknown_calendar_expects_nothing_and_stops_nothing(database: Database, conn: psycopg.Connection) -> None:
    days = last("IBM", 5)
    [item] = bars_run(conn, "IBM", [whole(days)], calendar="XMOON")
    run_items.finish(conn, item, ItemState.EMPTY, "empty", "", "bundled", NOW)
    assert measured(database, conn, item.run_id)["IBM"] == {"completeness": 1, "requested": 1}


def test_without_a_known_calendar_nobody_says_what_is_missing(database: Database, conn: psycopg.Connection) -> None:
    """Kuwait's: rows that came are judged by themselves."""
    days = last("IBM", 5)
    [item] = bars_run(conn, "NBK.KW", [whole(days)])
    arrive(conn, item, days)
    found = measured(database, conn, item.run_id)["NBK.KW"]
    assert found == {"completeness": 1, "accuracy": 1, "consistency": 1, "validity": 1}
    said = conn.execute("SELECT detail FROM fintrack.quality_metrics WHERE metric = 'completeness'").fetchone()
    assert said == ({"1d": {"calendar": None}},)


# --- measuring quotes


MONDAY = datetime(2024, 5, 6, 15, 0, tzinfo=UTC)


def test_quotes_are_measured_by_the_calendar_at_the_runs_moment_and_not_by_the_time_of_the_call(
    database: Database, conn: psycopg.Connection
) -> None:
    run, [fresh, old, failed] = make_run(conn, ["AAPL", "MSFT", "BTC-USD"], now=MONDAY)
    for item, at in ((fresh, MONDAY), (old, MONDAY - timedelta(hours=1))):
        assert load_quote(conn, item, quote(item, at=at), event(item), MONDAY)
    run_items.finish(conn, failed, ItemState.FAILED, "transient", "", "coinbase", MONDAY)
    runs.finish_runs(conn, MONDAY + timedelta(minutes=1))
    got = measured(database, conn, run, now=MONDAY + timedelta(days=30))
    one = dict.fromkeys(("completeness", "requested", "accuracy", "consistency", "timeliness", "validity"), 1)
    assert got["AAPL"] == one
    # 14:00 to 15:00: the bars of 14:00 and 14:15 are over, and that of 14:30 would be at 15:05.
    assert got["MSFT"]["timeliness"] == pytest.approx(1 / 3, abs=1e-6)
    assert got["BTC-USD"] == {"completeness": 0, "requested": 0, "timeliness": 0}
    days = conn.execute("SELECT DISTINCT day FROM fintrack.quality_metrics").fetchall()
    assert days == [(MONDAY.date(),)]


def test_a_quote_of_several_providers_counts_by_those_that_agree(database: Database, conn: psycopg.Connection) -> None:
    run, [item] = make_run(conn, ["AAPL"], now=MONDAY)
    spread = {"metric": "provider_spread_bps", "value": "90", "detail": {"prices": {"a": "1", "b": "1", "c": "1.1"}}}
    off = {"metric": "provider_deviation_bps", "value": "90", "detail": {"provider": "c", "flagged": True}}
    assert load_quote(conn, item, quote(item, at=MONDAY), event(item), MONDAY)
    for _ in range(2):
        quality.add(conn, item, [spread, off], MONDAY)
    got = measured(database, conn, run, now=MONDAY)["AAPL"]
    assert got["consistency"] == pytest.approx(2 / 3, abs=1e-6)
    assert got["accuracy"] == 1
    assert got["provider_spread_bps"] == 90


# --- once


def test_a_run_is_measured_once_page_by_page_and_again_without_a_double(
    database: Database, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fintrack_tasks.pipeline.quality._PAGE", 2)
    run, items = make_run(conn, ["AAPL", "MSFT", "IBM"], now=MONDAY)
    for item in items:
        load_quote(conn, item, quote(item, at=MONDAY), event(item), MONDAY)
    assert measure_run(context=StageContext(database, SETTINGS, MONDAY)) is None  # it has not ended
    runs.finish_runs(conn, MONDAY)
    assert [measure_run(context=StageContext(database, SETTINGS, MONDAY)) for _ in range(4)] == [2, 1, 0, None]
    rows = conn.execute("SELECT instrument_id, metric, value FROM fintrack.quality_metrics ORDER BY 1, 2").fetchall()
    assert len(rows) == 18
    conn.execute("UPDATE fintrack.runs SET measured_at = NULL")
    conn.execute("DELETE FROM fintrack.quality_metrics WHERE metric = 'completeness'")
    measured(database, conn, run, now=MONDAY)
    again = conn.execute("SELECT instrument_id, metric, value FROM fintrack.quality_metrics ORDER BY 1, 2").fetchall()
    assert again == rows


def test_two_processes_do_not_measure_at_once(database: Database, conn: psycopg.Connection) -> None:
    run, [item] = make_run(conn, ["AAPL"], now=MONDAY)
    load_quote(conn, item, quote(item, at=MONDAY), event(item), MONDAY)
    runs.finish_runs(conn, MONDAY)
    with conn.transaction():
        assert quality.unmeasured(conn, claim=True) is not None
        assert measure_run(context=StageContext(database, SETTINGS, MONDAY)) is None
    assert measure_run(context=StageContext(database, SETTINGS, MONDAY)) == 1
    assert run == item.run_id


def test_measures_of_quotes_are_thinned_to_each_days_lowest_after_two_days(
    database: Database, conn: psycopg.Connection
) -> None:
    for hour, price in ((0, "1"), (1, None), (2, "3")):
        at = MONDAY + timedelta(hours=hour)
        _, [item] = make_run(conn, ["BTC-USD"], now=at)
        if price:
            load_quote(conn, item, quote(item, price, at=at), event(item), at)
        else:
            run_items.finish(conn, item, ItemState.FAILED, "transient", "", "coinbase", at)
        measured(database, conn, item.run_id, now=at)
    kept = "SELECT count(*), min(value) FROM fintrack.quality_metrics WHERE metric = 'completeness' AND day = %s"
    assert conn.execute(kept, (MONDAY.date(),)).fetchone() == (3, 0)
    for later in (1, 2):
        at = MONDAY + timedelta(days=later)
        _, [item] = make_run(conn, ["BTC-USD"], now=at)
        load_quote(conn, item, quote(item, "5", at=at), event(item), at)
        measured(database, conn, item.run_id, now=at)
        assert conn.execute(kept, (MONDAY.date(),)).fetchone() == ((3, 0) if later == 1 else (1, 0))
    assert conn.execute(kept, (at.date(),)).fetchone() == (1, 1)


# --- models


@pytest.fixture
def history(conn: psycopg.Connection) -> list[Daily]:
    """All but the last 100 real days of IBM, loaded."""
    days = list(real_daily()["IBM"])
    [item] = bars_run(conn, "IBM", [whole(days[:-100])])
    arrive(conn, item, days[:-100])
    runs.finish_runs(conn, NOW)
    return days


def models(conn: psycopg.Connection) -> list[tuple[Any, ...]]:
    return conn.execute(
        "SELECT version, forest IS NOT NULL, (model ->> 'bars')::integer FROM fintrack.anomaly_models ORDER BY version"
    ).fetchall()


def trained(database: Database, now: datetime = NOW) -> int:
    count, after = 0, 0
    while (number := train_model(context=StageContext(database, SETTINGS, now), after=after)) is not None:
        count, after = count + 1, number
    return count


def test_the_first_model_judges_its_own_bars_and_the_same_bars_make_no_second_one(
    database: Database, conn: psycopg.Connection, history: list[Daily]
) -> None:
    assert trained(database) == 1
    assert models(conn) == [(1, True, 2520 + 60 - 21)]
    flagged = conn.execute("SELECT count(*), bool_or('forest' = ANY(detectors)) FROM fintrack.anomalies").fetchone()
    assert flagged is not None
    assert 0 < flagged[0] <= 0.01 * 2559
    assert trained(database, NOW + timedelta(days=7)) == 1
    assert len(models(conn)) == 1


def test_a_model_is_trained_on_what_was_known_then(
    database: Database, conn: psycopg.Connection, history: list[Daily]
) -> None:
    trained(database, day(history[1000]))
    assert models(conn) == [(1, True, 1000 - 21)]
    trained(database, day(history[1005]))
    assert models(conn) == [(1, True, 979), (2, True, 984)]


def test_old_versions_keep_their_parameters_and_give_their_forest_up(
    database: Database, conn: psycopg.Connection, history: list[Daily]
) -> None:
    for size in range(400, 406):
        trained(database, day(history[size]))
    assert [(version, forest) for version, forest, _ in models(conn)] == [
        (1, False), (2, False), (3, True), (4, True), (5, True), (6, True),
    ]  # fmt: skip


def test_new_bars_are_flagged_by_the_newest_model_and_never_rejected(
    database: Database, conn: psycopg.Connection, history: list[Daily]
) -> None:
    trained(database)
    conn.execute("DELETE FROM fintrack.anomalies")
    new = history[-100:]
    spiked = replace(new[40], close=new[40].close * 2, high=new[40].high * 2)
    [item] = bars_run(conn, "IBM", [whole(new)])
    arrive(conn, item, [*new[:40], spiked, *new[41:]])
    assert measured(database, conn, item.run_id)["IBM"]["completeness"] == 1
    rows = conn.execute(
        "SELECT timestamp, version, detectors, run_id, detail FROM fintrack.anomalies WHERE run_id = %s", (item.run_id,)
    ).fetchall()
    [hit] = [row for row in rows if row[0] == day(spiked)]
    assert hit[1:4] == (1, ["robust", "forest"], item.run_id)
    assert hit[4]["values"]["return"] > 10
    assert all(row[0] >= day(new[0]) for row in rows)
    stored = conn.execute("SELECT close FROM fintrack.bars WHERE timestamp = %s", (day(spiked),)).fetchone()
    assert stored == (Decimal(repr(spiked.close)),)


def test_the_day_of_a_known_split_is_like_any_other(
    database: Database, conn: psycopg.Connection, history: list[Daily]
) -> None:
    """IBM's shares after a split of 8 for 1, raw: at an eighth of the price, eight times as many."""
    trained(database)
    new = history[-100:]
    after = [
        replace(each, volume=each.volume * 8, **{n: getattr(each, n) / 8 for n in ("open", "high", "low", "close")})
        for each in new[40:]
    ]
    for known in (False, True):
        [item] = bars_run(conn, "IBM", [whole(new)])
        if known:
            split = CorporateAction("split", new[40].day, day(new[40]), Decimal(8), Decimal(1))
            corporate_actions.add(conn, item.instrument_id, [split], "bundled", item.id, NOW)
        arrive(conn, item, [*new[:40], *after])
        measured(database, conn, item.run_id)
        flagged = [row[0] for row in conn.execute("SELECT timestamp FROM data_flags WHERE rule = 'anomaly'")]
        assert (day(new[40]) in flagged) is not known


def test_readers_see_measures_and_marks_by_symbol(
    database: Database, conn: psycopg.Connection, reader: psycopg.Connection, history: list[Daily]
) -> None:
    trained(database)
    new = history[-100:]
    [item] = bars_run(conn, "IBM", [whole(new)])
    odd = Finding("volume_anomaly", "flag", 3, "a volume of 1 where 2 is usual")
    flags.add(conn, item, batch(item, new), [odd], NOW)
    arrive(conn, item, [*new[:40], replace(new[40], close=new[40].close * 2, high=new[40].high * 2), *new[41:]])
    measured(database, conn, item.run_id)
    seen = reader.execute(
        "SELECT symbol, interval, rule, detail, source, item_id FROM fintrack.data_flags"
        " WHERE timestamp = ANY(%s) ORDER BY timestamp",
        ([day(new[3]), day(new[40])],),
    ).fetchall()
    measures = reader.execute(
        "SELECT metric, value FROM fintrack.data_quality WHERE symbol = 'IBM' AND run_id = %s", (item.run_id,)
    ).fetchall()
    assert seen[0] == ("IBM", "1d", "volume_anomaly", odd.detail, "bundled", item.id)
    assert seen[1][:3] == ("IBM", "1d", "anomaly")
    assert seen[1][3].startswith("robust, forest: score ")
    assert seen[1][4:] == ("bundled", item.id)
    assert dict(measures)["completeness"] == 1


def test_a_bar_that_was_corrected_loses_its_flag(
    database: Database, conn: psycopg.Connection, history: list[Daily]
) -> None:
    trained(database)
    new = history[-100:]
    for factor, flagged in ((2, True), (1, False)):
        [item] = bars_run(conn, "IBM", [whole(new)])
        changed = replace(new[40], close=new[40].close * factor, high=new[40].high * factor)
        arrive(conn, item, [*new[:40], changed, *new[41:]])
        measured(database, conn, item.run_id)
        row = conn.execute("SELECT count(*) FROM fintrack.anomalies WHERE timestamp = %s", (day(new[40]),)).fetchone()
        assert row == (int(flagged),)


def test_a_newer_models_verdict_takes_an_older_ones_place(
    database: Database, conn: psycopg.Connection, history: list[Daily]
) -> None:
    """The first model flags a wrong bar; the bar is corrected, and the second model finds nothing in it."""
    trained(database)
    new = history[-100:]
    where = "SELECT version FROM fintrack.anomalies WHERE timestamp = %s"
    for factor, versions in ((2, [(1,)]), (1, [])):
        [item] = bars_run(conn, "IBM", [whole(new)])
        changed = replace(new[40], close=new[40].close * factor, high=new[40].high * factor)
        arrive(conn, item, [*new[:40], changed, *new[41:]])
        measured(database, conn, item.run_id)
        assert conn.execute(where, (day(new[40]),)).fetchall() == versions
        trained(database, NOW + timedelta(days=factor))
    assert [version for version, *_ in models(conn)] == [1, 2, 3]
    seen = conn.execute("SELECT count(*) FROM data_flags WHERE timestamp = %s", (day(new[40]),)).fetchone()
    assert seen == (0,)
    old = conn.execute("SELECT min(version) FROM fintrack.anomalies WHERE timestamp < %s", (day(new[0]),)).fetchone()
    assert old == (1,)  # nothing was judged there again


def test_a_model_that_cannot_be_read_stops_no_measuring(
    database: Database, conn: psycopg.Connection, history: list[Daily]
) -> None:
    trained(database)
    conn.execute("UPDATE fintrack.anomaly_models SET model = model - 'centers'")
    [item] = bars_run(conn, "IBM", [whole(history[-100:])])
    arrive(conn, item, history[-100:])
    assert measured(database, conn, item.run_id)["IBM"]["completeness"] == 1


def test_instruments_with_too_few_bars_have_no_model(database: Database, conn: psycopg.Connection) -> None:
    days = real_daily()["FB"]
    [item] = bars_run(conn, "FB", [whole(days)])
    arrive(conn, item, days)
    instruments.add(conn, [Instrument("NONE", AssetClass.STOCK)])
    assert trained(database) == 2
    assert models(conn) == []
