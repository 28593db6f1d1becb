"""A gate of each test's own, on the shared Redis-protocol server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from fintrack_tasks.fetch.quota.gate import Gate
from fintrack_tasks.fetch.quota.keys import KeyRing
from fintrack_tasks.settings import Settings


@pytest.fixture
def broker(stack: dict[str, str]) -> Iterator[redis.Redis]:
    """A client of the shared server."""
    with redis.Redis.from_url(stack["REDIS_URL"]) as client:
        yield client


@pytest.fixture
def make_gate(broker: redis.Redis, stack: dict[str, str]) -> Iterator[Callable[..., Gate]]:
    """Makes gates that share one set of quotas, with the variables that are given; its names are removed afterwards."""
    prefix = f"test:{uuid.uuid4().hex[:12]}"

    def make(variables: dict[str, str] | None = None, **options: Any) -> Gate:
        settings = Settings.from_mapping({**stack, **(variables or {})})
        return Gate(broker, settings, KeyRing(settings), prefix=prefix, **options)

    yield make
    for name in broker.scan_iter(f"{prefix}:*"):
        broker.delete(name)


@pytest.fixture
def gate(make_gate: Callable[..., Gate]) -> Gate:
    """A gate under the providers' own quotas."""
    return make_gate()
