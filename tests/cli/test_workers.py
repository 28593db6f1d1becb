"""Who serves which queue, and whether a beat keeps the schedule."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import redis

from fintrack_tasks.cli.workers import check_beat, needed
from fintrack_tasks.errors import ConfigurationError, OutageError
from fintrack_tasks.settings import Settings
from fintrack_tasks.tasks import fleet

FREE = {"fetch.coinbase", "fetch.ecb", "fetch.yahoo_finance"}
"""The queues of the providers that need no key."""
LOCK = "fintrack:redbeat::lock"


def test_every_stage_and_every_provider_that_may_be_asked_needs_a_worker() -> None:
    assert set(needed(Settings())) == {"ops", "publish", "etl"} | FREE
    keyed = Settings.from_mapping({"API_KEY_FINNHUB": "k"})
    assert set(needed(keyed)) == {"ops", "publish", "etl", "fetch.finnhub"} | FREE


def test_a_provider_on_no_route_needs_no_worker() -> None:
    routes = {f"FINTRACK_ROUTE_{name}": "yahoo_finance" for name in ("STOCK", "CRYPTO", "FOREX", "INDEX")}
    assert needed(Settings.from_mapping(routes)) == ["ops", "publish", "etl", "fetch.yahoo_finance"]


def test_a_wrong_route_is_named() -> None:
    with pytest.raises(ConfigurationError, match="FINTRACK_ROUTE_STOCK"):
        needed(Settings.from_mapping({"FINTRACK_ROUTE_STOCK": "nobody"}))


@pytest.mark.integration
def test_a_worker_lives_as_long_as_it_says_so(broker: redis.Redis) -> None:
    queues = [f"test-{uuid.uuid4().hex[:8]}", f"test-{uuid.uuid4().hex[:8]}"]
    seconds, _ = broker.time()
    try:
        fleet.muster(broker, "etl1@here", queues, seconds)
        fleet.muster(broker, "etl2@there", queues[:1], seconds - 6)
        assert fleet.living(broker, queues) == {queues[0]: {"etl1@here", "etl2@there"}, queues[1]: {"etl1@here"}}
        fleet.muster(broker, "etl1@here", queues, seconds - 8)
        assert fleet.living(broker, queues)[queues[1]] == set()
        assert fleet.living(broker, ["nobody's"]) == {"nobody's": set()}
    finally:
        broker.delete(*(f"fintrack:fleet:{queue}" for queue in queues))


def test_a_rate_limit_is_made_for_fetch_queues_alone() -> None:
    assert fleet.limits({"etl": 1, "ops": 2, "fetch.coinbase": 1}).keys() == {"fintrack.fetch.coinbase"}


@pytest.fixture
def schedule(stack: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """A database of its own on the shared server, where the command looks for the schedule's lock."""
    url = stack["REDIS_URL"].removesuffix("/0") + "/7"
    monkeypatch.setenv("REDIS_URL", url)
    with redis.Redis.from_url(url) as client:
        client.delete(LOCK)
        yield client
        client.delete(LOCK)


@pytest.mark.integration
def test_a_beat_that_renews_its_lock_is_well(schedule: redis.Redis) -> None:
    schedule.set(LOCK, "token", px=27_000)
    assert check_beat() == "renewed the schedule's lock 3 s ago"


@pytest.mark.integration
@pytest.mark.parametrize(("left", "said"), [(None, "beat does not answer"), (9_000, "not renewed for 21 s")])
def test_a_beat_that_is_not_there_or_does_not_tick_is_told(schedule: redis.Redis, left: int | None, said: str) -> None:
    if left:
        schedule.set(LOCK, "token", px=left)
    with pytest.raises(OutageError, match=said):
        check_beat()
