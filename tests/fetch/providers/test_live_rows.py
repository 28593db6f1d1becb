"""A bar and what stands beside it of the market as it is now."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.fetch.providers.live_rows import is_snapshot, merged, newer

BAR = ["180.0", "180.5", "179.6", "179.7", None, "7054483"]
SNAPSHOT = ["179.99"] * 4 + [None, "0"]


@pytest.mark.parametrize("volume", ["0", "0.0", None])
def test_one_price_without_any_trade_is_a_snapshot(volume: str | None) -> None:
    assert is_snapshot([*["179.99"] * 4, None, volume])
    assert is_snapshot(["179.9", "179.90", "179.9", "179.9", "1", volume])


@pytest.mark.parametrize("row", [BAR, [*["179.99"] * 4, None, "1"], ["1", "2", "1", "1", None, "0"]])
def test_what_moved_or_was_traded_is_none(row: list[str | None]) -> None:
    assert not is_snapshot(row)


@pytest.mark.parametrize("join", [merged, newer])
def test_a_bar_stands_beside_a_snapshot_on_either_side_of_it(join: type) -> None:
    """yfinance#1005."""
    assert join(BAR, SNAPSHOT) == BAR
    assert merged(SNAPSHOT, BAR) == BAR
    assert newer(SNAPSHOT, BAR) == BAR


def test_two_parts_of_an_hour_are_one() -> None:
    later = ["179.7", "181", "179.9", "180.2", None, "1000.5"]
    assert merged(BAR, later) == ["180.0", "181", "179.6", "180.2", None, "7055483.5"]
    assert merged(BAR, [*later[:5], None])[5] == "7054483"
    assert merged([*BAR[:5], None], [*later[:5], None])[5] is None


def test_a_days_newer_row_is_the_day_and_no_part_of_it() -> None:
    """yfinance#1070: the volume of both would be counted twice."""
    later = ["240", "242", "238", "239", "239", "1010"]
    assert newer(["240", "242", "238", "239", "239", "1000"], later) == later


PRICES = st.decimals(min_value="0.01", max_value="10000", places=2)
ROWS = st.builds(
    lambda prices, volume: [
        str(prices[0]), str(max(prices)), str(min(prices)), str(prices[1]), None,
        None if volume is None else str(volume),
    ],
    st.lists(PRICES, min_size=2, max_size=4), st.none() | st.integers(0, 10**9),
)  # fmt: skip


@given(ROWS, ROWS)
def test_a_merged_bar_holds_the_prices_of_the_bars_in_it(first: list[str | None], second: list[str | None]) -> None:
    joined = merged(first, second)
    numbers = [Decimal(each or 0) for each in joined]
    assert numbers[2] <= min(numbers[0], numbers[3])
    assert numbers[1] >= max(numbers[0], numbers[3])
    for row in (first, second):
        if not is_snapshot(row):
            assert numbers[1] >= Decimal(row[1] or 0)
            assert numbers[2] <= Decimal(row[2] or 0)
