"""Who lives is known within seconds, and the shares follow."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final

import pytest
import redis
from celery.utils.time import rate
from hypothesis import example, given
from hypothesis import strategies as st

from fintrack_tasks.connections import Connections
from fintrack_tasks.fetch.providers.base import Quota
from fintrack_tasks.fetch.quota.limits import celery_rate_limit
from fintrack_tasks.settings import Settings
from fintrack_tasks.tasks import heartbeats
from fintrack_tasks.tasks.heartbeats import limits, muster

SLACK: Final = 1.25
NOW: Final = 1_700_000_000.0


@pytest.fixture
def queues(broker: redis.Redis) -> Iterator[list[str]]:
    """Two queues of this test's own."""
    names = [f"fetch.test-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    yield names
    broker.delete(*(f"fintrack:fleet:{name}" for name in names), "fintrack:left:a@host:test")
    broker.zrem("fintrack:holders", "a@host:test")


# --- who lives -------------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_workers_are_counted_by_the_queues_that_they_serve(broker: redis.Redis, queues: list[str]) -> None:
    one, two = queues
    assert muster(broker, "a@host", [one, two], NOW) == {one: 1, two: 1}
    assert muster(broker, "b@host", [one], NOW + 1) == {one: 2}
    assert muster(broker, "c@host", [two, one], NOW + 1) == {two: 2, one: 3}
    assert muster(broker, "a@host", [one, two], NOW + 2) == {one: 3, two: 2}  # the same one again


@pytest.mark.integration
def test_a_worker_that_says_nothing_is_gone_after_seven_seconds(broker: redis.Redis, queues: list[str]) -> None:
    [queue, _] = queues
    for name in ("a@host", "b@host", "dead@host"):
        muster(broker, name, [queue], NOW)
    for second in (2, 4, 6):
        assert muster(broker, "a@host", [queue], NOW + second) == {queue: 3}
    muster(broker, "b@host", [queue], NOW + 6.5)
    assert muster(broker, "a@host", [queue], NOW + 7) == {queue: 2}
    assert muster(broker, "dead@host", [queue], NOW + 8) == {queue: 3}  # it was only slow


@pytest.mark.integration
def test_a_fleet_that_is_gone_leaves_nothing_behind(broker: redis.Redis, queues: list[str]) -> None:
    muster(broker, "a@host", queues, NOW)
    for name in queues:
        assert 0 < broker.ttl(f"fintrack:fleet:{name}") <= 60


class Consumer:
    """As much of a worker's consumer as the step touches."""

    def __init__(self, queues: list[str]) -> None:
        self.hostname, self.holder, self.before = "a@host", "a@host:test", None
        self.app = SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from=dict.fromkeys(queues))))
        self.cancelled, self.paced = 0, list[Any]()
        self.timer = SimpleNamespace(call_repeatedly=lambda *_: SimpleNamespace(cancel=self.cancel))

    def cancel(self) -> None:
        self.cancelled += 1

    def pace(self, limits: Any) -> None:
        self.paced.append(limits)


@pytest.fixture
def step(broker: redis.Redis, use: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> heartbeats.Fleet:
    use(SimpleNamespace(redis=broker))
    monkeypatch.setattr(heartbeats, "limits", dict)
    return heartbeats.Fleet(None)  # type: ignore[arg-type]  # the step does not look at its parent


@pytest.mark.integration
def test_a_worker_says_so_when_it_starts_and_leaves_when_it_stops(
    step: heartbeats.Fleet, broker: redis.Redis, queues: list[str]
) -> None:
    consumer = Consumer(queues)
    step.start(consumer)  # type: ignore[arg-type]
    assert consumer.paced == [dict.fromkeys(queues, 1)]
    step.stop(consumer)  # type: ignore[arg-type]
    step.stop(consumer)  # type: ignore[arg-type]  # Celery stops and shuts down
    assert consumer.cancelled == 1
    assert [broker.zcard(f"fintrack:fleet:{name}") for name in queues] == [0, 0]


@pytest.mark.integration
def test_a_queue_that_a_worker_was_told_to_leave_counts_as_unserved(
    step: heartbeats.Fleet, broker: redis.Redis, queues: list[str]
) -> None:
    """Celery's own command to a worker does so: nobody served what lay in that queue, and ``health`` said ok."""
    consumer = Consumer(queues)
    step.start(consumer)  # type: ignore[arg-type]
    left, kept = queues
    del consumer.app.amqp.queues.consume_from[left]
    broker.zadd(f"fintrack:fleet:{left}", {"a@host": 0.0})  # some seconds later
    step._tick(consumer)  # type: ignore[arg-type]
    assert consumer.paced[-1] == {kept: 1}
    assert heartbeats.living(broker, queues) == {left: set(), kept: {"a@host"}}


@pytest.mark.integration
def test_a_worker_without_redis_keeps_its_last_shares_and_stops_all_the_same(
    step: heartbeats.Fleet, use: Callable[[Any], Any]
) -> None:
    class Away:
        def __getattr__(self, _: str) -> Any:
            raise redis.exceptions.ConnectionError

    use(SimpleNamespace(redis=Away()))
    consumer = Consumer(["fetch.coinbase"])
    step.start(consumer)  # type: ignore[arg-type]
    step.stop(consumer)  # type: ignore[arg-type]
    assert (consumer.paced, consumer.cancelled) == ([], 1)


# --- shares ----------------------------------------------------------------------------------------------------------


def test_each_provider_task_gets_its_share_by_those_who_serve_its_queue(use: Callable[[Any], Any]) -> None:
    settings = Settings.from_mapping(
        {"COINBASE_QUOTA": "10/s", "ECB_QUOTA": "unlimited", "YAHOO_FINANCE_QUOTA": "60/m"}
    )
    use(Connections(settings))
    assert limits({"fetch.coinbase": 2, "fetch.ecb": 4, "fetch.yahoo_finance": 1}) == {
        "fintrack.fetch.coinbase": "375/m",  # 10/s x 1.25 / 2
        "fintrack.fetch.ecb": None,
        "fintrack.fetch.yahoo_finance": "75/m",
    }


@given(
    st.lists(st.tuples(st.integers(1, 10_000), st.sampled_from([1.0, 60.0, 3_600.0])), min_size=1, max_size=3),
    st.integers(1, 32),
)
@example([(5, 60.0)], 8)
def test_shares_add_up_to_the_quota_at_least_and_to_its_slack_at_most(
    pairs: list[tuple[int, float]], workers: int
) -> None:
    """Celery's rates are whole numbers of an hour: where a share is a few of them, rounding eats the slack."""
    quotas = [Quota(limit, seconds) for limit, seconds in pairs]
    per_second = min(quota.limit / quota.seconds for quota in quotas)
    share = rate(celery_rate_limit(quotas, workers / SLACK) or "")
    assert share * workers <= max(per_second * SLACK * (1 + 1e-9), workers / 3_600)
    if per_second * SLACK / workers * 3_600 >= 4:
        assert share * workers >= per_second * (1 - 1e-9)
