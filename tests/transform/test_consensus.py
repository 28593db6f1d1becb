"""Several providers' quotes become one: the median, exact, with what it was made of."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import Batch, Kind
from fintrack_tasks.transform.consensus import combine


def quote(source: str, price: str, at: int = 1, currency: str | None = "USD", **columns: str | None) -> Batch:
    made = {"timestamp": [at], "price": [price], **{name: [value] for name, value in columns.items()}}
    return Batch(Kind.QUOTE, "BTC-USD", source, made, currency, meta={"of": source})


def price(batch: Batch) -> str:
    return str(batch.columns["price"][0])


def metrics(batch: Batch, name: str) -> list[dict[str, Any]]:
    return [dict(each) for each in batch.meta["metrics"] if each["metric"] == name]


# --- the price -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prices", "median"),
    [
        (["100.10", "100.30", "100.20"], "100.20"),
        (["100.10", "100.20"], "100.15"),
        (["1", "2", "4", "1000"], "3"),
        (["0.1", "0.2"], "0.15"),  # in floats it is 0.15000000000000002
        (["0.000000059", "0.000000060"], "0.0000000595"),
        (["123456789012345", "0.000000000001"], "61728394506172.5000000000005"),
        (["75.0875015258789", "75.0875015258791"], "75.0875015258790"),
        (["246.28000000"], "246.28000000"),
        (["1e-9"], "0.000000001"),
        (["5", "5", "5", "5"], "5"),
    ],
)
def test_the_price_is_the_exact_median(prices: list[str], median: str) -> None:
    combined = combine([quote(f"p{n}", text) for n, text in enumerate(prices)], 50)
    assert Decimal(price(combined)) == Decimal(median)
    assert "E" not in price(combined).upper()


def test_one_quote_stays_what_it_is_under_its_providers_name() -> None:
    only = quote("coinbase", "42500.01", 7, volume="1.5", bid="42500", ask="42501")
    combined = combine([only], 50)
    assert (combined.source, combined.columns, combined.currency) == ("coinbase", only.columns, "USD")
    [spread] = combined.meta["metrics"]
    assert (spread["metric"], spread["value"]) == ("provider_spread_bps", "0.0000")


@pytest.mark.parametrize("wanted", [1, 2, 3])
def test_who_answers_for_fewer_than_were_wanted_is_said(wanted: int) -> None:
    combined = combine([quote("b", "1"), quote("a", "1")], 50, wanted)
    short = [each for each in combined.meta["metrics"] if each["metric"] == "consensus_answers"]
    if wanted <= 2:
        assert (short, combined.meta.get("note")) == ([], None)
        return
    [measure] = short
    assert (measure["value"], measure["detail"]["wanted"], measure["detail"]["answered"]) == ("2", 3, ["a", "b"])
    assert combined.meta["note"] == "2 of 3 providers: a, b"
    alone = combine([quote("a", "1")], 50, 3)
    assert (alone.source, alone.meta["note"]) == ("a", "1 of 3 providers: a")
    other = combine([quote("a", "1"), replace(quote("b", "1"), currency="JPY"), quote("c", "1")], 50, 3)
    assert other.meta["note"] == "2 of 3 providers: a, c"  # one in another currency was not compared


def test_several_are_a_consensus() -> None:
    combined = combine([quote("a", "1"), quote("b", "1")], 50)
    assert (combined.source, combined.symbol, combined.kind) == ("consensus", "BTC-USD", Kind.QUOTE)


# --- the row ---------------------------------------------------------------------------------------------------------


def test_the_row_is_the_nearest_providers_and_its_time_is_the_newest() -> None:
    combined = combine(
        [
            quote("low", "99", 30, volume="1", bid="98", ask="100"),
            quote("middle", "100", 10, volume="2", bid="99.9", ask="100.1"),
            quote("high", "102", 20, volume="3", bid="101", ask="103"),
        ],
        50,
    )
    assert combined.row(0) == {"timestamp": 30, "price": "100", "volume": "2", "bid": "99.9", "ask": "100.1"}
    assert combined.meta["of"] == "middle"


def test_of_two_that_are_equally_near_the_newer_is_taken_without_its_book() -> None:
    """The price is nobody's: a bid and an ask would not be this price's."""
    old, new = quote("a", "100", 10, volume="1", bid="99", ask="101"), quote("b", "102", 20, volume="2", bid="101")
    for order in ([old, new], [new, old]):
        assert combine(order, 50).row(0) == {"timestamp": 20, "price": "101", "volume": "2", "bid": None}


# --- currencies ------------------------------------------------------------------------------------------------------


def test_another_currency_is_left_out_and_named() -> None:
    quotes = [quote("a", "100"), quote("b", "102"), quote("c", "80", currency="GBP")]
    combined = combine(quotes, 50)
    assert (price(combined), combined.currency) == ("101", "USD")
    [spread] = metrics(combined, "provider_spread_bps")
    assert spread["detail"]["other_currency"] == {"c": "GBP"}
    assert spread["detail"]["prices"] == {"a": "100", "b": "102"}


def test_who_names_no_currency_is_compared_with_the_others_in_theirs() -> None:
    quotes = [quote("a", "100"), quote("b", "101", currency=None), quote("c", "103", currency=None)]
    combined = combine(quotes, 50)
    assert (price(combined), combined.currency) == ("101", "USD")
    assert "other_currency" not in metrics(combined, "provider_spread_bps")[0]["detail"]
    assert combine(quotes[1:], 50).currency is None


def test_of_as_many_currencies_the_first_by_name_is_taken_whoever_answered_first() -> None:
    quotes = [quote("a", "100", currency="USD"), quote("b", "80", currency="EUR")]
    for order in (quotes, quotes[::-1]):
        combined = combine(order, 50)
        assert (price(combined), combined.currency, combined.source) == ("80", "EUR", "b")


# --- the measures ----------------------------------------------------------------------------------------------------


def test_the_spread_is_the_highest_less_the_lowest_by_the_median() -> None:
    """(101 - 99) / 100 = 200 basis points."""
    combined = combine([quote("a", "99"), quote("b", "100"), quote("c", "101")], 150)
    [spread] = combined.meta["metrics"]
    assert spread["value"] == "200.0000"
    assert spread["detail"] == {"prices": {"a": "99", "b": "100", "c": "101"}, "median": "100"}


@pytest.mark.parametrize(
    ("off", "threshold", "flagged"),
    [
        ("100.50", 50, None),  # 50 basis points are not further than 50
        ("100.5000001", 50, "50.0000"),
        ("99.49", 50, "-51.0000"),
        ("100.1", 9.99, "10.0000"),
        ("100.1", 10, None),
        ("0.0001", 50, "-9999.9900"),
    ],
)
def test_who_lies_further_from_the_median_than_the_threshold_is_flagged(
    off: str, threshold: float, flagged: str | None
) -> None:
    combined = combine([quote("a", "100"), quote("b", "100"), quote("odd", off)], threshold)
    found = metrics(combined, "provider_deviation_bps")
    assert [each["value"] for each in found] == ([flagged] if flagged else [])
    for each in found:
        assert each["detail"] == {"provider": "odd", "price": off, "median": "100", "flagged": True}


@pytest.mark.parametrize(
    "prices",
    [
        ["1", "1", "1e30"],  # somebody's rubbish
        ["0.000000001", "0.000000001", "99999999999999999999"],
        ["1e-30", "1e-30", "1e300"],
        ["0", "0", "5"],
        ["-5", "-5", "5"],
        ["-1", "1"],
    ],
)
def test_a_price_beyond_reason_is_measured_and_not_a_crash(prices: list[str]) -> None:
    """Whether it may be stored is for the checks behind to say."""
    combined = combine([quote(f"p{n}", text) for n, text in enumerate(prices)], 50)
    for each in combined.meta["metrics"]:
        assert Decimal(each["value"]).is_finite()
        assert "E" not in each["value"].upper()
    [spread] = metrics(combined, "provider_spread_bps")
    assert Decimal(spread["value"]) >= 0


decimals = st.decimals("0.000000001", "1e12", allow_nan=False, allow_infinity=False, places=9).map(str)


@given(st.lists(st.tuples(decimals, st.integers(0, 10**15)), min_size=1, max_size=7), st.randoms())
def test_the_median_lies_within_the_quotes_and_the_order_of_answers_does_not_matter(
    said: list[tuple[str, int]], random: Any
) -> None:
    quotes = [quote(f"p{n}", text, at) for n, (text, at) in enumerate(said)]
    combined = combine(quotes, 50)
    prices = sorted(Decimal(text) for text, _ in said)
    assert prices[0] <= Decimal(price(combined)) <= prices[-1]
    below = sum(each <= Decimal(price(combined)) for each in prices)
    assert below * 2 >= len(prices)
    assert combined.columns["timestamp"] == [max(at for _, at in said)]
    shuffled = list(quotes)
    random.shuffle(shuffled)
    again = combine(shuffled, 50)
    assert (price(again), again.columns["timestamp"]) == (price(combined), combined.columns["timestamp"])
    flagged = {each["detail"]["provider"] for each in metrics(combined, "provider_deviation_bps")}
    assert flagged == {each["detail"]["provider"] for each in metrics(again, "provider_deviation_bps")}


@given(st.lists(decimals, min_size=2, max_size=7))
def test_a_combined_quote_travels_as_a_message(said: list[str]) -> None:
    combined = combine([quote(f"p{n}", text) for n, text in enumerate(said)], 50)
    assert Batch.from_message(combined.to_message()) == combined
