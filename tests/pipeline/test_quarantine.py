"""Bad rows of a batch end in quarantine, each with its rule; a person lets one in with its lineage, or keeps it out."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import psycopg
import pytest

from benchmarks.injections import batch_of, real_histories, window_at
from fintrack_tasks import pipeline
from fintrack_tasks.domain import Batch, CorporateAction, Finding, Item, Kind, from_micros, to_micros
from fintrack_tasks.errors import UsageError
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.quarantine import Decision
from fintrack_tasks.store import Database, corporate_actions, quarantine, run_items
from tests.fixtures_stages import Stages
from tests.store.items import bars, make_run, quote

pytestmark = pytest.mark.integration

NOW = datetime(2024, 5, 6, 15, 0, tzinfo=UTC)
LATER = datetime(2024, 5, 7, 9, 0, tzinfo=UTC)


class Desk(Stages):
    """The stages, and what a person decides afterwards: at :data:`LATER`, unless a test says otherwise."""

    def item(self, symbol: str = "AAPL", kind: Kind = Kind.BARS) -> Item:
        with self.context.database.connection() as conn:
            _, [item] = make_run(conn, [symbol], kind)
        return replace(item, window=None)

    def release(self, number: int, actor: str = "ada", now: datetime | None = LATER) -> Decision:
        return super().release(number, actor, now)

    def discard(self, number: int, actor: str = "ada", now: datetime | None = LATER) -> Decision:
        return super().discard(number, actor, now)


@pytest.fixture
def desk(make_stages: Callable[..., Stages]) -> Desk:
    made = make_stages(NOW)
    return Desk(made.context, made.http, made.gate)


def thousand() -> tuple[Batch, Batch]:
    """The 61 bars before and 1,000 real bars of AAPL."""
    history = real_histories()["AAPL"]
    window = window_at(history, 400, 1400)
    return batch_of(history.instrument, window.before), batch_of(history.instrument, window.bars)


def spoiled(batch: Batch) -> tuple[Batch, dict[int, str]]:
    """Ten bad rows, and the rule that each breaks."""
    columns = {name: list(cells) for name, cells in batch.columns.items()}
    day = 86_400_000_000
    columns["close"][50] = "-" + columns["close"][50]
    columns["close"][150] = None
    columns["high"][250], columns["low"][250] = columns["low"][250], columns["high"][250]
    columns["timestamp"][350] += day // 24 * 5
    for name in columns.keys() - {"timestamp"}:
        columns[name][450] = columns[name][449]
    for name in ("open", "high", "low", "close", "adj_close"):
        columns[name][550] = str(Decimal(columns[name][550]) * 100)
    columns["timestamp"][650] = columns["timestamp"][649]
    weekday = next(row for row in range(750, 760) if from_micros(columns["timestamp"][row]).weekday() == 4)
    columns["timestamp"][weekday] += day
    columns["volume"][850] = "-5"
    columns["open"][950] = "abc"
    rules = {
        50: "value_ranges",
        150: "value_ranges",
        250: "ohlc",
        350: "shifted_zone",
        450: "stale_repeat",
        550: "unit_error",
        650: "duplicates",
        weekday: "outside_session",
        850: "value_ranges",
        950: "data_types",
    }
    return replace(batch, columns=columns), rules


def test_ten_bad_rows_of_a_thousand_are_quarantined_with_their_rules_and_one_is_released_with_its_lineage(
    desk: Desk, conn: psycopg.Connection
) -> None:
    before, real = thousand()
    assert desk.check_and_load(desk.item(), before).state == "loaded"
    batch, rules = spoiled(real)
    item = desk.item()
    assert desk.check_and_load(item, batch).state == "loaded"
    loaded = "SELECT count(*) FROM fintrack.bars WHERE item_id = %s"
    assert conn.execute(loaded, (item.id,)).fetchone() == (990,)
    held = desk.quarantined()
    assert {int(row.row_key.rsplit("|")[-1]): row.rules[0] for row in held} == rules
    assert all(row.item_id == item.id and len(row.rules) == 1 for row in held)

    [unit] = [row for row in held if row.rules == ["unit_error"]]
    assert desk.release(unit.id) == Decision(unit.id, "released", f"AAPL from bundled, item {item.id}")
    stamp = from_micros(batch.columns["timestamp"][550])
    [bar] = conn.execute(
        "SELECT close, source, item_id, is_final, valid_from FROM fintrack.bars WHERE timestamp = %s", (stamp,)
    ).fetchall()
    assert bar == (Decimal(batch.columns["close"][550]), "bundled", item.id, True, LATER)
    audit = conn.execute("SELECT actor, action, subject, detail, created_at FROM fintrack.audit_log").fetchall()
    assert [row[:3] for row in audit] == [("ada", "quarantine.release", f"quarantine:{unit.id}")]
    assert audit[0][3]["item_id"] == str(item.id)
    assert (audit[0][3]["source"], audit[0][3]["rules"]) == ("bundled", ["unit_error"])
    assert conn.execute(
        "SELECT rule, detail LIKE 'released by ada: close%%' FROM fintrack.flags WHERE timestamp = %s"
        " AND rule = 'unit_error'",
        (stamp,),
    ).fetchall() == [("unit_error", True)]
    [value] = conn.execute("SELECT value FROM fintrack.outbox ORDER BY id DESC LIMIT 1").fetchone() or [None]
    event = json.loads(value)
    assert (event["type"], event["item_id"], event["rows"]) == ("bars.loaded", str(item.id), 1)
    assert event["data"]["close"] == [batch.columns["close"][550]]
    decided = {row.id: (row.status, row.decided_by, row.decided_at) for row in desk.quarantined(None)}
    assert decided.pop(unit.id) == ("released", "ada", LATER)
    assert set(decided.values()) == {("held", None, None)}


def test_a_second_release_does_nothing(desk: Desk, conn: psycopg.Connection) -> None:
    number = rejected_bar(desk)
    assert desk.release(number).outcome == "released"
    assert desk.release(number, "bob") == Decision(number, "unchanged", "released by ada, 2024-05-07 09:00:00 UTC")
    assert desk.discard(number, "bob").outcome == "unchanged"
    counts = conn.execute(
        "SELECT (SELECT count(*) FROM fintrack.audit_log), (SELECT count(*) FROM fintrack.bar_versions),"
        " (SELECT count(*) FROM fintrack.outbox WHERE value LIKE '%bars.loaded%')"
    ).fetchone()
    assert counts == (1, 0, 2)


def test_of_many_releases_at_once_one_loads_the_row(desk: Desk, conn: psycopg.Connection) -> None:
    number = rejected_bar(desk)
    outcomes: list[str] = []
    threads = [threading.Thread(target=lambda: outcomes.append(desk.release(number).outcome)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["released", "unchanged", "unchanged", "unchanged"]
    assert conn.execute("SELECT count(*) FROM fintrack.audit_log").fetchone() == (1,)


def test_a_discarded_row_stays_discarded_also_when_it_comes_again(desk: Desk, conn: psycopg.Connection) -> None:
    number = rejected_bar(desk)
    assert desk.discard(number).outcome == "discarded"
    assert desk.release(number).outcome == "unchanged"
    assert rejected_bar(desk) == number
    assert [(row.id, row.status, row.decided_by) for row in desk.quarantined(None)] == [(number, "discarded", "ada")]
    assert desk.release(number).outcome == "unchanged"
    assert conn.execute("SELECT action FROM fintrack.audit_log").fetchall() == [("quarantine.discard",)]


def test_what_cannot_be_stored_is_refused_with_the_reason(desk: Desk, conn: psycopg.Connection) -> None:
    item = desk.item()
    _, real = thousand()
    batch = real.take(range(3))
    desk.check_and_load(item, batch.with_columns(close=[batch.columns["close"][0], "-1", batch.columns["close"][2]]))
    [row] = desk.quarantined()
    assert desk.release(row.id) == Decision(
        row.id, "refused", "cannot be stored: value_ranges: close is not above zero: -1"
    )
    assert [each.status for each in desk.quarantined(None)] == ["held"]
    assert conn.execute("SELECT count(*) FROM fintrack.bars").fetchone() == (2,)


def test_a_zero_that_is_no_price_is_null_in_a_released_row_too(desk: Desk, conn: psycopg.Connection) -> None:
    """Its close above its high holds the row; its open of zero is unknown."""
    item = desk.item("JNJ")
    batch = bars(item, ["10"]).with_columns(open=["0"], high=["9"], low=["8"])
    desk.check_and_load(item, batch)
    [row] = [row for row in desk.quarantined() if "ohlc" in row.rules]
    assert desk.release(row.id).outcome == "released"
    stored = conn.execute("SELECT open, high, close FROM historical_market_data").fetchall()
    assert stored == [(None, Decimal(9), Decimal(10))]


def test_a_price_below_zero_that_was_held_once_is_released_where_its_class_may_have_it(
    desk: Desk, conn: psycopg.Connection
) -> None:
    """Before futures were a class of their own, CL=F at -37.63 broke a rule that it does not break today."""
    for symbol in ("CL=F", "AAPL"):
        item = desk.item(symbol)
        batch = bars(item, ["-37.63"]).with_columns(open=["17.73"], high=["17.85"], low=["-40.32"])
        findings = [Finding("value_ranges", "reject", 0, "close is not above zero: -37.63")]
        quarantine.add(conn, item, batch, findings, NOW)
    outcomes = {row.symbol: desk.release(row.id).outcome for row in desk.quarantined()}
    assert outcomes == {"CL=F": "released", "AAPL": "refused"}
    assert conn.execute("SELECT close FROM historical_market_data").fetchall() == [(Decimal("-37.63"),)]


def test_a_number_that_is_not_there_is_said(desk: Desk) -> None:
    for act in (desk.release, desk.discard):
        with pytest.raises(UsageError, match="fintrack quarantine list"):
            act(7)


def test_a_released_bar_is_in_whole_units_and_replaces_the_one_that_stood(desk: Desk, conn: psycopg.Connection) -> None:
    """A duplicate in pence with another close: the person says that the second was right."""
    _, real = thousand()
    batch = real.take([0, 1, 1, 2])
    close = list(batch.columns["close"])
    close[2] = batch.columns["open"][2]
    batch = replace(batch.with_columns(close=close), currency="GBp")
    desk.check_and_load(desk.item(), batch)
    [row] = desk.quarantined()
    assert row.rules == ["duplicates"]
    assert desk.release(row.id).outcome == "released"
    stamp = from_micros(batch.columns["timestamp"][2])
    now = conn.execute("SELECT close, currency FROM fintrack.bars WHERE timestamp = %s", (stamp,)).fetchone()
    assert now == (Decimal(close[2]) / 100, "GBP")
    was = conn.execute("SELECT close FROM fintrack.bar_versions WHERE timestamp = %s", (stamp,)).fetchall()
    assert was == [(Decimal(close[1]) / 100,)]


def test_a_quote_whose_item_failed_is_loaded_when_it_is_released(desk: Desk, conn: psycopg.Connection) -> None:
    item = desk.item("BTC-USD", Kind.QUOTE)
    batch = quote(item, "10000", volume=None, previous_close="100")
    assert desk.check_and_load(item, batch) == pipeline.Ended("failed", "rejected")
    [row] = desk.quarantined()
    assert desk.release(row.id).outcome == "released"
    assert conn.execute("SELECT symbol, price, item_id FROM market_data").fetchall() == [
        ("BTC-USD", Decimal(10000), item.id)
    ]
    assert conn.execute("SELECT state FROM fintrack.run_items").fetchone() == ("failed",)


def test_a_flagged_row_is_loaded_and_found_by_its_rule(desk: Desk, conn: psycopg.Connection) -> None:
    """AAPL on 2000-09-29 fell by half: nobody rejects that, and nobody overlooks it."""
    history = real_histories()["AAPL"]
    [place] = np.flatnonzero(history.bars["close"] == 25.75)[:1]
    window = window_at(history, int(place), int(place) + 5)
    desk.check_and_load(desk.item(), batch_of(history.instrument, window.before))
    item = desk.item()
    for _ in range(2):
        desk.check_and_load(item, batch_of(history.instrument, window.bars))
    marked = conn.execute(
        "SELECT timestamp, rule, source FROM fintrack.flags WHERE item_id = %s ORDER BY rule", (item.id,)
    ).fetchall()
    day = datetime(2000, 9, 29, tzinfo=UTC)
    assert marked == [(day, rule, "bundled") for rule in ("missed_split", "price_jump", "volume_anomaly")]
    assert desk.quarantined() == []
    assert conn.execute("SELECT close FROM fintrack.bars WHERE timestamp = %s", (day,)).fetchone() == (
        Decimal("25.75"),
    )


def test_a_mark_goes_when_the_newest_verdict_on_its_bar_has_no_such_finding(
    desk: Desk, conn: psycopg.Connection
) -> None:
    """AAPL's fall of 2000-09-29, then the same days with a corrected close: a batch without any finding."""
    history = real_histories()["AAPL"]
    [place] = np.flatnonzero(history.bars["close"] == 25.75)[:1]
    window = window_at(history, int(place), int(place) + 1)
    desk.check_and_load(desk.item(), batch_of(history.instrument, window.before))
    count = "SELECT count(*) FROM fintrack.flags WHERE rule = 'price_jump' AND interval = '1d'"
    fallen = batch_of(history.instrument, window.bars)
    marked = desk.item()
    desk.check_and_load(marked, fallen)
    assert conn.execute(count).fetchone() == (1,)
    before = batch_of(history.instrument, window.before)
    corrected = fallen.with_columns(
        **{name: [before.columns[name][-1]] for name in ("open", "high", "low", "close", "adj_close")},
        volume=[before.columns["volume"][-2]],
    )
    again = desk.item()
    assert desk.check_and_load(again, corrected).state == "loaded"
    assert conn.execute(
        "SELECT count(*) FROM fintrack.flags WHERE timestamp >= %s", (from_micros(fallen.columns["timestamp"][0]),)
    ).fetchone() == (0,)


def test_marks_of_a_release_stay_as_long_as_the_row_is_rejected_again(desk: Desk, conn: psycopg.Connection) -> None:
    number = rejected_bar(desk)
    assert desk.release(number).outcome == "released"
    desk.check_and_load(desk.item(), bad_batch())
    marks = conn.execute(
        "SELECT rule, detail LIKE 'released by ada: %%' FROM fintrack.flags WHERE rule <> 'price_jump'"
    )
    assert marks.fetchall() == [("shifted_zone", True)]


def test_marks_lie_on_their_own_rows_where_others_of_the_batch_are_rejected(
    desk: Desk, conn: psycopg.Connection
) -> None:
    item = desk.item()
    _, real = thousand()
    volumes = list(real.columns["volume"])
    volumes[500] = str(float(volumes[500]) * 1000)
    stamp = from_micros(real.columns["timestamp"][500])
    batch, _ = spoiled(real.with_columns(volume=volumes))
    desk.check_and_load(item, batch)
    where = "SELECT count(*) FROM fintrack.flags WHERE timestamp = %s AND rule = 'volume_anomaly'"
    assert conn.execute(where, (stamp,)).fetchone() == (1,)


def test_a_repeated_message_of_an_ended_item_changes_no_mark(desk: Desk, conn: psycopg.Connection) -> None:
    """Whoever can write to the broker can repeat a true message; a later item's verdict stays."""
    first, batch = desk.item(), thousand()[1]
    volumes = list(batch.columns["volume"])
    volumes[500] = str(float(volumes[500]) * 1000)
    desk.check_and_load(first, batch.with_columns(volume=volumes))
    marks = "SELECT count(*) FROM fintrack.flags WHERE timestamp = %s AND rule = 'volume_anomaly'"
    stamp = (from_micros(batch.columns["timestamp"][500]),)
    assert conn.execute(marks, stamp).fetchone() == (1,)
    desk.check_and_load(desk.item(), batch)
    assert conn.execute(marks, stamp).fetchone() == (0,)
    assert desk.check_and_load(first, batch.with_columns(volume=volumes)) == pipeline.Ended("stale")
    assert conn.execute(marks, stamp).fetchone() == (0,)


def test_a_clean_quote_asks_the_database_for_nothing(desk: Desk) -> None:
    item = desk.item("BTC-USD", Kind.QUOTE)
    batch = quote(item, "100", previous_close="100", volume="1", at=NOW)
    closed: Any = None  # no database at all
    assert pipeline.validate_item(item, batch, context=StageContext(closed, desk.context.settings, NOW)) is batch


def test_a_redelivered_batch_keeps_what_a_person_decided(desk: Desk, database: Database) -> None:
    item = desk.item()
    batch = bad_batch()
    desk.check_and_load(item, batch)
    [row] = desk.quarantined()
    desk.discard(row.id)
    desk.check_and_load(item, batch)
    assert [(each.id, each.status) for each in desk.quarantined(None)] == [(row.id, "discarded")]
    with database.connection() as conn:
        assert run_items.find_item(conn, item.id) is not None


def test_a_released_row_comes_again_as_released_and_is_not_quarantined(desk: Desk, conn: psycopg.Connection) -> None:
    number = rejected_bar(desk)
    assert desk.release(number).outcome == "released"
    item = desk.item()
    desk.check_and_load(item, bad_batch())
    assert [(row.id, row.status, row.item_id) for row in desk.quarantined(None)] == [(number, "released", item.id)]
    counts = conn.execute(
        "SELECT rows_loaded, rows_quarantined FROM fintrack.run_items WHERE id = %s", (item.id,)
    ).fetchone()
    assert counts == (2, 0)


def test_a_row_is_released_for_the_item_that_brought_it_last(desk: Desk, conn: psycopg.Connection) -> None:
    number = rejected_bar(desk)
    item = desk.item()
    desk.check_and_load(item, bad_batch())
    assert desk.release(number) == Decision(number, "released", f"AAPL from bundled, item {item.id}")
    stamp = from_micros(bad_batch().columns["timestamp"][1])
    bar = conn.execute("SELECT item_id FROM fintrack.bars WHERE timestamp = %s", (stamp,)).fetchone()
    assert bar == (item.id,)


def test_a_released_bar_is_restated_for_the_splits_that_its_neighbours_are(
    desk: Desk, conn: psycopg.Connection
) -> None:
    """NVDA's split of 10 for 1, fetched after it from a provider that restates: no factor is left for any bar."""
    came = datetime(2024, 6, 20, 22, 0, tzinfo=UTC)
    item = desk.item("NVDA")
    split = [to_micros(datetime(2024, 6, 10, 13, 30, tzinfo=UTC)), "10", "1"]
    meta = {"adjusted_to": "2024-06-20", "zone": "America/New_York", "splits": [split]}
    batch = replace(broken(bars(item, ["116.4", "122.4", "121"], datetime(2024, 6, 4, tzinfo=UTC)), 1), meta=meta)
    assert desk.check_and_load(item, batch, came).state == "loaded"
    [row] = desk.quarantined()
    assert row.rules == ["ohlc"]
    assert desk.release(row.id, now=came + timedelta(days=1)).outcome == "released"
    assert conn.execute(
        "SELECT timestamp, split_factor FROM fintrack.historical_market_data_adjusted ORDER BY timestamp"
    ).fetchall() == [(datetime(2024, 6, day, tzinfo=UTC), 1) for day in (4, 5, 6)]


def test_a_bar_that_was_provisional_when_it_came_is_released_as_that(desk: Desk, conn: psycopg.Connection) -> None:
    """Fetched at 11:00 in New York, released the next morning: nobody knows the day's close by it."""
    item = desk.item()
    desk.check_and_load(item, broken(bars(item, ["182"], NOW), 0))
    [row] = desk.quarantined()
    assert (row.rules, row.seen_at) == (["ohlc"], NOW)
    assert desk.release(row.id).outcome == "released"
    assert conn.execute("SELECT close, is_final FROM fintrack.bars").fetchall() == [(182, False)]


def test_a_final_bar_that_came_later_stands_and_the_release_is_refused(desk: Desk, conn: psycopg.Connection) -> None:
    early, late = desk.item(), desk.item()
    desk.check_and_load(early, broken(bars(early, ["182"], NOW), 0))
    assert desk.check_and_load(late, bars(late, ["181.71"], NOW), LATER - timedelta(hours=7)).state == "loaded"
    [row] = desk.quarantined()
    assert desk.release(row.id) == Decision(
        row.id, "refused", "provisional at 2024-05-06 15:00:00 UTC; a final bar that came later stands"
    )
    assert [each.id for each in desk.quarantined()] == [row.id]
    assert conn.execute("SELECT close, is_final, item_id FROM fintrack.bars").fetchall() == [
        (Decimal("181.71"), True, late.id)
    ]
    told = conn.execute(
        "SELECT (SELECT count(*) FROM fintrack.outbox WHERE value LIKE '%bars.loaded%'),"
        " (SELECT count(*) FROM fintrack.audit_log), (SELECT count(*) FROM fintrack.flags WHERE rule = 'ohlc')"
    ).fetchone()
    assert told == (1, 0, 0)
    assert desk.discard(row.id).outcome == "discarded"


def test_a_released_quote_of_a_currency_pair_is_an_exchange_rate(desk: Desk, conn: psycopg.Connection) -> None:
    """A hundred times its previous close: in doubt a wrong unit, and right when a person says so."""
    item = desk.item("EURUSD=X", Kind.QUOTE)
    desk.check_and_load(item, quote(item, "108.5", volume=None, previous_close="1.085"))
    [row] = desk.quarantined()
    assert row.rules == ["unit_error"]
    rates = "SELECT base, quote, timestamp, rate, source, item_id FROM fintrack.fx_rates"
    assert conn.execute(rates).fetchall() == []
    assert desk.release(row.id).outcome == "released"
    assert conn.execute(rates).fetchall() == [("EUR", "USD", NOW, Decimal("108.5"), "coinbase", item.id)]


def split_of(desk: Desk, numerator: str) -> tuple[Item, Batch]:
    """A day of a provider that tells a split beside it; its one bar is broken."""
    item = desk.item("NVDA")
    batch = broken(bars(item, ["122.4"], datetime(2024, 5, 3, tzinfo=UTC), "alpha_vantage"), 0)
    return item, replace(batch, meta={"splits": [[batch.columns["timestamp"][0], numerator, "1"]]})


SPLITS = "SELECT ex_date, numerator / denominator, source, item_id FROM fintrack.corporate_actions"


def test_a_split_told_beside_a_released_row_is_known(desk: Desk, conn: psycopg.Connection) -> None:
    item, batch = split_of(desk, "10")
    assert desk.check_and_load(item, batch) == pipeline.Ended("failed", "rejected")
    conn.execute("DELETE FROM fintrack.corporate_actions")  # held before rejected batches told theirs
    [row] = desk.quarantined()
    assert desk.release(row.id).outcome == "released"
    assert conn.execute(SPLITS).fetchall() == [(datetime(2024, 5, 3, tzinfo=UTC).date(), 10, "alpha_vantage", item.id)]


def test_what_its_source_corrected_since_is_not_undone_by_a_release(desk: Desk, conn: psycopg.Connection) -> None:
    item, batch = split_of(desk, "100")
    desk.check_and_load(item, batch)
    [row] = desk.quarantined()
    day = from_micros(batch.columns["timestamp"][0])
    right = CorporateAction("split", day.date(), day, Decimal(10), Decimal(1))
    corporate_actions.add(conn, item.instrument_id, [right], "alpha_vantage", item.id, NOW + timedelta(hours=1))
    assert desk.release(row.id).outcome == "released"
    assert conn.execute(SPLITS).fetchall() == [(day.date(), 10, "alpha_vantage", item.id)]


@pytest.mark.parametrize("stamp", [10**18, -(10**18), None])
def test_a_row_without_a_possible_time_is_refused_in_one_line(
    desk: Desk, conn: psycopg.Connection, stamp: int | None
) -> None:
    item = desk.item()
    batch = bars(item, ["180", "182"])
    desk.check_and_load(item, batch.with_columns(timestamp=[batch.columns["timestamp"][0], stamp]))
    [row] = desk.quarantined()
    decision = desk.release(row.id)
    assert decision.outcome == "refused"
    assert decision.detail.startswith(("cannot be stored: timestamps: ", "cannot be stored: data_types: "))
    assert "\n" not in decision.detail
    assert [each.status for each in desk.quarantined(None)] == ["held"]
    assert conn.execute("SELECT count(*) FROM fintrack.bars").fetchone() == (1,)


def test_an_unlikely_time_is_released_when_a_person_says_so(desk: Desk, conn: psycopg.Connection) -> None:
    item = desk.item()
    desk.check_and_load(item, bars(item, ["45"], datetime(1896, 5, 26, tzinfo=UTC)))
    [row] = desk.quarantined()
    assert "timestamps" in row.rules
    assert desk.release(row.id).outcome == "released"
    assert conn.execute("SELECT timestamp, close FROM fintrack.bars").fetchall() == [
        (datetime(1896, 5, 26, tzinfo=UTC), 45)
    ]


def broken(batch: Batch, row: int) -> Batch:
    """The batch with a row whose low lies above its high."""
    low = list(batch.columns["low"])
    low[row] = str(Decimal(low[row]) + 1)
    return batch.with_columns(low=low)


def bad_batch() -> Batch:
    """Three bars whose second is stamped with another zone's midnight."""
    _, real = thousand()
    batch = real.take(range(3))
    stamps = list(batch.columns["timestamp"])
    stamps[1] += 4 * 3_600_000_000
    return batch.with_columns(timestamp=stamps)


def rejected_bar(desk: Desk) -> int:
    desk.check_and_load(desk.item(), bad_batch())
    return desk.quarantined(None)[-1].id
