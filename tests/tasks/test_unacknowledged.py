"""What a dead worker held goes back to its queues within seconds; what a living one holds stays with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from fintrack_tasks.tasks import unacknowledged
from fintrack_tasks.tasks.unacknowledged import Succession
from tests.tasks.test_redis_transport import send, take

pytestmark = pytest.mark.integration


@pytest.fixture
def client(broker: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """Redis, where the holders of other tests and workers do not show."""
    names = {name: f"test:{name}" for name in ("HOLDERS", "_MISSING")}
    for name, key in names.items():
        monkeypatch.setattr(unacknowledged, name, key)
        broker.delete(key)
    yield broker
    broker.delete(*names.values())


class Clock:
    """Monotonic seconds that pass when a test says so, and Redis' own beside them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(unacknowledged, "_now", lambda _: self.now)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def hold(app: Celery, client: redis.Redis, worker: str) -> tuple[str, Any]:
    """Let a worker's connection hold one message; the connection is returned so that it stays open."""
    holder = unacknowledged.name_holder(worker)
    unacknowledged.register(client, holder)
    send(app)
    connection = app.connection_for_read(transport_options=unacknowledged.key_names(holder))
    take(connection)
    return holder, connection


def waiting(app: Celery) -> int:
    with app.connection_for_read() as connection:
        return int(connection.default_channel._size("work"))


def live(succession: Succession, client: redis.Redis, clock: Clock, seconds: float) -> None:
    """Let a worker tick every two seconds."""
    until = clock.now + seconds
    while clock.now < until:
        clock.now += 2.0
        succession.tick(client, "heir@host:1")


def test_the_messages_of_a_silent_worker_go_back_to_their_queue(
    celery_app: Celery, client: redis.Redis, clock: Clock
) -> None:
    _, connection = hold(celery_app, client, "dead@host")
    assert waiting(celery_app) == 0
    live(Succession(celery_app, clock), client, clock, 12)
    assert waiting(celery_app) == 1
    assert set(unacknowledged.missing(client)) == {"dead@host"}
    with celery_app.connection_for_read() as heir:
        assert take(heir).decode() == {"n": 1}
    connection.collect()


def test_a_worker_that_speaks_keeps_what_it_holds(celery_app: Celery, client: redis.Redis, clock: Clock) -> None:
    holder, connection = hold(celery_app, client, "living@host")
    heir, living = Succession(celery_app, clock), Succession(celery_app, clock)
    for _ in range(10):
        clock.now += 2.0
        living.tick(client, holder)
        heir.tick(client, "heir@host:1")
    assert waiting(celery_app) == 0
    assert unacknowledged.missing(client) == {}
    connection.close()


def test_after_an_outage_of_redis_nobody_takes_the_others_for_dead(
    celery_app: Celery, client: redis.Redis, clock: Clock
) -> None:
    holder, connection = hold(celery_app, client, "slow@host")
    heir = Succession(celery_app, clock)
    for _ in range(2):
        live(heir, client, clock, 6)
        unacknowledged.register(client, holder)
    clock.now += 60  # Redis was away for both; the heir is the first to be back
    live(heir, client, clock, 6)
    assert waiting(celery_app) == 0
    unacknowledged.register(client, holder)
    live(heir, client, clock, 6)
    assert waiting(celery_app) == 0
    connection.close()


def test_one_that_said_it_leaves_may_end_its_tasks_and_is_not_missed(
    celery_app: Celery, client: redis.Redis, clock: Clock
) -> None:
    holder, connection = hold(celery_app, client, "leaving@host")
    Succession(celery_app, clock).leave(client, holder)
    heir = Succession(celery_app, clock)
    live(heir, client, clock, 40)
    assert waiting(celery_app) == 0
    live(heir, client, clock, 20)
    assert waiting(celery_app) == 1
    assert unacknowledged.missing(client) == {}
    connection.collect()


def test_a_new_connection_puts_back_at_once_what_the_one_before_it_held(
    celery_app: Celery, client: redis.Redis, clock: Clock
) -> None:
    before, connection = hold(celery_app, client, "a@host")
    Succession(celery_app, clock).begin(client, unacknowledged.name_holder("a@host"), before)
    assert waiting(celery_app) == 1
    assert before.encode() not in client.zrange(unacknowledged.HOLDERS, 0, -1)
    connection.collect()


def test_a_worker_that_is_back_is_no_longer_missing(celery_app: Celery, client: redis.Redis, clock: Clock) -> None:
    _, connection = hold(celery_app, client, "dead@host")
    live(Succession(celery_app, clock), client, clock, 12)
    assert set(unacknowledged.missing(client)) == {"dead@host"}
    unacknowledged.register(client, unacknowledged.name_holder("dead@host"))
    assert unacknowledged.missing(client) == {}
    connection.collect()


def test_one_that_was_started_again_before_its_silence_was_noticed_is_not_missed(
    celery_app: Celery, client: redis.Redis, clock: Clock
) -> None:
    _, connection = hold(celery_app, client, "quick@host")
    heir, again = Succession(celery_app, clock), unacknowledged.name_holder("quick@host")
    for _ in range(8):
        clock.now += 2.0
        unacknowledged.register(client, again)
        heir.tick(client, "heir@host:1")
    assert waiting(celery_app) == 1  # what the first one held was taken up
    assert unacknowledged.missing(client) == {}
    connection.collect()
