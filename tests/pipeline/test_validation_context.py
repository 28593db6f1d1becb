"""What the checks are told: stored bars in the batch's unit, the calendar, splits as bars are stamped."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import psycopg
import pytest

from fintrack_tasks.domain import AssetClass, Batch, CorporateAction, Instrument, Interval, Item, Kind, to_micros, uuid7
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.validation_context import gather
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database, corporate_actions
from fintrack_tasks.store.bars import load_bars
from fintrack_tasks.validate import Limits, check_batch
from tests.store.items import DAY, NOW, bars, event, make_run, quote

SETTINGS = Settings.from_mapping({})

pytestmark = pytest.mark.integration
LIMITS = Limits()


def stored(conn: psycopg.Connection, closes: list[str], first: datetime, currency: str, source: str) -> Item:
    _, [item] = make_run(conn, ["VOD.L"], Kind.BARS)
    batch = replace(bars(item, closes, first, source), currency=currency)
    assert load_bars(conn, item, batch, event(item), NOW, [True] * len(closes))
    return item


def test_bars_are_told_of_those_before_them_and_of_other_providers(
    conn: psycopg.Connection, database: Database
) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    stored(conn, [f"{n + 1}" for n in range(70)], start, "GBP", "a")
    item = stored(conn, ["71", "72"], start + 70 * DAY, "GBP", "b")
    batch = replace(bars(item, ["7100", "7200", "7300"], start + 70 * DAY, "a"), currency="GBp")
    context = gather(item, batch, context=StageContext(database, SETTINGS, NOW), limits=LIMITS)
    assert context.prior_bars is not None
    assert context.prior_bars.close.tolist() == [100.0 * n for n in range(10, 71)]  # in pence, as the batch has them
    assert context.prior_bars.timestamp[-1] == to_micros(start + 69 * DAY)
    assert context.prior_bars.volume.tolist() == [100.0] * 61
    assert context.other_provider_bars is not None
    assert (context.other_provider_bars.close.tolist(), context.other_provider_bars.source) == (
        [7100.0, 7200.0],
        ("b", "b"),
    )
    assert context.sessions is not None
    assert context.sessions.dates[-1] > to_micros(NOW)
    same = gather(item, replace(batch, source="b"), context=StageContext(database, SETTINGS, NOW), limits=LIMITS)
    assert same.other_provider_bars is not None
    assert len(same.other_provider_bars.timestamp) == 0


def test_bars_in_another_currency_are_not_compared(conn: psycopg.Connection, database: Database) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    item = stored(conn, ["1", "2"], start, "EUR", "a")
    batch = replace(bars(item, ["7100"], start + 2 * DAY), currency="USD")
    context = gather(item, batch, context=StageContext(database, SETTINGS, NOW), limits=LIMITS)
    assert context.prior_bars is not None
    assert len(context.prior_bars.close) == 0


def test_splits_apply_from_the_session_that_they_open(conn: psycopg.Connection, database: Database) -> None:
    """Sydney's session of the 15th of January opens on the 14th at 23:00 UTC."""
    opens, later = datetime(2024, 1, 14, 23, 0, tzinfo=UTC), datetime(2024, 1, 15, 23, 0, tzinfo=UTC)
    told = {"zone": "Australia/Sydney", "splits": [[to_micros(opens), "2", "1"], [to_micros(later), "1", "0"]]}
    _, [item] = make_run(conn, ["BHP.AX"], Kind.BARS)
    batch = replace(bars(item, ["1"]), meta=told)
    context = gather(item, batch, context=StageContext(database, SETTINGS, NOW), limits=LIMITS)
    assert context.splits == ((to_micros(datetime(2024, 1, 15, tzinfo=UTC)), 2.0),)
    hourly = gather(
        replace(item, interval=Interval.H1), batch, context=StageContext(database, SETTINGS, NOW), limits=LIMITS
    )
    assert hourly.splits == ((to_micros(opens), 2.0),)
    assert (
        gather(item, replace(batch, meta={}), context=StageContext(database, SETTINGS, NOW), limits=LIMITS).splits == ()
    )


def split_known(conn: psycopg.Connection, item: Item, day: date, ratio: int) -> None:
    opens = datetime.combine(day, time(14, 30), UTC)
    split = CorporateAction("split", day, opens, Decimal(ratio), Decimal(1))
    assert corporate_actions.add(conn, item.instrument_id, [split], "a", item.id, NOW) == []


def test_a_stored_split_is_known_to_bars_of_a_provider_that_tells_none(
    conn: psycopg.Connection, database: Database
) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    item = stored(conn, ["400"] * 30, start, "USD", "a")
    split_known(conn, item, date(2024, 1, 31), 4)
    batch = bars(item, ["100", "100"], start + 30 * DAY, "b")
    context = gather(item, batch, context=StageContext(database, SETTINGS, NOW), limits=LIMITS)
    assert context.splits == ((to_micros(start + 30 * DAY), 4.0),)
    assert context.prior_bars is not None
    assert set(context.prior_bars.close) == {400.0}  # as they were traded, like the batch's own
    rules = {found.rule for found in check_batch(batch, NOW, LIMITS, context)}
    assert not rules & {"missed_split", "price_jump"}


@pytest.mark.parametrize(
    ("stored_to", "batch_to", "close", "volume"),
    [
        (None, None, 400.0, 100.0),
        (None, "2024-02-20", 100.0, 400.0),
        ("2024-02-20", None, 1600.0, 25.0),
        ("2024-02-20", "2024-02-20", 400.0, 100.0),
        ("2024-02-09", "2024-02-20", 100.0, 400.0),
        ("2024-02-09", "2024-02-09", 400.0, 100.0),
    ],
)
def test_stored_bars_are_restated_as_the_batch_is(
    conn: psycopg.Connection,
    database: Database,
    stored_to: str | None,
    batch_to: str | None,
    close: float,
    volume: float,
) -> None:
    """A split of 4 for 1 on the 10th of February, after all of the bars."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    _, [item] = make_run(conn, ["VOD.L"], Kind.BARS)
    known = replace(bars(item, ["400"] * 30, start, "a"), meta={"adjusted_to": stored_to} if stored_to else {})
    assert load_bars(conn, item, known, event(item), NOW, [True] * 30)
    split_known(conn, item, date(2024, 2, 10), 4)
    batch = replace(bars(item, ["1", "1"], start + 29 * DAY, "b"), meta={"adjusted_to": batch_to} if batch_to else {})
    context = gather(item, batch, context=StageContext(database, SETTINGS, NOW), limits=LIMITS)
    assert context.prior_bars is not None
    assert context.other_provider_bars is not None
    assert (set(context.prior_bars.close), set(context.prior_bars.volume)) == ({close}, {volume})
    assert context.other_provider_bars.close.tolist() == [close]


def test_a_split_that_the_batch_is_restated_for_excuses_no_move(conn: psycopg.Connection, database: Database) -> None:
    """Prices fall by half on the ex-date of 2 for 1, in a batch from which the split is taken out already."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    item = stored(conn, ["400"] * 30, start, "USD", "a")
    split_known(conn, item, date(2024, 1, 31), 2)
    batch = replace(bars(item, ["100", "100"], start + 30 * DAY, "b"), meta={"adjusted_to": "2024-02-20"})
    context = gather(item, batch, context=StageContext(database, SETTINGS, NOW), limits=LIMITS)
    assert context.splits == ()
    assert "missed_split" in {found.rule for found in check_batch(batch, NOW, LIMITS, context)}


def test_a_fresh_quote_costs_no_query_and_no_calendar() -> None:
    nowhere = Database(Settings.from_mapping({"DB_HOST": "127.0.0.1", "DB_PORT": "1"}))
    item = Item(uuid7(0.0), uuid7(0.0), Kind.QUOTE, Instrument.of("AAPL"), 1)
    fresh, old = quote(item, at=NOW - timedelta(minutes=59)), quote(item, at=NOW - timedelta(minutes=61))
    assert gather(item, fresh, context=StageContext(nowhere, SETTINGS, NOW), limits=LIMITS).sessions is None
    context = gather(item, old, context=StageContext(nowhere, SETTINGS, NOW), limits=LIMITS)
    assert context.asset_class is AssetClass.STOCK
    assert context.sessions is not None
    lost = replace(item, instrument=replace(item.instrument, calendar="no such"))
    assert gather(lost, old, context=StageContext(nowhere, SETTINGS, NOW), limits=LIMITS).sessions is None


def test_stamps_that_are_no_times_ask_for_nothing() -> None:
    nowhere = Database(Settings.from_mapping({"DB_HOST": "127.0.0.1", "DB_PORT": "1"}))
    _, item = uuid7(0.0), Item(uuid7(0.0), uuid7(0.0), Kind.BARS, Instrument.of("AAPL"), 1)
    batch = Batch(Kind.BARS, "AAPL", "x", {"timestamp": [None, "today", 10**30]})
    assert gather(item, batch, context=StageContext(nowhere, SETTINGS, NOW), limits=LIMITS).prior_bars is None
