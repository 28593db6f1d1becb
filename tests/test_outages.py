"""A server that refuses us, or is looked for where it is not, is told as that, with the setting to mend."""

from __future__ import annotations

import re
from collections.abc import Callable

import kombu.exceptions
import pytest
import redis

from fintrack_tasks import outages
from fintrack_tasks.cli.context import opened
from fintrack_tasks.errors import OutageError
from fintrack_tasks.observability import HealthChecker
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database

NO_HOST = "no-such-host.invalid"
"""A name that is promised never to exist (RFC 2606)."""


def port_of(url: str) -> str:
    return url.rpartition(":")[2].partition("/")[0]


WRONG: dict[str, tuple[Callable[[dict[str, str]], dict[str, str]], str, str]] = {
    "database password": (lambda _: {"DB_PASSWORD": "hidden-away"}, "refuses the user or the password", "DB_PASSWORD"),
    "database without a password": (lambda _: {"DB_PASSWORD": ""}, "refuses the user or the password", "DB_PASSWORD"),
    "database user": (lambda _: {"DB_USER": "nobody-here"}, "refuses the user or the password", "DB_USER"),
    "database name": (lambda _: {"DB_NAME": "nowhere"}, "has no such database", "DB_NAME"),
    "database host": (lambda _: {"DB_HOST": NO_HOST}, "cannot be found", "DB_HOST"),
    "database port": (lambda _: {"DB_PORT": "1"}, "does not answer", "DB_PORT"),
    "database TLS": (lambda _: {"DB_SSLMODE": "require"}, "speaks no TLS", "DB_SSLMODE"),
    "redis password": (
        lambda e: {"REDIS_URL": f"redis://:hidden-away@127.0.0.1:{port_of(e['REDIS_URL'])}/0"},
        "refuses the user or the password",
        "REDIS_URL",
    ),
    "redis without a password": (
        lambda e: {"REDIS_URL": f"redis://127.0.0.1:{port_of(e['REDIS_URL'])}/0"},
        "wants a password",
        "REDIS_URL",
    ),
    "redis host": (lambda _: {"REDIS_URL": f"redis://:hidden-away@{NO_HOST}:6379/0"}, "cannot be found", "REDIS_URL"),
    "redis port": (lambda _: {"REDIS_URL": "redis://:hidden-away@127.0.0.1:1/0"}, "does not answer", "REDIS_URL"),
    "redis at the port of another server": (
        lambda e: {"REDIS_URL": f"redis://:hidden-away@127.0.0.1:{e['DB_PORT']}/0"},
        "does not speak Redis' protocol",
        "REDIS_URL",
    ),
    "redis database": (lambda e: {"REDIS_URL": e["REDIS_URL"][:-2] + "/99"}, "no database of that number", "REDIS_URL"),
    "kafka host": (
        lambda _: {"KAFKA_BOOTSTRAP_SERVERS": f"{NO_HOST}:9092"}, "cannot be found", "KAFKA_BOOTSTRAP_SERVERS",
    ),
}  # fmt: skip


@pytest.mark.integration
@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_with_a_server_is_told_as_what_it_is(stack: dict[str, str], what: str) -> None:
    change, problem, setting = WRONG[what]
    settings = Settings.from_mapping({**stack, **change(stack)})
    ours = {"database": "database", "redis": "redis", "kafka": "kafka"}[what.split(maxsplit=1)[0]]
    others = {"database", "redis", "kafka", "api_endpoints", "disk_space", "memory_usage"} - {ours}
    status = HealthChecker(settings=settings, checks=dict.fromkeys(others, lambda: "not asked")).check_system_health()
    told = [str(status.checks[ours]["detail"])]
    if ours == "database":
        with pytest.raises(OutageError) as caught:
            Database(settings).connection().__enter__()
        told.append(str(caught.value))
    if ours == "redis":
        with pytest.raises(OutageError) as caught, opened(settings) as connections:
            connections.redis.ping()
        told.append(str(caught.value))
    for line in told:
        assert problem in line
        assert setting in line
        assert ("fintrack up" in line) is (problem == "does not answer")
        assert "hidden-away" not in line
        assert "\n" not in line


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (kombu.exceptions.OperationalError("invalid username-password pair or user is disabled."), "refuses the user"),
        (
            kombu.exceptions.OperationalError("Error -3 connecting to r:1. Temporary failure in name resolution."),
            "found",
        ),
        (redis.ConnectionError("Error 111 connecting to 10.0.0.9:6379. Connection refused."), "does not answer"),
        (redis.TimeoutError("Timeout reading from socket"), "does not answer in time"),
        (redis.exceptions.NoPermissionError("this user has no permissions to run the 'set' command"), "does not allow"),
        (redis.ResponseError("unknown command 'WAIT'"), "it says: unknown command"),
    ],
)
def test_a_text_of_redis_client_is_read_for_what_it_says(error: Exception, problem: str) -> None:
    told = str(outages.of_redis(error, "redis://10.0.0.9:6379/0"))
    assert problem in told
    assert "fintrack up" not in told


@pytest.mark.parametrize(
    ("address", "start"), [("127.0.0.1:1", True), ("localhost:1", True), ("[::1]:1", True), ("db.example:1", False)]
)
def test_only_what_may_be_here_is_started_here(address: str, start: bool) -> None:
    told = outages.of_postgres("connection failed: port 1 failed: Connection refused", address)
    assert told is not None
    assert ("fintrack up" in str(told)) is start
    assert "DB_HOST and DB_PORT" in str(told)


def test_any_other_text_is_not_read() -> None:
    assert outages.of_postgres("deadlock detected", "127.0.0.1:1") is None
    assert re.search("start it with", str(outages.of_redis(redis.ConnectionError("gone"), "redis://127.0.0.1:1/0")))
