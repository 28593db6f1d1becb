"""A Celery application of each test's own on the shared Redis, with a worker's transport."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Queue, transport


@pytest.fixture
def celery_app(stack: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """An application with the queue ``work`` and its own prefix in Redis, which is emptied afterwards."""
    from fintrack_tasks.tasks.redis_transport import astray

    for scheme in ("redis", "rediss"):
        monkeypatch.setitem(transport.TRANSPORT_ALIASES, scheme, "fintrack_tasks.tasks.redis_transport:Transport")
        monkeypatch.delitem(transport._transport_cache, scheme, raising=False)
    prefix = f"test:{uuid.uuid4().hex[:12]}:"
    app = Celery("test", broker=stack["REDIS_URL"], set_as_current=False)
    app.conf.update(
        broker_transport_options={"global_keyprefix": prefix},
        task_queues=[Queue("work")],
        task_default_queue="work",
        task_create_missing_queues=False,
    )
    yield app
    astray.clear()
    app.close()
    for scheme in ("redis", "rediss"):
        transport._transport_cache.pop(scheme, None)
    with redis.Redis.from_url(stack["REDIS_URL"]) as client:
        for key in client.scan_iter(f"{re.escape(prefix)}*"):
            client.delete(key)


@pytest.fixture
def small_redis(tmp_path: Any) -> Iterator[redis.Redis]:
    """A server of the test's own, which it may fill."""
    from fintrack_tasks.embedded.ports import choose_port
    from fintrack_tasks.embedded.valkey import Valkey

    (tmp_path / "own").mkdir()
    server = Valkey(tmp_path / "own", "secret")
    server.prepare(lambda _: None)
    port = choose_port(None, frozenset())
    state = server.launch(port)
    server.wait(state, port, 20)
    with redis.Redis(port=port, password="secret") as client:
        yield client
    from fintrack_tasks.embedded import process

    process.terminate([state], 5)
