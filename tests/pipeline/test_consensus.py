"""A quote of several providers is their median, whatever some of them answer, and stays one row and one event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.domain import Batch, Item
from fintrack_tasks.pipeline import Ended, Retry
from fintrack_tasks.sandbox import Running
from tests.fixtures_market import MarketClock
from tests.fixtures_stages import Stages
from tests.pipeline.keyed import Begin, asked

pytestmark = pytest.mark.integration

NOW = datetime(2026, 6, 17, 16, 0, tzinfo=UTC)  # a Wednesday, noon in New York


def later(**span: float) -> str:
    return (NOW + timedelta(**span)).isoformat()


# --- Consensus -----------------------------------------------------------------------------------------------------

THREE = ("finnhub", "twelve_data", "yahoo_finance")
MEDIAN_OF = {"finnhub": (2, "428.63"), "twelve_data": (0, "429.52"), "yahoo_finance": (6, "432.2")}
"""Second of the minute, and the price of AAPL that the market has then under seed 7."""


@pytest.fixture
def agreed(begin: Begin) -> Stages:
    return begin({"FINTRACK_ROUTE_STOCK_QUOTE": ",".join(THREE)})


def each_at_its_second(
    fetching: Stages, clock: MarketClock, item: Item, names: Sequence[str] = THREE
) -> list[Batch | Retry | Ended]:
    """What becomes of the item at every provider, each of which is asked at a second of its own."""
    outcomes = []
    for name in names:
        clock.now = NOW + timedelta(seconds=MEDIAN_OF[name][0])
        outcomes.append(fetching.fetch(item, name))
    return outcomes


def measures(conn: psycopg.Connection, run: UUID) -> list[tuple[str, Decimal, dict[str, Any]]]:
    found = conn.execute(
        "SELECT metric, value, detail FROM fintrack.quality_metrics WHERE run_id = %s ORDER BY id", (run,)
    )
    return [(metric, value, detail) for metric, value, detail in found.fetchall()]


def test_three_providers_are_asked_and_their_median_is_stored_with_how_far_they_lie_apart(
    agreed: Stages, market: Running, clock: MarketClock, conn: psycopg.Connection
) -> None:
    [item] = agreed.plan("AAPL", consensus=3)
    *on_the_way, batch = each_at_its_second(agreed, clock, item)
    assert on_the_way == [Retry("twelve_data", 0.0, 0), Retry("yahoo_finance", 0.0, 0)]
    assert asked(market) == dict.fromkeys(THREE, 1)
    assert agreed.load(item, batch) == Ended("loaded")  # type: ignore[arg-type]  # load says what it is, if no batch

    stored = conn.execute("SELECT source, price, currency, timestamp FROM fintrack.quotes").fetchall()
    assert stored == [("consensus", Decimal("429.52"), "USD", NOW + timedelta(seconds=6))]
    [(spread, width, detail), (deviation, off, flagged)] = measures(conn, item.run_id)
    # By hand: (432.2 - 428.63) / 429.52 and (432.2 - 429.52) / 429.52; the third is 20.7 below, which is no matter.
    assert (spread, width) == ("provider_spread_bps", Decimal("83.1160"))
    assert {name: Decimal(price) for name, price in detail["prices"].items()} == {
        name: Decimal(price) for name, (_, price) in MEDIAN_OF.items()
    }
    assert (deviation, off) == ("provider_deviation_bps", Decimal("62.3952"))
    assert (flagged["provider"], flagged["flagged"]) == ("yahoo_finance", True)
    row = agreed.row(item)
    assert (row["state"], row["provider"], row["attempts"]) == ("loaded", "consensus", 3)


def test_an_item_that_is_delivered_twice_all_along_stays_one_row_and_one_event(
    agreed: Stages, clock: MarketClock, conn: psycopg.Connection
) -> None:
    [item] = agreed.plan("AAPL", consensus=3)
    twice = [each_at_its_second(agreed, clock, item, (name, name))[-1] for name in THREE]
    batch = twice[-1]
    assert isinstance(batch, Batch)
    assert [agreed.load(item, batch).state for _ in range(2)] == ["loaded", "stale"]
    assert agreed.fetch(item, "finnhub") == Ended("stale")
    assert conn.execute("SELECT count(*), min(price) FROM fintrack.quotes").fetchone() == (1, Decimal("429.52"))
    assert conn.execute("SELECT count(*) FROM fintrack.opinions").fetchone() == (3,)
    assert conn.execute("SELECT count(*) FROM fintrack.outbox").fetchone() == (1,)
    assert [metric for metric, _, _ in measures(conn, item.run_id)] == ["provider_spread_bps", "provider_deviation_bps"]


def test_of_providers_that_agree_nobody_is_flagged(agreed: Stages, conn: psycopg.Connection) -> None:
    [item] = agreed.plan("AAPL", consensus=2)
    visited, batch = agreed.follow(item, "finnhub")
    assert visited == ["finnhub", "twelve_data"]  # two were wanted: the third is not asked
    agreed.load(item, batch)
    assert [(metric, value) for metric, value, _ in measures(conn, item.run_id)] == [("provider_spread_bps", 0)]


def test_a_route_with_fewer_providers_than_were_asked_for_gives_what_they_say(
    begin: Begin, conn: psycopg.Connection
) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "finnhub,yahoo_finance"})
    [item] = fetching.plan("AAPL", consensus=4)
    visited, batch = fetching.follow(item, "finnhub")
    assert visited == ["finnhub", "yahoo_finance"]
    assert fetching.load(item, batch) == Ended("loaded")
    assert conn.execute("SELECT source, price FROM fintrack.quotes").fetchall() == [("consensus", Decimal("429.52"))]


@pytest.mark.parametrize(
    ("broken", "fault", "reason"),
    [
        *((name, {"kind": "html"}, "malformed") for name in THREE),
        *((name, {"kind": "storm429", "retry_after": 9_000}, "quota") for name in THREE),
        ("yahoo_finance", {"kind": "nulls"}, "no_price"),
    ],
)
def test_a_provider_that_gives_no_price_is_left_out_wherever_it_stands_on_the_route(
    agreed: Stages, market: Running, conn: psycopg.Connection, broken: str, fault: dict[str, Any], reason: str
) -> None:
    market.control.add_fault(provider=broken, **fault)
    [item] = agreed.plan("AAPL", consensus=3)
    visited, batch = agreed.follow(item, "finnhub")
    tries = 1 if reason == "quota" else 2
    assert visited == [name for name in THREE for _ in range(tries if name == broken else 1)]
    assert agreed.load(item, batch) == Ended("loaded")
    assert conn.execute("SELECT source, price FROM fintrack.quotes").fetchall() == [("consensus", Decimal("429.52"))]
    assert [entry[:2] for entry in agreed.attempts(item)] == [(broken, reason)] * tries
    [(_, _, detail), (metric, count, short)] = measures(conn, item.run_id)
    assert detail["prices"].keys() == set(THREE) - {broken}
    assert (metric, count, short["wanted"]) == ("consensus_answers", 2, 3)


def test_an_answer_without_a_price_does_not_keep_the_others_from_being_asked(begin: Begin, market: Running) -> None:
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "yahoo_finance,finnhub,twelve_data"})
    market.control.add_fault("nulls", provider="yahoo_finance")
    [item] = fetching.plan("AAPL", consensus=2)
    visited, batch = fetching.follow(item, "yahoo_finance")
    assert visited == ["yahoo_finance", "yahoo_finance", "finnhub", "twelve_data"]
    assert fetching.load(item, batch) == Ended("loaded")


def test_where_one_alone_answers_its_price_stands_under_its_own_name(
    agreed: Stages, market: Running, conn: psycopg.Connection
) -> None:
    for name in ("finnhub", "yahoo_finance"):
        market.control.add_fault("html", provider=name)
    [item] = agreed.plan("AAPL", consensus=3)
    batch = agreed.follow(item, "finnhub")[1]
    assert isinstance(batch, Batch)
    checked = pipeline.validate_item(item, batch, context=agreed.context)
    assert isinstance(checked, Batch)
    agreed.load(item, checked)
    assert conn.execute("SELECT source FROM fintrack.quotes").fetchall() == [("twelve_data",)]
    assert agreed.row(item)["provider"] == "twelve_data"
    # Said in the item, in the measures of its run, and on the row itself.
    said = "1 of 3 providers: twelve_data"
    assert agreed.row(item)["detail"] == said
    assert [(metric, value) for metric, value, _ in measures(conn, item.run_id)][1:] == [("consensus_answers", 1)]
    assert conn.execute("SELECT symbol, rule, detail FROM data_flags").fetchall() == [("AAPL", "short_consensus", said)]


def test_where_nobody_answers_the_item_ends_as_it_would_alone(agreed: Stages, market: Running) -> None:
    market.control.add_fault("html")
    [item, empty] = agreed.plan("AAPL", "MSFT", consensus=3)
    twice = [name for name in THREE for _ in range(2)]
    assert agreed.follow(item, "finnhub") == (twice, Ended("failed", "malformed"))
    assert [entry[:2] for entry in agreed.attempts(item)] == [(name, "malformed") for name in twice]
    market.control.clear_faults()
    market.control.add_fault("nulls", provider="yahoo_finance")
    market.control.add_fault("html", provider="twelve_data")
    market.control.add_fault("html", provider="finnhub")
    assert agreed.follow(empty, "finnhub")[1] == Ended("empty", "no_price")


def test_an_item_that_was_lost_between_two_opinions_comes_to_its_end(
    agreed: Stages, market: Running, conn: psycopg.Connection
) -> None:
    """The first message's opinion is kept; the broker lost the second one."""
    [item] = agreed.plan("AAPL", consensus=3)
    assert agreed.fetch(item, "finnhub") == Retry("twelve_data", 0.0, 0)
    [again] = agreed.reconcile(NOW + timedelta(days=1))
    assert agreed.fetch(item, "twelve_data") == Ended("stale")
    visited, batch = agreed.follow(again, "finnhub")
    assert visited == list(THREE)
    assert agreed.load(again, batch) == Ended("loaded")
    assert conn.execute("SELECT count(*) FROM fintrack.quotes").fetchone() == (1,)


def test_an_opinion_is_kept_once_for_a_provider_that_is_asked_twice(agreed: Stages, clock: MarketClock) -> None:
    """The newest holds: the median of two answers of one provider would be no agreement."""
    [item] = agreed.plan("AAPL", consensus=2)
    for second in (2, 6):
        clock.now = NOW + timedelta(seconds=second)
        assert agreed.fetch(item, "finnhub") == Retry("twelve_data", 0.0, 0)
    batch = agreed.fetch(item, "twelve_data")
    assert isinstance(batch, Batch)
    assert Decimal(batch.columns["price"][0]) == Decimal("432.2")
    assert batch.source == "consensus"


def test_a_provider_that_names_no_currency_is_compared_with_those_that_do(
    begin: Begin, conn: psycopg.Connection
) -> None:
    """Alpha Vantage does not say what a stock's price is in."""
    fetching = begin({"FINTRACK_ROUTE_STOCK_QUOTE": "alpha_vantage,finnhub"})
    [item] = fetching.plan("AAPL", consensus=2)
    fetching.load(item, fetching.follow(item, "alpha_vantage")[1])
    assert conn.execute("SELECT source, currency FROM fintrack.quotes").fetchall() == [("consensus", "USD")]
