"""A server that refuses us, or is looked for where it is not, is told as that, with the setting to mend."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import kombu.exceptions
import psutil
import pytest
import redis

from fintrack_tasks import outages
from fintrack_tasks.cli.context import open_connections
from fintrack_tasks.errors import OutageError
from fintrack_tasks.observability import HealthChecker
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database
from fintrack_tasks.store.migrate import upgrade

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
        with pytest.raises(OutageError) as caught, open_connections(settings) as connections:
            connections.redis.ping()
        told.append(str(caught.value))
    for line in told:
        assert problem in line
        assert setting in line
        assert ("fintrack up" in line) is (problem == "does not answer")
        assert "hidden-away" not in line
        assert "\n" not in line


@pytest.mark.integration
@pytest.mark.parametrize("login", ["DB_READER", "DB_OWNER"])
def test_a_refused_login_is_told_with_its_own_settings(stack: dict[str, str], login: str) -> None:
    wrong = {f"{login}_USER": "fintrack_reader_login", f"{login}_PASSWORD": "hidden-away"}
    settings = Settings.from_mapping({**stack, **wrong})
    own = settings.as_reader() if login == "DB_READER" else settings.as_owner()
    with pytest.raises(OutageError) as caught:
        Database(own).connection().__enter__()
    told = [str(caught.value)]
    if login == "DB_READER":
        told.append(str(checked(settings, "database")["detail"]))
    else:
        with pytest.raises(OutageError) as caught:
            upgrade(own.sqlalchemy_url)
        told.append(str(caught.value))
    for line in told:
        assert f"refuses the user or the password at 127.0.0.1:{stack['DB_PORT']}" in line
        assert f"check {login}_USER and {login}_PASSWORD" in line
        assert "hidden-away" not in line


def checked(settings: Settings, name: str) -> Mapping[str, Any]:
    others = {"database", "redis", "kafka", "api_endpoints", "disk_space", "memory_usage"} - {name}
    checks = dict.fromkeys(others, lambda: "not asked")
    return HealthChecker(settings=settings, checks=checks).check_system_health().checks[name]


def test_a_full_disk_and_a_full_memory_are_told_as_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 << 20))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(percent=99.0))
    disk = str(checked(Settings(), "disk_space")["detail"])
    assert re.fullmatch(r"the disk has only 3 MB free at /.*; make room", disk)
    memory = checked(Settings(), "memory_usage")["detail"]
    assert memory == "the memory is 99% used at this machine; run fewer workers here"


def test_a_local_market_that_is_away_is_started_and_no_network_blamed() -> None:
    settings = Settings.from_mapping({"FINTRACK_SANDBOX_URL": "http://127.0.0.1:1"})
    told = checked(settings, "api_endpoints")["detail"]
    assert told == "the local market does not answer at http://127.0.0.1:1; start it with: fintrack up --detach"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("connection failed: FATAL:  sorry, too many clients already", "has no connection left"),
        (
            "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
            "no connection left",
        ),
        ("connection failed: FATAL:  the database system is starting up", "is starting or stopping"),
        ("connection failed: FATAL:  the database system is shutting down", "is starting or stopping"),
    ],
)
def test_a_server_that_is_there_is_not_told_to_be_started(text: str, problem: str) -> None:
    told = str(outages.of_postgres(text, "127.0.0.1:5432"))
    assert problem in told
    assert "fintrack up" not in told


@pytest.mark.parametrize("server", ["Redis", "Kafka", "PostgreSQL"])
def test_a_server_elsewhere_that_says_nothing_is_looked_for_and_not_started_here(server: str) -> None:
    assert str(outages.gone(server, "db.example:1", "ITS_ADDRESS")) == (
        f"{server} does not answer at db.example:1; check ITS_ADDRESS and the network, or start it there"
    )
    assert str(outages.gone(server, "127.0.0.1:1", "ITS_ADDRESS")).endswith("start it with: fintrack up --detach")


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
