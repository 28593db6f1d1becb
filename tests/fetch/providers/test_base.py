"""What the contract of a provider computes: from when on bars are kept."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import strategies as st

from fintrack_tasks.domain import TimeRange
from fintrack_tasks.fetch.providers.base import first_kept

NOW = datetime(2026, 11, 27, 21, 0, tzinfo=UTC)
WINDOW = TimeRange(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 10, tzinfo=UTC))
DAY = 1_704_153_600  # 2024-01-02, midnight UTC
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize("days", [30, 60, 730])
def test_what_is_kept_begins_at_a_midnight_that_can_still_be_asked_for(days: int) -> None:
    for now in (NOW, datetime(2026, 11, 27, 23, 59, 59, tzinfo=UTC), datetime(2026, 11, 28, tzinfo=UTC)):
        age = now - first_kept(now, days)
        assert first_kept(now, days).time().isoformat() == "00:00:00"
        assert days - 1.05 <= age.total_seconds() / 86_400 <= days - 0.04
