"""Who serves which queue, and whether a beat keeps the schedule."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import redis

from fintrack_tasks.cli.health_checks import _start_remedy, check_beat, check_workers, required_queues
from fintrack_tasks.errors import ConfigurationError, OutageError
from fintrack_tasks.settings import Settings
from fintrack_tasks.tasks import heartbeats

FREE = {"fetch.coinbase", "fetch.ecb", "fetch.yahoo_finance"}
"""The queues of the providers that need no key."""
LOCK = "fintrack:redbeat::lock"


def test_every_stage_and_every_provider_that_may_be_asked_needs_a_worker() -> None:
    assert set(required_queues(Settings())) == {"ops", "publish", "etl"} | FREE
    keyed = Settings.from_mapping({"API_KEY_FINNHUB": "k"})
    assert set(required_queues(keyed)) == {"ops", "publish", "etl", "fetch.finnhub"} | FREE


def test_a_provider_on_no_route_needs_no_worker() -> None:
    routes = {f"FINTRACK_ROUTE_{name}": "yahoo_finance" for name in ("STOCK", "CRYPTO", "FOREX", "INDEX")}
    assert required_queues(Settings.from_mapping(routes)) == ["ops", "publish", "etl", "fetch.yahoo_finance"]


def test_a_wrong_route_is_named() -> None:
    with pytest.raises(ConfigurationError, match="FINTRACK_ROUTE_STOCK"):
        required_queues(Settings.from_mapping({"FINTRACK_ROUTE_STOCK": "nobody"}))


@pytest.mark.integration
def test_a_worker_lives_as_long_as_it_says_so(broker: redis.Redis) -> None:
    queues = [f"test-{uuid.uuid4().hex[:8]}", f"test-{uuid.uuid4().hex[:8]}"]
    seconds, _ = broker.time()
    try:
        heartbeats.muster(broker, "etl1@here", queues, seconds)
        heartbeats.muster(broker, "etl2@there", queues[:1], seconds - 6)
        assert heartbeats.living(broker, queues) == {queues[0]: {"etl1@here", "etl2@there"}, queues[1]: {"etl1@here"}}
        heartbeats.muster(broker, "etl1@here", queues, seconds - 8)
        assert heartbeats.living(broker, queues)[queues[1]] == set()
        assert heartbeats.living(broker, ["nobody's"]) == {"nobody's": set()}
    finally:
        broker.delete(*(f"fintrack:fleet:{queue}" for queue in queues))


def test_a_rate_limit_is_made_for_fetch_queues_alone() -> None:
    assert heartbeats.limits({"etl": 1, "ops": 2, "fetch.coinbase": 1}).keys() == {"fintrack.fetch.coinbase"}


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


# --- The way out follows from the cause --------------------------------------------------------------------------


@pytest.fixture
def full(small_redis: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    """A server that answers and takes no writes, where the commands look for workers and beat."""
    monkeypatch.setenv("REDIS_URL", f"redis://:secret@127.0.0.1:{small_redis.get_connection_kwargs()['port']}/0")
    small_redis.set(LOCK, "token", px=9_000)
    small_redis.config_set("maxmemory", 1)
    return small_redis


@pytest.mark.integration
def test_where_redis_is_full_no_worker_is_told_to_be_started(full: redis.Redis) -> None:
    with pytest.raises(OutageError) as caught:
        check_workers()
    assert "a Celery worker does not answer at the queues ops, publish, etl," in str(caught.value)
    assert "Redis refuses for now, so that no worker can say that it lives: its memory is full" in str(caught.value)
    assert "fintrack up" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.integration
@pytest.mark.parametrize("expired", [False, True])
def test_where_redis_is_full_no_beat_is_told_to_be_started(full: redis.Redis, expired: bool) -> None:
    if expired:
        full.delete(LOCK)
    with pytest.raises(OutageError, match="so that the lock cannot be renewed: its memory is full") as caught:
        check_beat()
    assert "fintrack up" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("redis://:word@127.0.0.1:6379/0", "start it with: fintrack up --detach"),
        ("redis://localhost:6379/0", "start it with: fintrack up --detach"),
        ("rediss://user:127.0.0.1@redis.example:6380/0", "where the workers run: celery -A fintrack_tasks beat"),
    ],
)
def test_what_serves_servers_elsewhere_is_started_there(address: str, said: str) -> None:
    assert _start_remedy(Settings.from_mapping({"REDIS_URL": address}), "beat").endswith(said)
