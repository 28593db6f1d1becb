"""The stages over a real database, a real broker and the local market, without Celery."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import pytest
import requests
import talib

from fintrack_tasks import pipeline
from fintrack_tasks.domain import Batch, Interval, Item, Kind, from_micros, to_micros
from fintrack_tasks.errors import UsageError
from fintrack_tasks.fetch.http.client import HttpClient
from fintrack_tasks.fetch.quota.gate import Gate
from fintrack_tasks.pipeline.after_failure import PAUSE_BROKEN, RETRIES
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.plan import plan_run
from fintrack_tasks.pipeline.run_arguments import check_arguments
from fintrack_tasks.pipeline.save_quote import save_quote
from fintrack_tasks.publish.kafka import read_all
from fintrack_tasks.publish.producer import Producer
from fintrack_tasks.queries import runs
from fintrack_tasks.sandbox import Running, running
from fintrack_tasks.sandbox.prices import real_daily
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database, ledger, outbox
from fintrack_tasks.transform import INDICATORS
from fintrack_tasks.transform.indicators import Prices, indicators

pytestmark = pytest.mark.integration

NOW = datetime(2026, 6, 17, 16, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def market() -> Iterator[Running]:
    with running(seed=7, clock=lambda: NOW) as sandbox:
        yield sandbox


@pytest.fixture
def http(market: Running) -> Iterator[HttpClient]:
    client = HttpClient(market.provider_base_urls, timeout=5.0)
    yield client
    client.close()
    requests.delete(f"{market.url}/_control/faults", timeout=5)


class Stages:
    """The stages with what they need, for one run."""

    def __init__(self, database: Database, settings: Settings, http: HttpClient, gate: Gate) -> None:
        self.database, self.settings, self.http, self.gate = database, settings, http, gate

    def plan(self, job: str, symbols: list[str], now: datetime = NOW, **named: Any) -> tuple[UUID, list[Item]]:
        arguments = check_arguments(job, symbols, now=now, **named)
        with self.database.connection() as conn:
            made = plan_run(conn, arguments, self.settings, now)
            pipeline.record_run(conn, made, self.settings, now)
        return made.run_id, list(made.items)

    def fetch(self, item: Item, provider: str = "yahoo_finance", retries: int = 0, now: datetime = NOW) -> Any:
        return pipeline.fetch_item(
            item,
            provider,
            context=StageContext(self.database, self.settings, now),
            retries=retries,
            http=self.http,
            gate=self.gate,
        )

    def validate(self, item: Item, batch: Batch, now: datetime = NOW) -> Any:
        return pipeline.validate_item(item, batch, context=StageContext(self.database, self.settings, now))

    def load(self, item: Item, batch: Batch) -> pipeline.Ended:
        good = pipeline.transform_item(item, batch, context=StageContext(self.database, self.settings, NOW))
        return pipeline.load_item(item, good, context=StageContext(self.database, self.settings, NOW))

    def through(self, item: Item) -> pipeline.Ended:
        batch = self.fetch(item)
        assert isinstance(batch, Batch), batch
        return self.load(item, self.validate(item, batch))

    def item(self, run: UUID) -> dict[str, Any]:
        with self.database.connection() as conn:
            [row] = runs.items_of_run(conn, run)
        return row


@pytest.fixture
def stages(database: Database, database_settings: Settings, http: HttpClient, gate: Gate) -> Stages:
    return Stages(database, database_settings, http, gate)


def fault(market: Running, kind: str, **more: object) -> None:
    answer = requests.post(f"{market.url}/_control/faults", json={"kind": kind, **more}, timeout=5)
    assert answer.status_code == 200


@pytest.mark.parametrize("symbol", ["AAPL", "^VIX", "EURUSD=X", "BTC-USD"])
def test_a_quote_goes_through_all_stages(stages: Stages, conn: psycopg.Connection, symbol: str) -> None:
    run, [item] = stages.plan("fetch_market_data", [symbol])
    assert stages.through(item) == pipeline.Ended("loaded")
    row = conn.execute("SELECT symbol, timestamp, source, price > 0 FROM market_data").fetchone()
    assert row == (symbol, NOW, "yahoo_finance", True)
    assert stages.item(run)["payload"] is not None
    assert stages.load(item, Batch(Kind.QUOTE, symbol, "x", {"timestamp": [0], "price": ["1"]})).state == "stale"


@pytest.mark.parametrize(
    ("kind", "more", "reason"),
    [
        ("html", {}, "malformed"),
        ("malformed", {}, "malformed"),
        ("cut", {}, "transient"),
        ("status", {"status": 500}, "transient"),
        pytest.param("timeout", {}, "transient", marks=pytest.mark.soak),
    ],
)
def test_a_broken_answer_is_a_named_attempt_and_in_the_end_a_named_failure(
    stages: Stages, market: Running, conn: psycopg.Connection, kind: str, more: dict[str, object], reason: str
) -> None:
    run, [item] = stages.plan("fetch_market_data", ["AAPL"])
    fault(market, kind, **more)
    first = stages.fetch(item)
    assert isinstance(first, pipeline.Retry)
    assert (first.provider, first.retries) == ("yahoo_finance", 1)
    assert stages.item(run)["state"] == "queued"
    assert stages.item(run)["attempts"] == 1
    tries = 1 if reason == "malformed" else RETRIES
    assert stages.fetch(item, retries=tries) == pipeline.Ended("failed", reason)
    row = stages.item(run)
    assert (row["state"], row["reason"]) == ("failed", reason)
    assert row["attempt_log"][0]["reason"] == reason
    if kind != "timeout":  # what came is kept, also of a body that was cut
        assert conn.execute("SELECT count(*) FROM fintrack.payloads").fetchone() == (1,)
    assert conn.execute("SELECT reason FROM fintrack.dead_letters").fetchall() == [(reason,)]


@pytest.mark.parametrize(("said", "wait"), [(None, 60), (7, 7)])
def test_a_quota_that_is_used_up_is_waited_for_by_the_fleet_and_not_for_ever(
    stages: Stages, market: Running, said: int | None, wait: int
) -> None:
    """Without a Retry-After for one window; nobody asks meanwhile, and a quote that is overdue by then is given up."""
    run, [first] = stages.plan("fetch_market_data", ["AAPL"])
    _, [second] = stages.plan("fetch_market_data", ["MSFT"])
    fault(market, "storm429", **({} if said is None else {"retry_after": said}))
    assert stages.fetch(first) == pipeline.Retry("yahoo_finance", wait, 0)
    requests.delete(f"{market.url}/_control/requests", timeout=5)
    held = stages.fetch(second)
    assert isinstance(held, pipeline.Retry)
    assert wait - 5 < held.countdown <= wait
    assert requests.get(f"{market.url}/_control/requests", timeout=5).json()["total"] == 0
    assert stages.fetch(first, now=NOW + timedelta(minutes=5)) == pipeline.Ended("failed", "quota")
    assert [each["reason"] for each in stages.item(run)["attempt_log"]] == ["quota", "quota"]


def test_history_waits_for_tomorrow_in_the_ledger(stages: Stages, market: Running) -> None:
    """A wait longer than the broker may hold a message is the ledger's: reconcile enqueues the item in time."""
    run, [item] = stages.plan("fetch_historical_market_data", ["AAPL"], start="2012-01-03", end="2012-02-01")
    fault(market, "storm429", retry_after=20_000)
    ended = stages.fetch(item)
    assert (ended.state, ended.reason) == ("deferred", "quota")
    assert ended.until == NOW + timedelta(seconds=20_000)
    assert stages.item(run)["state"] == "queued"
    for hours, expected in ((5, 0), (6, 1)):
        now = NOW + timedelta(hours=hours)
        assert len(pipeline.reconcile_items(context=StageContext(stages.database, stages.settings, now))) == expected


def test_a_quote_of_nulls_is_an_answer_without_a_price(stages: Stages, market: Running) -> None:
    run, [item] = stages.plan("fetch_market_data", ["AAPL"])
    fault(market, "nulls")
    assert stages.fetch(item) == pipeline.Retry("yahoo_finance", PAUSE_BROKEN, 1)
    assert stages.fetch(item, retries=1) == pipeline.Ended("empty", "no_price")
    assert all(each["payload"] for each in stages.item(run)["attempt_log"])


def test_an_item_goes_on_to_the_next_provider_of_its_route(stages: Stages, market: Running) -> None:
    run, [item] = stages.plan("fetch_market_data", ["ETH-USD"])
    fault(market, "html", provider="coinbase")
    assert stages.fetch(item, "coinbase") == pipeline.Retry("coinbase", PAUSE_BROKEN, 1)
    assert stages.fetch(item, "coinbase", retries=1) == pipeline.Retry("yahoo_finance", 0.0, 0)
    assert stages.through(item) == pipeline.Ended("loaded")
    row = stages.item(run)
    assert (row["provider"], row["attempts"]) == ("yahoo_finance", 3)
    assert row["attempt_log"][0]["provider"] == "coinbase"


def test_an_unknown_symbol_ends_after_every_provider_was_asked(stages: Stages) -> None:
    run, [item] = stages.plan("fetch_market_data", ["UNKNOWN-USD"])
    assert stages.fetch(item, "coinbase") == pipeline.Retry("yahoo_finance", 0.0, 0)
    assert stages.fetch(item) == pipeline.Ended("failed", "unknown_symbol")
    assert stages.item(run)["reason"] == "unknown_symbol"


def test_a_kept_answer_is_interpreted_without_asking_again(stages: Stages, market: Running) -> None:
    _, [item] = stages.plan("fetch_market_data", ["MSFT"])
    before = stages.fetch(item)
    requests.delete(f"{market.url}/_control/requests", timeout=5)
    later = NOW + timedelta(days=1)
    [again] = pipeline.reconcile_items(context=StageContext(stages.database, stages.settings, later))
    assert stages.fetch(item) == pipeline.Ended("stale")  # the older message
    assert stages.fetch(again) == before
    assert requests.get(f"{market.url}/_control/requests", timeout=5).json()["total"] == 0


def test_an_item_that_never_ends_is_given_up_with_a_reason(stages: Stages) -> None:
    run, _ = stages.plan("fetch_market_data", ["MSFT"])
    now = NOW
    for _ in range(ledger.MOST_LOSSES + 1):
        now += timedelta(days=30)
        pipeline.reconcile_items(context=StageContext(stages.database, stages.settings, now))
    row = stages.item(run)
    assert (row["state"], row["reason"]) == ("failed", "lost")


def test_bad_rows_are_quarantined_and_the_rest_is_loaded(stages: Stages, conn: psycopg.Connection) -> None:
    run, [item] = stages.plan("fetch_historical_market_data", ["AAPL"], start="2009-06-01", end="2013-02-28")
    batch = stages.fetch(item)
    close = list(batch.columns["close"])
    bad = range(5, 900, 100)
    for position in bad:
        close[position] = "-1"
    good = stages.validate(item, batch.with_columns(close=close))
    assert len(good) == len(batch) - len(bad)
    assert stages.load(item, good) == pipeline.Ended("loaded")
    assert conn.execute("SELECT count(DISTINCT row_key), min(rule) FROM fintrack.quarantine").fetchone() == (
        9,
        "value_ranges",
    )
    row = stages.item(run)
    assert (row["rows_loaded"], row["rows_quarantined"]) == (len(batch) - 9, 9)


def test_an_item_whose_rows_are_all_rejected_fails_with_that_reason(stages: Stages) -> None:
    run, [item] = stages.plan("fetch_market_data", ["AAPL"])
    batch = stages.fetch(item)
    assert stages.validate(item, batch.with_columns(price=["-5"])) == pipeline.Ended("failed", "rejected")
    assert "value_ranges" in stages.item(run)["detail"]


def test_a_split_and_a_dividend_told_beside_rows_that_are_all_rejected_are_known(
    stages: Stages, conn: psycopg.Connection
) -> None:
    run, [item] = stages.plan("fetch_historical_market_data", ["AAPL"], start="2012-01-03", end="2012-01-04")
    day = datetime(2012, 1, 3, tzinfo=UTC)
    columns = {"open": "100", "high": "90", "low": "110", "close": "100", "volume": "5", "timestamp": to_micros(day)}
    meta = {"splits": [[to_micros(day), "4", "1"]], "dividends": [[to_micros(day), "50"]]}
    cells = {name: [cell] for name, cell in columns.items()}
    batch = Batch(Kind.BARS, "AAPL", "alpha_vantage", cells, "GBp", Interval.D1, meta)
    for ended in (pipeline.Ended("failed", "rejected"), pipeline.Ended("stale")):
        assert stages.validate(item, batch) == ended
    assert stages.item(run)["rows_quarantined"] == 1
    assert conn.execute(
        "SELECT kind, ex_date, numerator / denominator, amount, currency, source FROM fintrack.corporate_actions"
        " ORDER BY kind"
    ).fetchall() == [
        ("dividend", day.date(), None, Decimal("0.50"), "GBP", "alpha_vantage"),
        ("split", day.date(), 4, None, None, "alpha_vantage"),
    ]


def test_what_a_provider_leaves_out_is_not_asked_for_again(stages: Stages, conn: psycopg.Connection) -> None:
    _, [item] = stages.plan("fetch_historical_market_data", ["AAPL"], start="2013-02-25", end="2013-03-09")
    assert stages.through(item) == pipeline.Ended("loaded")  # the bundled prices end on 2013-03-01
    spans = conn.execute("SELECT min(window_start), max(window_end) FROM fintrack.coverage WHERE state = 'unavailable'")
    assert spans.fetchone() == (datetime(2013, 3, 4, tzinfo=UTC), datetime(2013, 3, 9, tzinfo=UTC))
    assert stages.plan("fetch_historical_market_data", ["AAPL"], start="2013-02-25", end="2013-03-09")[1] == []


def test_an_index_gets_indicators_that_continue_from_the_stored_bars(stages: Stages, conn: psycopg.Connection) -> None:
    for start, end in (("2016-01-04", "2017-01-01"), ("2017-01-01", "2017-02-01")):
        _, [item] = stages.plan("fetch_market_index_data", ["^GSPC"], start=start, end=end)
        assert stages.through(item) == pipeline.Ended("loaded")
    rows = conn.execute("SELECT timestamp, close, sma_20, sma_50 FROM market_index_data ORDER BY timestamp").fetchall()
    assert all(row[2] is not None and row[3] is not None for row in rows[49:])
    for position, (_, _, short, long) in list(enumerate(rows))[49:]:
        for mean, length in ((short, 20), (long, 50)):
            plain = sum(row[1] for row in rows[position - length + 1 : position + 1]) / length
            assert abs(mean - plain) < Decimal("1e-8") * plain


def test_a_stored_part_has_the_indicators_of_the_whole_history(stages: Stages, conn: psycopg.Connection) -> None:
    """Loaded year by year with what is stored before, against TA-Lib's and ours over the bundled closes."""
    for year in range(2014, 2018):
        for symbol in ("^GSPC", "^IXIC"):
            made = stages.plan("fetch_market_index_data", [symbol], start=f"{year}-01-01", end=f"{year + 1}-01-01")
            assert stages.through(made[1][0]) == pipeline.Ended("loaded")
    index, own = (
        {day.day: day for day in real_daily()[symbol] if 2014 <= day.day.year < 2018} for symbol in ("^GSPC", "^IXIC")
    )
    columns = {
        name: np.array([float(getattr(day, name)) for day in own.values()])
        for name in ("close", "open", "high", "low", "volume")
    }
    whole = indicators(Prices(**columns, benchmark=np.array([day.close for day in index.values()])))
    np.testing.assert_array_equal(whole["ema_26"], talib.EMA(columns["close"], 26))
    rows = conn.execute(
        "SELECT timestamp, bars_seen, x.* FROM fintrack.index_indicators x JOIN fintrack.instruments i"
        " ON i.id = x.instrument_id AND i.symbol = '^IXIC' ORDER BY timestamp"
    )
    names = [column.name for column in rows.description or ()]
    found = dict(zip(names, zip(*rows, strict=True), strict=True))
    assert [moment.date() for moment in found["timestamp"]] == list(own)
    assert found["bars_seen"][-1] == len(own)
    for name in INDICATORS:
        stored = np.array([np.nan if cell is None else float(cell) for cell in found[name]])
        np.testing.assert_allclose(stored, whole[name], rtol=1e-9, err_msg=name)


def test_hourly_bars_of_an_index_are_fetched_once_and_continue_each_other_when_they_came_out_of_order(
    stages: Stages, conn: psycopg.Connection
) -> None:
    # The bundled days of ^GSPC end in 2018; an index that is not bundled trades on.
    _, items = stages.plan("fetch_market_index_data", ["^RUT"], intervals=["1h"])
    assert len(items) == 4  # 720 days of seven bars a session
    for item in reversed(items):
        assert stages.through(item) == pipeline.Ended("loaded")
    began = conn.execute("SELECT count(*), min(timestamp), count(vwap) FROM market_index_data").fetchone()
    assert began is not None
    assert began[0] > 3_000
    assert began[1] >= NOW - timedelta(days=721)
    assert began[2] > 3_000
    again = stages.plan("fetch_market_index_data", ["^RUT"], intervals=["1h"])[1]
    # About a session, and the three before it, which may have been corrected.
    assert [(item.window.end - item.window.start) < timedelta(days=8) for item in again if item.window] == [True]
    closes = conn.execute("SELECT close, sma_200, ema_26, volume FROM market_index_data ORDER BY timestamp").fetchall()
    series = np.array([float(close) for close, *_ in closes])
    for column, expected in ((1, talib.SMA(series, 200)), (2, talib.EMA(series, 26))):
        stored = np.array([np.nan if row[column] is None else float(row[column]) for row in closes])
        np.testing.assert_allclose(stored, expected, rtol=1e-9)


def test_publish_closes_the_run_and_brings_every_event_to_kafka_once(
    stages: Stages, stack: dict[str, str], conn: psycopg.Connection
) -> None:
    run, items = stages.plan("fetch_market_data", ["AAPL", "MSFT", "UNKNOWN1"])
    for item in items[:2]:
        stages.through(item)
    stages.fetch(items[2])
    producer = Producer(stack["KAFKA_BOOTSTRAP_SERVERS"])
    for expected in (4, 0):  # two loaded, one failed, one finished run; a second drain finds nothing
        sent = pipeline.publish_events(context=StageContext(stages.database, stages.settings, NOW), producer=producer)
        assert sent == expected
    producer.close()
    assert outbox.lag(conn) == 0
    simulated = "SELECT count(*) FROM fintrack.outbox WHERE (value::jsonb->>'simulated')::boolean"
    assert conn.execute(simulated).fetchone() == (4,), "every event of the local market's prices says what they are"
    bootstrap = stack["KAFKA_BOOTSTRAP_SERVERS"]
    loaded = [e for e in read_all(bootstrap, "market-data") if e["run_id"] == str(run)]
    assert sorted(e["symbol"] for e in loaded) == ["AAPL", "MSFT"]
    told = {e["type"]: e for e in read_all(bootstrap, "notifications") if e["run_id"] == str(run)}
    assert told["item.failed"]["reason"] == "unknown_symbol"
    assert told["run.finished"]["counts"] == {"items": 3, "loaded": 2, "empty": 0, "failed": 1, "quarantined_rows": 0}
    summary = ledger.run_summary(conn, run)
    assert summary is not None
    assert summary.state == "partial"


def test_a_plan_for_all_registered_instruments_follows_their_classes(stages: Stages, conn: psycopg.Connection) -> None:
    from fintrack_tasks.domain import Instrument
    from fintrack_tasks.store import instruments

    instruments.add(conn, [Instrument.of(symbol) for symbol in ("AAPL", "^GSPC", "^VIX", "BTC-USD")])
    stages.plan("fetch_market_data", ["ADHOC"])  # known from now on, but not registered
    for job, named, expected in (
        ("fetch_market_data", {}, {"AAPL", "^GSPC", "^VIX", "BTC-USD"}),
        ("fetch_market_data", {"asset_class": "crypto"}, {"BTC-USD"}),
        ("fetch_market_index_data", {"end": "2018-06-01"}, {"^GSPC", "^VIX"}),
    ):
        made = plan_run(conn, check_arguments(job, now=NOW, **named), stages.settings, NOW)  # type: ignore[arg-type]
        assert {item.instrument.symbol for item in made.items} == expected


def test_a_quote_of_ones_own_is_checked_and_stored(database_settings: Settings, conn: psycopg.Connection) -> None:
    at = datetime(2024, 5, 6, 15, 0, tzinfo=UTC)
    good = {"symbol": "AAPL", "price": 182.5, "volume": 10, "timestamp": at, "currency": "USD", "source": "mine"}
    save_quote(good, settings=database_settings, now=NOW)
    assert conn.execute("SELECT symbol, price, source, timestamp FROM market_data").fetchall() == [
        ("AAPL", Decimal("182.5"), "mine", at)
    ]
    for wrong in (
        {"price": -1},
        {"price": float("nan")},
        {"price": None},
        {"timestamp": "today"},
        {"symbol": "no symbol"},
    ):
        with pytest.raises(UsageError):
            save_quote({**good, **wrong}, settings=database_settings, now=NOW)
    with pytest.raises(UsageError):
        save_quote({"symbol": "AAPL"}, settings=database_settings, now=NOW)


def test_windows_end_where_the_history_of_interest_does(stages: Stages) -> None:
    _, items = stages.plan(
        "fetch_historical_market_data", ["AAPL"], start="2025-01-01", end="2026-01-01", intervals=["1d", "1h"]
    )
    assert {str(item.interval) for item in items} == {"1d", "1h"}
    for item in items:
        assert item.window is not None
        assert item.window.start >= datetime(2025, 1, 1, tzinfo=UTC)
        assert item.window.end <= from_micros(0).replace(year=2026) + timedelta(days=1)
    with pytest.raises(UsageError, match="nothing lies between"):
        stages.plan("fetch_historical_market_data", ["AAPL"], start=NOW.isoformat())
