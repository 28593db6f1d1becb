"""Items that did not end in time are enqueued again, with what was kept of them, or given up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.sandbox import Running
from fintrack_tasks.store import lost_items
from tests.fixtures_stages import Stages

pytestmark = pytest.mark.integration

NOW = datetime(2026, 6, 17, 16, 0, tzinfo=UTC)


@pytest.fixture
def stages(make_stages: Callable[..., Stages], market: Running) -> Stages:
    return make_stages(NOW, market=market)


def test_a_kept_answer_is_interpreted_without_asking_again(stages: Stages, market: Running) -> None:
    [item] = stages.plan("MSFT")
    before = stages.fetch(item)
    market.control.reset()
    later = NOW + timedelta(days=1)
    [again] = stages.reconcile(later)
    assert stages.fetch(item) == pipeline.Ended("stale")  # the older message
    assert stages.fetch(again) == before
    assert market.control.requests()["total"] == 0


def test_an_item_that_never_ends_is_given_up_with_a_reason(stages: Stages) -> None:
    [item] = stages.plan("MSFT")
    now = NOW
    for _ in range(lost_items.MOST_LOSSES + 1):
        now += timedelta(days=30)
        stages.reconcile(now)
    row = stages.row(item)
    assert (row["state"], row["reason"]) == ("failed", "lost")
