"""Splits and dividends: each once, raw bars as they came, factors by hand and by the real adjusted closes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.domain import Batch, FxRate, Instrument, Interval, Item, Kind, TimeRange, to_micros
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.queries.corporate_actions import factors_after
from fintrack_tasks.sandbox.prices import real_daily_bars, real_splits
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database, fx_rates
from fintrack_tasks.transform import clean_batch
from tests.store.items import NOW, make_run

pytestmark = pytest.mark.integration

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "provider-samples" / "yahoo"
PRICES = ("open", "high", "low", "close")
NEW_YORK = {"zone": "America/New_York"}


def opens(text: str) -> int:
    """09:30 in New York in winter; near enough in summer for an ex-date."""
    return to_micros(datetime.fromisoformat(text).replace(hour=14, minute=30, tzinfo=UTC))


class Store:
    """Loads batches of daily bars through the pipeline's own load."""

    def __init__(self, database: Database, settings: Settings, conn: psycopg.Connection) -> None:
        self.database, self.settings, self.conn = database, settings, conn

    def load(self, batch: Batch, symbol: str = "AAPL", now: datetime = NOW) -> Item:
        _, [item] = make_run(self.conn, [symbol], Kind.BARS, days=9000)
        item = replace(item, interval=batch.interval)
        done = pipeline.load_item(item, clean_batch(batch), context=StageContext(self.database, self.settings, now))
        assert done.state == "loaded"
        return item

    def adjusted(self, columns: str, symbol: str = "AAPL") -> dict[str, tuple[Any, ...]]:
        rows = self.conn.execute(
            f"SELECT timestamp, {columns} FROM historical_market_data_adjusted WHERE symbol = %s"  # type: ignore[arg-type]
            " ORDER BY timestamp",
            (symbol,),
        )
        return {row[0].date().isoformat(): row[1:] for row in rows}


@pytest.fixture
def store(database: Database, database_settings: Settings, conn: psycopg.Connection) -> Store:
    return Store(database, database_settings, conn)


def bars(
    closes: dict[str, str], *, source: str = "yahoo_finance", volume: str = "100", currency: str = "USD", **meta: Any
) -> Batch:
    columns: dict[str, Sequence[Any]] = {name: list(closes.values()) for name in PRICES}
    stamps = [to_micros(datetime.fromisoformat(day).replace(tzinfo=UTC)) for day in closes]
    made = {"timestamp": stamps, **columns, "volume": [volume] * len(closes)}
    return Batch(Kind.BARS, "AAPL", source, made, currency, Interval.D1, NEW_YORK | meta)


WEEK = {"2005-02-24": "88.93", "2005-02-25": "88.99", "2005-02-28": "44.86", "2005-03-01": "44.50"}
SPLIT = [[opens("2005-02-28"), "2", "1"]]


def test_a_split_halves_what_lies_before_it_and_doubles_its_volume_and_raw_bars_stay_raw(store: Store) -> None:
    store.load(bars(WEEK, splits=SPLIT))
    assert store.adjusted("close, split_factor, split_close, split_volume, total_close") == {
        "2005-02-24": (Decimal("88.93"), Decimal("0.5"), Decimal("44.465"), Decimal(200), Decimal("44.465")),
        "2005-02-25": (Decimal("88.99"), Decimal("0.5"), Decimal("44.495"), Decimal(200), Decimal("44.495")),
        "2005-02-28": (Decimal("44.86"), Decimal(1), Decimal("44.86"), Decimal(100), Decimal("44.86")),
        "2005-03-01": (Decimal("44.50"), Decimal(1), Decimal("44.5"), Decimal(100), Decimal("44.5")),
    }
    raw = store.conn.execute("SELECT close FROM historical_market_data ORDER BY timestamp").fetchall()
    assert [str(close) for (close,) in raw] == list(WEEK.values())


def test_an_action_that_is_told_again_by_anyone_is_applied_once(store: Store) -> None:
    first = store.load(bars(WEEK, splits=SPLIT))
    store.load(bars(WEEK, splits=SPLIT))
    store.load(bars(WEEK, splits=SPLIT, source="twelve_data"))
    known = store.conn.execute("SELECT kind, ex_date, source, item_id, first_seen FROM fintrack.corporate_actions")
    assert known.fetchall() == [("split", date(2005, 2, 28), "yahoo_finance", first.id, NOW)]
    assert store.adjusted("split_factor")["2005-02-25"] == (Decimal("0.5"),)
    assert store.conn.execute("SELECT count(*) FROM fintrack.alerts").fetchone() == (0,)


def test_a_source_may_correct_itself_and_of_two_sources_the_first_stands_with_an_alert(store: Store) -> None:
    store.load(bars(WEEK, splits=[[opens("2005-02-28"), "3", "1"]]))
    store.load(bars(WEEK, splits=SPLIT), now=NOW + timedelta(hours=1))
    assert store.adjusted("split_factor")["2005-02-25"] == (Decimal("0.5"),)
    store.load(bars(WEEK, splits=[[opens("2005-02-28"), "7", "1"]], source="twelve_data"))
    assert store.adjusted("split_factor")["2005-02-25"] == (Decimal("0.5"),)
    assert store.conn.execute("SELECT rule, subject, detail FROM fintrack.alerts").fetchall() == [
        (
            "split_contradicted",
            "AAPL",
            "the split of 2005-02-28: yahoo_finance tells 2:1, twelve_data 7:1; the first stands",
        )
    ]


def test_an_item_that_is_loaded_twice_brings_its_actions_once(store: Store) -> None:
    item = store.load(bars(WEEK, splits=SPLIT))
    again = clean_batch(bars(WEEK, splits=[[opens("2005-02-28"), "9", "1"]]))
    ended = pipeline.load_item(item, again, context=StageContext(store.database, store.settings, NOW))
    assert ended.state == "stale"
    assert store.conn.execute("SELECT numerator FROM fintrack.corporate_actions").fetchall() == [(Decimal(2),)]


def test_the_real_splits_of_apple_join_its_unadjusted_closes_as_the_adjusted_ones_do(store: Store) -> None:
    """13 years of unadjusted bundled bars; no dividend was paid from 2000 to 2011.

    The bundled adjusted closes also count later splits and dividends: against the split-adjusted ones they are one
    constant until the next dividend, to their three percent.
    """
    days = sorted(real_daily_bars()["AAPL"].items())
    splits = [[opens(day.isoformat()), str(ratio), "1"] for day, ratio in real_splits("AAPL")]
    assert [row[0] for row in real_splits("AAPL")] == [date(2000, 6, 21), date(2005, 2, 28)]
    for begin in range(0, len(days), 1000):
        part = days[begin : begin + 1000]
        columns = {
            name: [str(fields[name]) for _, fields in part] for name in ("open", "high", "low", "close", "volume")
        }
        stamps = [to_micros(datetime(day.year, day.month, day.day, tzinfo=UTC)) for day, _ in part]
        batch = Batch(Kind.BARS, "AAPL", "x", {"timestamp": stamps, **columns}, "USD", Interval.D1, NEW_YORK)
        store.load(replace(batch, meta=NEW_YORK | {"splits": splits}))
    found = store.adjusted("split_factor, split_close, dividend_factor")
    assert len(found) == len(days)
    assert {day: found[day][0] for day in ("2000-06-20", "2000-06-21", "2005-02-25", "2005-02-28", "2013-03-01")} == {
        "2000-06-20": Decimal("0.25"), "2000-06-21": Decimal("0.5"), "2005-02-25": Decimal("0.5"),
        "2005-02-28": Decimal(1), "2013-03-01": Decimal(1),
    }  # fmt: skip
    assert found["2000-06-20"][1] == Decimal("25.3125")  # 101.25 / 4
    assert {row[2] for row in found.values()} == {Decimal(1)}
    ratios = [fields["adj_close"] / found[day.isoformat()][1] for day, fields in days if day < date(2012, 8, 9)]
    assert max(ratios) / min(ratios) < Decimal("1.001")
    returns = [found[day.isoformat()][1] for day, _ in days]
    assert max(abs(b / a - 1) for a, b in pairwise(returns)) < Decimal("0.55")


def test_dividends_by_hand_apart_from_splits_and_together_with_them(store: Store) -> None:
    """Factor of a dividend: 1 - 0.50 / 40 = 0.9875, and 1 - 1 / 50 = 0.98 before it."""
    closes = {"2024-01-02": "100", "2024-01-03": "50", "2024-01-04": "48", "2024-01-05": "40", "2024-01-08": "39"}
    told = {
        "splits": [[opens("2024-01-03"), "2", "1"]],
        "dividends": [[opens("2024-01-04"), "1"], [opens("2024-01-08"), "0.50"]],
    }
    store.load(bars(closes, **told))
    assert store.adjusted("split_factor, dividend_factor, split_close, total_close") == {
        "2024-01-02": (Decimal("0.5"), Decimal("0.96775"), Decimal(50), Decimal("48.3875")),
        "2024-01-03": (Decimal(1), Decimal("0.96775"), Decimal(50), Decimal("48.3875")),
        "2024-01-04": (Decimal(1), Decimal("0.9875"), Decimal(48), Decimal("47.4")),
        "2024-01-05": (Decimal(1), Decimal("0.9875"), Decimal(40), Decimal("39.5")),
        "2024-01-08": (Decimal(1), Decimal(1), Decimal(39), Decimal(39)),
    }
    factors = store.conn.execute(
        "SELECT ex_date, kind, split_factor, dividend_factor, previous_session, previous_close"
        " FROM corporate_action_factors WHERE symbol = 'AAPL' ORDER BY ex_date"
    ).fetchall()
    assert factors == [
        (date(2024, 1, 3), "split", Decimal("0.5"), Decimal(1), None, None),
        (date(2024, 1, 4), "dividend", Decimal(1), Decimal("0.98"), date(2024, 1, 3), Decimal(50)),
        (date(2024, 1, 8), "dividend", Decimal(1), Decimal("0.9875"), date(2024, 1, 5), Decimal(40)),
    ]


def test_a_dividend_on_the_day_of_a_split_is_of_the_new_shares(store: Store) -> None:
    """100 before a split of 2:1 is 50 of the new shares, which pay 1: 1 - 1 / 50."""
    store.load(
        bars(
            {"2024-01-02": "100", "2024-01-03": "49"},
            splits=[[opens("2024-01-03"), "2", "1"]], dividends=[[opens("2024-01-03"), "1"]],
        )
    )  # fmt: skip
    assert store.adjusted("split_close, dividend_factor, total_close")["2024-01-02"] == (
        Decimal(50), Decimal("0.98"), Decimal(49)
    )  # fmt: skip


def test_prices_that_their_provider_restated_for_a_split_are_not_divided_again(store: Store) -> None:
    """Bars of after the split come restated; those that were fetched before it do not."""
    store.load(bars({"2024-01-02": "100", "2024-01-03": "104"}, adjusted_to="2024-01-04"))
    store.load(
        bars(
            {"2024-01-04": "53", "2024-01-05": "54"}, adjusted_to="2024-01-08", splits=[[opens("2024-01-05"), "2", "1"]]
        )
    )
    assert store.adjusted("close, split_factor, split_close") == {
        "2024-01-02": (Decimal(100), Decimal("0.5"), Decimal(50)),
        "2024-01-03": (Decimal(104), Decimal("0.5"), Decimal(52)),
        "2024-01-04": (Decimal(53), Decimal(1), Decimal(53)),
        "2024-01-05": (Decimal(54), Decimal(1), Decimal(54)),
    }
    # The earlier ones are fetched again: what they were stays in the revisions, with up to when it was restated.
    store.load(bars({"2024-01-02": "50", "2024-01-03": "52"}, adjusted_to="2024-01-09"), now=NOW + timedelta(hours=1))
    assert [row[1] for row in store.adjusted("close, split_close").values()] == [Decimal(n) for n in (50, 52, 53, 54)]
    assert store.conn.execute("SELECT close, adjusted_to FROM fintrack.bar_versions ORDER BY timestamp").fetchall() == [
        (Decimal(100), date(2024, 1, 4)), (Decimal(104), date(2024, 1, 4))
    ]  # fmt: skip


def test_a_dividend_that_was_told_before_a_split_keeps_its_factor(store: Store) -> None:
    """1 of 50 is two hundredths, whether the close is restated later or not."""
    store.load(
        bars({"2024-01-02": "50", "2024-01-03": "49"}, dividends=[[opens("2024-01-03"), "1"]], adjusted_to="2024-01-03")
    )
    before = store.adjusted("dividend_factor")["2024-01-02"]
    store.load(bars({"2024-01-04": "24"}, splits=[[opens("2024-01-04"), "2", "1"]], adjusted_to="2024-01-04"))
    assert store.adjusted("dividend_factor")["2024-01-02"] == before == (Decimal("0.98"),)
    store.load(bars({"2024-01-02": "25"}, adjusted_to="2024-01-05"))
    assert store.adjusted("dividend_factor, split_factor, total_close")["2024-01-02"] == (
        Decimal("0.98"), Decimal(1), Decimal("24.5")
    )  # fmt: skip


def test_without_the_close_before_it_a_dividend_has_no_factor_and_nothing_is_guessed(store: Store) -> None:
    told = [[opens("2024-02-01"), "1"]]
    store.load(bars({"2024-01-02": "50", "2024-02-01": "49"}, dividends=told))
    assert store.adjusted("split_close, dividend_factor, total_close") == {
        "2024-01-02": (Decimal(50), None, None),
        "2024-02-01": (Decimal(49), Decimal(1), Decimal(49)),
    }


def test_a_dividend_in_pence_is_compared_with_the_close_in_pounds(store: Store) -> None:
    told = [[opens("2024-01-03"), "25"]]
    store.load(bars({"2024-01-02": "1250", "2024-01-03": "1225"}, currency="GBp", dividends=told))
    assert store.adjusted("close, currency, dividend_factor")["2024-01-02"] == (Decimal("12.5"), "GBP", Decimal("0.98"))


def test_a_dividend_in_another_currency_is_converted_at_the_rate_of_its_ex_date(
    store: Store, reader: psycopg.Connection
) -> None:
    """yfinance#2270, by hand: 0.25 dollars at 0.8 pounds are 20 pence of a close of 1250: 1 - 20 / 1250 = 0.984."""
    told = [[opens("2024-01-03"), "0.25", "USD"]]
    store.load(bars({"2024-01-02": "1250", "2024-01-03": "1225"}, currency="GBp", dividends=told))
    assert store.adjusted("dividend_factor, total_close")["2024-01-02"] == (None, None)  # no rate: nothing is guessed
    rates = [(datetime(2024, 1, 2, tzinfo=UTC), "0.8"), (datetime(2024, 1, 5, tzinfo=UTC), "0.5")]
    fx_rates.add(store.conn, [FxRate("USD", "GBP", day, Decimal(rate), "ecb") for day, rate in rates], NOW)
    assert store.adjusted("dividend_factor, total_close")["2024-01-02"] == (Decimal("0.984"), Decimal("12.3"))
    paid = store.conn.execute("SELECT amount, currency FROM corporate_action_factors").fetchall()
    assert paid == [(Decimal("0.25"), "USD")]
    # Whoever may read the view may have it converted.
    read = reader.execute("SELECT dividend_factor FROM historical_market_data_adjusted ORDER BY timestamp LIMIT 1")
    assert read.fetchone() == (Decimal("0.984"),)


def test_a_dividend_and_a_capital_gain_of_one_day_take_their_sum_from_the_close_before(store: Store) -> None:
    """yfinance#926, by hand: 1 - (2 + 6) / 40 = 0.8, where two factors of the whole close would make 0.8075."""
    told = {"dividends": [[opens("2024-01-03"), "2"]], "capital_gains": [[opens("2024-01-03"), "6"]]}
    store.load(bars({"2024-01-02": "40", "2024-01-03": "32"}, **told))
    assert store.adjusted("dividend_factor, total_close")["2024-01-02"] == (Decimal("0.8"), Decimal(32))
    known = store.conn.execute("SELECT kind, amount FROM corporate_action_factors ORDER BY kind").fetchall()
    assert known == [("capital_gain", Decimal(6)), ("dividend", Decimal(2))]


def test_a_capital_gain_alone_has_the_factor_of_a_dividend(store: Store) -> None:
    store.load(bars({"2024-01-02": "40", "2024-01-03": "30"}, capital_gains=[[opens("2024-01-03"), "10"]]))
    assert store.adjusted("dividend_factor, total_close")["2024-01-02"] == (Decimal("0.75"), Decimal(30))


@pytest.mark.parametrize("first", ["apart", "together"])
def test_what_one_source_tells_apart_and_another_as_one_sum_is_not_counted_twice(store: Store, first: str) -> None:
    """Yahoo tells a fund's dividend and gains apart, Alpha Vantage their sum."""
    told = {
        "apart": ("yahoo_finance", {"capital_gains": [[opens("2024-01-03"), "10"]]}),
        "together": ("alpha_vantage", {"dividends": [[opens("2024-01-03"), "10"]]}),
    }
    for source, said in (told.pop(first), *told.values()):
        store.load(bars({"2024-01-02": "40", "2024-01-03": "30"}, source=source, **said))
    assert store.adjusted("dividend_factor")["2024-01-02"] == (Decimal("0.75"),)


def test_an_hour_before_the_opening_of_an_ex_date_is_adjusted_and_one_after_it_is_not(store: Store) -> None:
    """Sydney opens its ex-date, the tenth, on the evening of the ninth, seen from Greenwich."""
    stamps = [to_micros(datetime(2022, 1, day, hour, tzinfo=UTC)) for day, hour in ((9, 4), (9, 23), (10, 0))]
    columns: dict[str, Sequence[Any]] = {name: ["80", "20", "20"] for name in PRICES}
    meta = {"zone": "Australia/Sydney", "splits": [[stamps[1], "4", "1"]]}
    batch = Batch(Kind.BARS, "BHP.AX", "x", {"timestamp": stamps, **columns}, "AUD", Interval.H1, meta)
    store.load(batch, "BHP.AX")
    found = store.conn.execute("SELECT split_close FROM historical_market_data_adjusted ORDER BY timestamp").fetchall()
    assert found == [(Decimal(20),)] * 3


def test_an_instrument_without_actions_is_adjusted_by_nothing(store: Store) -> None:
    store.load(bars({"2024-01-02": "50"}))
    assert store.adjusted("split_factor, dividend_factor, total_close")["2024-01-02"] == (1, 1, 50)
    assert factors_after(store.conn, 1, date(2000, 1, 1)) == []


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no recorded answers at ../shared/provider-samples")
def test_recorded_dividends_of_microsoft_give_the_factors_of_yahoos_own_adjusted_closes(store: Store) -> None:
    """From one day to the next Yahoo's adjusted closes change by the dividend's factor, to seven digits."""
    body = (SAMPLES / "chart-MSFT-1d-2021-dividends.json").read_bytes()
    span = TimeRange(datetime(2021, 1, 1, tzinfo=UTC), datetime(2022, 3, 1, tzinfo=UTC))
    ask = Ask(Kind.BARS, Instrument.of("MSFT"), datetime(2026, 10, 3, tzinfo=UTC), Interval.D1, span)
    batch = provider("yahoo_finance").parse(ask, HttpResponse(200, body))
    store.load(batch, "MSFT")
    factors = store.conn.execute(
        "SELECT ex_date, dividend_factor FROM corporate_action_factors ORDER BY ex_date"
    ).fetchall()
    assert [day.isoformat() for day, _ in factors] == ["2021-02-17", "2021-05-19", "2021-08-18", "2021-11-17"]
    found = store.adjusted("close, adj_close", "MSFT")
    days = list(found)
    for day, factor in factors:
        place = days.index(day.isoformat())
        (before, adjusted_before), (close, adjusted) = found[days[place - 1]], found[days[place]]
        assert factor == pytest.approx(adjusted_before / before / (adjusted / close), rel=Decimal("5e-7"))


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no recorded answers at ../shared/provider-samples")
def test_the_recorded_split_of_nvidia_which_yahoo_restated_long_ago_is_not_applied_again(store: Store) -> None:
    body = (SAMPLES / "chart-NVDA-1d-2021-split.json").read_bytes()
    span = TimeRange(datetime(2021, 1, 1, tzinfo=UTC), datetime(2022, 3, 1, tzinfo=UTC))
    ask = Ask(Kind.BARS, Instrument.of("NVDA"), datetime(2026, 10, 3, tzinfo=UTC), Interval.D1, span)
    batch = provider("yahoo_finance").parse(ask, HttpResponse(200, body))
    assert batch.meta["adjusted_to"] == "2025-02-21"  # the day of its regularMarketTime, 1740171601
    store.load(batch, "NVDA")
    found = store.adjusted("close, split_close", "NVDA")
    assert found["2021-07-19"] == (Decimal("18.77975082397461"),) * 2
    assert found["2021-07-20"] == (Decimal("18.61199951171875"),) * 2


def test_a_reader_may_read_the_adjusted_series(store: Store, reader: psycopg.Connection) -> None:
    store.load(bars(WEEK, splits=SPLIT, dividends=[[opens("2005-03-01"), "0.1"]]))
    view = "SELECT count(total_close) FROM fintrack.historical_market_data_adjusted"
    assert reader.execute(view).fetchone() == (4,)
    assert reader.execute("SELECT count(*) FROM fintrack.corporate_action_factors").fetchone() == (2,)
