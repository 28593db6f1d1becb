"""Exchange rates in the database: written once, read as of a moment, by Python and by SQL alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.domain import FxRate, Instrument, to_micros
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.sandbox.prices import fx_rates
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database, instruments
from fintrack_tasks.store import fx_rates as fx
from fintrack_tasks.store.quotes import load_quote
from fintrack_tasks.transform import clean_batch
from fintrack_tasks.transform.currency import BASES, MAX_AGE, convert
from tests.store.items import DAY, NOW, event, make_run, quote

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)


def rate(base: str, quoted: str, value: str, at: datetime = NOW, source: str = "ecb") -> FxRate:
    return FxRate(base, quoted, at, Decimal(value), source)


def test_rates_written_twice_are_there_once_and_a_corrected_one_replaces(conn: psycopg.Connection) -> None:
    rates = [rate("EUR", "USD", "1.0811"), rate("EUR", "GBP", "0.85510"), rate("EUR", "GBP", "0.85510")]
    assert fx.add(conn, rates, NOW, payload_sha=b"one") == 2
    assert fx.add(conn, rates, NOW + HOUR, payload_sha=b"two") == 0
    assert fx.add(conn, [rate("EUR", "USD", "1.0812")], NOW + HOUR, payload_sha=b"two") == 1
    found = conn.execute(
        "SELECT quote, rate, received_at, payload_sha FROM fintrack.fx_rates ORDER BY quote"
    ).fetchall()
    assert [(row[0], str(row[1]), row[2], bytes(row[3])) for row in found] == [
        ("GBP", "0.85510", NOW, b"one"), ("USD", "1.0812", NOW + HOUR, b"two")
    ]  # fmt: skip


def test_the_newest_rate_of_a_source_is_that_of_its_own_files(conn: psycopg.Connection) -> None:
    assert fx.newest(conn, "ecb") is None
    fx.add(conn, [rate("EUR", "USD", "1.1", NOW + HOUR)], NOW)  # a quote of one pair
    assert fx.newest(conn, "ecb") is None
    fx.add(conn, [rate("EUR", "GBP", "0.9")], NOW, payload_sha=b"file")
    assert fx.newest(conn, "ecb") == NOW


def test_one_query_reads_each_pair_as_of_a_moment(conn: psycopg.Connection) -> None:
    old, new, later = NOW - 2 * HOUR, NOW - HOUR, NOW + HOUR
    told = [("EUR", "USD", "1.1", old), ("EUR", "USD", "1.2", new), ("EUR", "USD", "1.3", later),
            ("GBP", "USD", "1.25", old), ("EUR", "JPY", "160", NOW - 7 * DAY), ("EUR", "SEK", "11", new)]  # fmt: skip
    fx.add(conn, [rate(*each) for each in told], NOW)
    found = fx.as_of(conn, ["GBP", "USD", "EUR", "JPY"], NOW, MAX_AGE)
    assert sorted((r.base, r.quote, r.rate) for r in found) == [
        ("EUR", "USD", Decimal("1.2")), ("GBP", "USD", Decimal("1.25"))
    ]  # fmt: skip
    before = fx.as_of(conn, ["EUR", "USD"], new - HOUR / 2, MAX_AGE)
    assert [r.rate for r in before] == [Decimal("1.1")]


MOMENTS = [datetime(2024, 4, day, hour, tzinfo=UTC) for day, hour in ((2, 13), (2, 15), (5, 12), (12, 12))]


@pytest.mark.parametrize(
    "pair", ["USD/USD", "EUR/USD", "USD/EUR", "GBP/USD", "USD/JPY", "JPY/GBP", "SEK/USD", "XXX/USD"]
)
def test_sql_and_python_convert_alike_over_the_ecbs_rates(conn: psycopg.Connection, pair: str) -> None:
    """The real rates of March and April 2024, and live ones of two pairs; also before and after all of them."""
    told = [
        rate("EUR", code, str(value), datetime(day.year, day.month, day.day, 14, tzinfo=UTC))
        for code in ("USD", "GBP", "JPY", "SEK")
        for day, value in fx_rates()[code].items()
        if (2024, 3, 20) <= (day.year, day.month, day.day) <= (2024, 4, 4)
    ]
    live = [rate("GBP", "USD", "1.2611", MOMENTS[2] - HOUR, "yahoo_finance"),
            rate("USD", "JPY", "151.62", MOMENTS[2] - 2 * HOUR, "yahoo_finance")]  # fmt: skip
    fx.add(conn, [*told, *live], NOW)
    given, wanted = pair.split("/")
    for at in (*MOMENTS, datetime(2024, 3, 1, tzinfo=UTC)):
        rates = fx.as_of(conn, [given, wanted, *BASES], at, MAX_AGE)
        python = convert(Decimal(1), given, wanted, at, rates)
        row = conn.execute("SELECT rate, as_of, source, path FROM fintrack.fx_as_of(%s, %s, %s)", (given, wanted, at))
        sql = row.fetchone()
        if python.rate is None:
            assert sql is None
            continue
        assert sql is not None
        assert sql[0] == pytest.approx(python.rate, rel=Decimal("1e-15"))
        assert sql[1:3] == (python.as_of, python.source)
        assert given == wanted or sql[3] == " * ".join(map(str, python.legs))


def test_the_view_of_quotes_in_dollars_names_the_rate_or_the_lack_of_one(conn: psycopg.Connection) -> None:
    fx.add(conn, [rate("EUR", "USD", "1.08", NOW - HOUR), rate("EUR", "GBP", "0.80", NOW - HOUR)], NOW)
    fx.add(conn, [rate("EUR", "USD", "9", NOW + HOUR)], NOW)
    for symbol, price, currency in (("OCDO.L", "1259.5", "GBp"), ("AAPL", "100", "USD"), ("7203.T", "3000", "JPY")):
        _, [item] = make_run(conn, [symbol])
        batch = quote(item, price)
        cleaned = clean_batch(type(batch)(batch.kind, symbol, "x", batch.columns, currency))
        assert load_quote(conn, item, cleaned, event(item), NOW)
    found = {
        row[0]: row[1:]
        for row in conn.execute(
            "SELECT symbol, price, currency, price_usd, usd_rate_as_of, usd_rate_path, finding"
            " FROM market_data_converted"
        )
    }
    assert found["OCDO.L"][:2] == (Decimal("12.595"), "GBP")
    assert found["OCDO.L"][2] == Decimal("17.00325")  # 12.595 x 1.08 / 0.80
    assert found["OCDO.L"][3:] == (NOW - HOUR, "1/(EUR/GBP) * EUR/USD", None)
    assert found["AAPL"] == (Decimal(100), "USD", Decimal(100), None, "USD", None)
    assert found["7203.T"] == (Decimal(3000), "JPY", None, None, None, "no_rate")
    converted = "SELECT fintrack.convert_amount(10, 'EUR', 'USD', %s, %s)"
    assert conn.execute(converted, (NOW, "6 days")).fetchone() == (Decimal("10.80"),)
    assert conn.execute(converted, (NOW, "1 minute")).fetchone() == (None,)


@pytest.mark.parametrize("view", ["market_data_converted", "exchange_rates", "historical_market_data_converted"])
def test_a_reader_may_read_what_is_converted(conn: psycopg.Connection, reader: psycopg.Connection, view: str) -> None:
    fx.add(conn, [rate("EUR", "USD", "1.08")], NOW)
    _, [item] = make_run(conn, ["SAP.DE"])
    load_quote(conn, item, clean_batch(_in_euro(quote(item))), event(item), NOW)
    assert reader.execute(f"SELECT * FROM fintrack.{view}").fetchall() or view.startswith("historical")  # type: ignore[arg-type]
    assert reader.execute("SELECT finding FROM fintrack.market_data_converted").fetchone() == (None,)


def _in_euro(batch: Any) -> Any:
    return type(batch)(batch.kind, batch.symbol, "x", batch.columns, "EUR")


def test_a_pairs_quote_that_is_loaded_is_a_rate_of_its_own_item(
    database: Database, database_settings: Settings, conn: psycopg.Connection
) -> None:
    _, [pair, stock] = make_run(conn, ["EURUSD=X", "AAPL"])
    for item, price in ((pair, "1.0811"), (stock, "180")):
        batch = clean_batch(quote(item, price))
        for _ in range(2):
            pipeline.load_item(item, batch, context=StageContext(database, database_settings, NOW))
    assert conn.execute("SELECT base, quote, timestamp, rate, source, item_id FROM fintrack.fx_rates").fetchall() == [
        ("EUR", "USD", NOW, Decimal("1.0811"), "coinbase", pair.id)
    ]
    known = instruments.find(conn, Instrument.of("EUR/USD"))
    assert known is not None
    assert known[0] == pair.instrument_id
    assert to_micros(NOW) > 0
