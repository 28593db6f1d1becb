"""UUIDs of version 7 carry their time and sort by it."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import (
    uuid7,
)


@given(st.integers(0, 2**48 - 1))
def test_a_uuid7_carries_its_milliseconds_version_and_variant(millis: int) -> None:
    made = uuid7((millis + 0.5) / 1000)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert abs((made.int >> 80) - millis) <= 1  # a float of seconds is exact to less than a millisecond


@given(st.lists(st.integers(0, 2**38 - 1), min_size=2, max_size=20, unique=True))
def test_uuid7s_sort_by_their_time(seconds: list[int]) -> None:
    made = [uuid7(second) for second in seconds]
    # 48 bits of milliseconds last until the year 10889.
    assert sorted(made) == [uuid for _, uuid in sorted(zip(seconds, made, strict=True))]


def test_uuid7s_of_one_moment_differ() -> None:
    assert len({uuid7(1.0) for _ in range(1000)}) == 1000


def test_an_items_id_may_be_a_uuid7() -> None:
    assert UUID(str(uuid7(0.0))).version == 7
