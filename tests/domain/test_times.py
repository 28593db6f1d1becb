"""Moments as microseconds, and ranges of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import (
    TimeRange,
    from_micros,
    to_micros,
)

MOMENTS = st.datetimes(timezones=st.just(UTC))


@given(MOMENTS)
def test_micros_keep_a_moment_exactly(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_a_moment_keeps_its_micros_exactly(micros: int) -> None:
    moment = from_micros(micros)
    assert to_micros(moment) == micros
    assert moment.utcoffset() == timedelta(0)


def test_micros_count_from_1970_utc_in_every_zone() -> None:
    assert to_micros(datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == 0
    assert to_micros(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
    with pytest.raises(ValueError, match="without a zone"):
        to_micros(datetime(2024, 1, 1))  # noqa: DTZ001  # the naive time is the case


def test_a_window_has_zones_and_a_length() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="aware"):
        TimeRange(start.replace(tzinfo=None), start)
    with pytest.raises(ValueError, match="ends"):
        TimeRange(start, start)
