"""``fintrack health`` tells of each provider what the fleet knows: circuits, quotas, what bars it; nobody is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from fintrack_tasks.cli.health import _with_standing
from fintrack_tasks.domain import Budget
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import HttpRequest
from fintrack_tasks.fetch.quota.gate import Gate
from fintrack_tasks.fetch.quota.keys import KeyRing
from fintrack_tasks.fetch.quota.permits import Permit
from fintrack_tasks.settings import Settings
from tests.e2e.harness import fintrack

REDIS_DATABASE = 11
"""Not one that the other tests of a run use at the same time."""


@pytest.fixture
def live(stack: dict[str, str]) -> Iterator[dict[str, str]]:
    """Variables of a stack that asks the real providers, whose Redis knows nothing yet."""
    url = re.sub(r"/\d+$", f"/{REDIS_DATABASE}", stack["REDIS_URL"])
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield {**stack, "REDIS_URL": url}
        client.flushdb()


def checked(home: Path, environment: dict[str, str]) -> dict[str, Any]:
    shown = fintrack(home, "health", "--json", check=False, environment=environment).stdout
    return dict(json.loads(shown.splitlines()[-1]))


@pytest.mark.integration
def test_an_open_circuit_is_no_good_health_although_nobody_is_asked(tmp_path: Path, live: dict[str, str]) -> None:
    before = checked(tmp_path, live)
    assert before["checks"]["api_endpoints"]["healthy"] is True
    settings = Settings.from_mapping(live)
    facts = provider("yahoo_finance").facts
    with redis.Redis.from_url(live["REDIS_URL"]) as client:
        gate = Gate(client, settings, KeyRing(settings))
        for _ in range(5):
            taken = gate.acquire(facts, HttpRequest("/"), budget=Budget.REAL_TIME)
            assert isinstance(taken, Permit)
            gate.release(taken, "failed")
    after = checked(tmp_path, live)
    told = after["checks"]["api_endpoints"]
    assert told["healthy"] is False
    assert after["healthy"] is False
    assert re.search(r"yahoo_finance: circuit open until \d\d:\d\d:\d\d UTC after failures", told["detail"])
    assert "coinbase: 0 of 10 per 1 s used" in told["detail"]
    standing = {row["name"]: row for row in after["providers"]}
    assert (standing["yahoo_finance"]["circuit"], standing["coinbase"]["circuit"]) == ("open", "closed")
    [key] = standing["yahoo_finance"]["keys"]
    assert [each["used"] for each in key["used"] if each["limit"] == 100] == [5]  # to look costs no quota


def row(**changes: Any) -> dict[str, Any]:
    key = {"key": "1", "used": [{"limit": 60, "seconds": 60.0, "used": 60, "left": 0}], "closed_until": None,
           "rejected_until": None, "entitlements": {}}  # fmt: skip
    quotas = [{"limit": 60, "seconds": 60.0}]
    usual = {"name": "finnhub", "circuit": "closed", "circuit_until": None, "keys": [key], "quotas": quotas}
    changes["keys"] = [{**key, **each} for each in changes.get("keys", [{}])]
    return {**usual, **changes}


LATER = datetime(2024, 5, 6, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "healthy", "said"),
    [
        ({}, True, "finnhub: 60 of 60 per 60 s used"),
        ({"keys": [{"closed_until": LATER}]}, True, "1: quota until 15:30:00"),
        ({"keys": [{"rejected_until": LATER}]}, False, "1: key refused until 15:30:00"),
        ({"keys": [{"rejected_until": LATER}, {"key": "2"}]}, True, "1: key refused until 15:30:00"),
        ({"circuit": "half-open"}, False, "circuit half-open"),
        ({"circuit": "closed, 2 failures"}, True, "circuit closed, 2 failures"),
    ],
)
def test_what_bars_a_provider_is_told_and_a_used_up_quota_is_no_fault(
    changes: dict[str, Any], healthy: bool, said: str
) -> None:
    found = _with_standing({"healthy": True, "detail": "not asked", "seconds": 0.0}, [row(**changes)])
    assert found["healthy"] is healthy
    assert said in found["detail"]


def test_a_provider_without_its_key_is_not_told_of() -> None:
    found = _with_standing({"healthy": True, "detail": "not asked", "seconds": 0.0}, [{**row(), "keys": []}])
    assert found == {"healthy": True, "detail": "not asked", "seconds": 0.0}
