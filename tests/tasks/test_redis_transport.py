"""What a worker held when its connection broke or Redis was full is neither lost nor the worker's end."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Queue
from kombu.transport import virtual

from fintrack_tasks.tasks.redis_transport import astray

pytestmark = pytest.mark.integration


def take(connection: Any) -> Any:
    """Take one message of the queue and hold it."""
    taken: list[Any] = []
    with connection.Consumer([Queue("work", exchange="work", routing_key="work")], on_message=taken.append):
        while not taken:
            connection.drain_events(timeout=5)
    return taken[0]


def send(app: Celery) -> None:
    with app.connection_for_write() as connection:
        queue = Queue("work", exchange="work", routing_key="work")
        connection.Producer().publish({"n": 1}, exchange="work", routing_key="work", declare=[queue])


def test_an_acknowledgement_after_the_connection_was_closed_is_a_connections_error(celery_app: Celery) -> None:
    """kombu raises AttributeError: 'NoneType' object has no attribute 'hostname', which ends the worker."""
    send(celery_app)
    connection = celery_app.connection_for_read()
    message = take(connection)
    channel = connection.default_channel
    channel.do_restore = False  # as where Redis is away: nothing can be put back
    connection.collect()
    with pytest.raises(redis.exceptions.ConnectionError, match="was closed"):
        message.ack()


def test_a_message_that_cannot_be_noted_is_kept_and_put_back(
    celery_app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(celery_app)
    connection = celery_app.connection_for_read()
    refuse = redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")

    def refusing(*_: Any, **__: Any) -> None:
        raise refuse

    with monkeypatch.context() as full:
        full.setattr(virtual.QoS, "append", refusing)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            take(connection)
    connection.collect()
    assert len(astray) == 1
    with celery_app.connection_for_write() as again:
        again.default_channel.put_back(*astray.popleft())
    with celery_app.connection_for_read() as later:
        assert take(later).decode() == {"n": 1}


def test_a_subscription_that_breaks_is_told_and_not_waited_for(celery_app: Celery, broker: redis.Redis) -> None:
    """The library's own retry would subscribe again and then block the main loop until something is published."""
    connection = celery_app.connection_for_read()
    channel = connection.default_channel
    channel.subclient.psubscribe(f"{channel.global_keyprefix}nothing")
    assert channel.subclient.connection.retry._retries == 0
    channel.subclient.parse_response()  # the subscription's confirmation
    broker.client_kill_filter(laddr=None, skipme=True, _type="pubsub")
    with pytest.raises(redis.exceptions.ConnectionError):
        channel.subclient.parse_response()
    connection.collect()
