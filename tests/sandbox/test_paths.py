"""What lies inside a bar adds up to it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.sandbox.paths import Piece, joined, pieces

CENTS = st.integers(min_value=1, max_value=100_000_000)


@given(
    st.tuples(CENTS, CENTS, CENTS, CENTS),
    st.integers(min_value=0, max_value=10**10),
    st.integers(min_value=1, max_value=100),
    st.integers(),
)
def test_pieces_join_to_the_whole_and_never_leave_it(
    cents: tuple[int, int, int, int], volume: int, count: int, seed: int
) -> None:
    """First open, last close, both extremes and the volume are those of the whole; each opens where one closed."""
    low, opens, closes, high = sorted(cent / 100 for cent in cents)
    whole = Piece(opens, high, low, closes, volume)
    parts = pieces(whole, count, 2, seed, "a word")
    assert len(parts) == count
    assert joined(parts) == whole
    assert all(a.close == b.open for a, b in pairwise(parts))
    assert all(low <= p.low <= min(p.open, p.close) <= max(p.open, p.close) <= p.high <= high for p in parts)
    assert all(p.volume >= 0 for p in parts)
    assert parts == pieces(whole, count, 2, seed, "a word")


def test_a_flat_bar_stays_flat() -> None:
    assert pieces(Piece(1.5, 1.5, 1.5, 1.5, 0), 3, 6, "any") == [Piece(1.5, 1.5, 1.5, 1.5, 0)] * 3


def test_another_word_gives_another_path() -> None:
    whole = Piece(10.0, 12.0, 9.0, 11.0, 1_000)
    assert pieces(whole, 26, 2, 7, "A") != pieces(whole, 26, 2, 7, "B")
