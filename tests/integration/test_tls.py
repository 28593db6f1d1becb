"""Workers, beat and Flower over servers that demand TLS, by settings alone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
import requests

from fintrack_tasks.connections import Connections
from fintrack_tasks.embedded.ports import choose_port
from fintrack_tasks.errors import OutageError
from fintrack_tasks.observability import HealthChecker
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import DatabaseConnection
from fintrack_tasks.store.migrate import head, upgrade
from tests.e2e.harness import ROOT, clean_environment
from tests.integration.conftest import Workers
from tests.tls import Authority, Door

pytestmark = pytest.mark.integration

OpenDoor = Callable[..., Door]


@pytest.fixture
def secured(workers: Workers, authority: Authority, tls_door: OpenDoor) -> dict[str, str]:
    """The environment of the test's pipeline with Redis and PostgreSQL behind TLS that demands our certificate."""
    plain = Settings.from_mapping(workers.environment)
    url = plain.redis_url.get_secret_value()
    redis_port = int(url.rpartition(":")[2].partition("/")[0])
    redis_door = tls_door(redis_port, demands_certificate=True)
    database_door = tls_door(plain.db_port, demands_certificate=True, asked_first=True)
    return {
        **workers.environment,
        "REDIS_URL": url.replace("redis://", "rediss://").replace(f":{redis_port}/", f":{redis_door.port}/"),
        "REDIS_CA_FILE": str(authority.ca),
        "REDIS_CERT_FILE": str(authority.client_cert),
        "REDIS_KEY_FILE": str(authority.client_key),
        "DB_PORT": str(database_door.port),
        "DB_SSLMODE": "verify-full",
        "DB_SSLROOTCERT": str(authority.ca),
        "DB_SSLCERT": str(authority.client_cert),
        "DB_SSLKEY": str(authority.client_key),
        "MONITORING_ENABLED": "true",
    }


def test_a_run_goes_from_dispatch_to_rows_over_redis_and_postgresql_that_demand_tls(
    workers: Workers, secured: dict[str, str]
) -> None:
    workers.environment = secured
    workers.start("fetch.yahoo_finance,fetch.coinbase", "-P", "threads", "-c", "2")
    workers.start("etl,ops", "-P", "threads", "-c", "2")
    workers.await_living("etl", 1)
    workers.await_living("fetch.yahoo_finance", 1)
    run = workers.quotes(["AAPL", "MSFT"])
    workers.until(lambda: None not in workers.seconds_of(run), 60, "end of the run")
    [[loaded]] = workers.conn.execute(
        "SELECT count(*) FROM fintrack.run_items WHERE run_id = %s AND state = 'loaded'", (run,)
    ).fetchall()
    assert loaded == 2


@pytest.fixture
def process(secured: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """``celery -A fintrack_tasks WORDS`` over the secured servers; ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str, **more: str) -> subprocess.Popen[bytes]:
        with (tmp_path / f"{words[0]}.log").open("wb") as log:
            made = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "fintrack_tasks", *words],
                env={**clean_environment(), **secured, **more},
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        started.append(made)
        return made

    yield start
    for each in started:
        each.kill()
        each.wait(10)


def test_beat_keeps_its_schedule_in_a_redis_that_demands_tls(
    workers: Workers, process: Callable[..., subprocess.Popen[bytes]]
) -> None:
    process("beat")
    workers.until(lambda: workers.client.exists("fintrack:redbeat::lock"), 60, "lock of beat")
    workers.until(lambda: workers.client.exists("fintrack:redbeat:market-data"), 30, "schedule of beat")


def test_flower_reads_the_queues_of_a_redis_that_demands_tls(
    workers: Workers, process: Callable[..., subprocess.Popen[bytes]]
) -> None:
    port = choose_port(None)
    # Kubernetes says so of a service that is called flower.
    injected = {"FLOWER_PORT": "tcp://10.0.0.1:5555", "DB_PORT_5432_TCP": "tcp://10.0.0.1:5432"}
    more = {"FLOWER_BASIC_AUTH": "person:a-word-for-it", **injected}
    flower = process("flower", f"--port={port}", "--address=127.0.0.1", **more)
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = requests.get(
                f"http://127.0.0.1:{port}/api/queues/length", auth=("person", "a-word-for-it"), timeout=10
            )
            break
        except requests.ConnectionError:
            assert flower.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert answer.status_code == 200, answer.text
    assert "etl" in {queue["name"] for queue in answer.json()["active_queues"]}


def test_commands_and_programs_reach_servers_that_demand_tls(secured: dict[str, str]) -> None:
    settings = Settings.from_mapping(secured)
    assert upgrade(settings.sqlalchemy_url) == head()
    with DatabaseConnection(settings=settings) as database:
        # The door is PostgreSQL's client here; that this connection is encrypted only libpq can tell.
        assert database._conn.pgconn.ssl_in_use
        assert database.query("SELECT 1 AS one") == [{"one": 1}]
    connections = Connections(settings)
    assert connections.redis.ping()
    connections.close()
    checks = HealthChecker(settings=settings).check_system_health().checks
    assert checks["redis"]["healthy"], checks
    assert checks["database"]["healthy"], checks


def test_a_server_for_which_the_wrong_authority_vouches_is_not_spoken_to(
    secured: dict[str, str], another_authority: Authority
) -> None:
    wrong = {"REDIS_CA_FILE": str(another_authority.ca), "DB_SSLROOTCERT": str(another_authority.ca)}
    settings = Settings.from_mapping({**secured, **wrong})
    with pytest.raises(OutageError, match="certificate"):
        DatabaseConnection(settings=settings)
    connections = Connections(settings)
    with pytest.raises(redis.exceptions.ConnectionError, match="certificate"):
        connections.redis.ping()
    connections.close()


def test_a_name_that_the_certificate_does_not_bear_is_not_spoken_to(secured: dict[str, str]) -> None:
    settings = Settings.from_mapping({**secured, "REDIS_URL": secured["REDIS_URL"].replace("127.0.0.1", "127.0.0.2")})
    connections = Connections(settings)
    with pytest.raises(redis.exceptions.ConnectionError):
        connections.redis.ping()
    connections.close()


def test_a_client_that_speaks_plainly_gets_nothing_from_servers_that_demand_tls(secured: dict[str, str]) -> None:
    plain = Settings.from_mapping({**secured, "DB_SSLMODE": "disable"})
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(**plain.conninfo).close()
    url = secured["REDIS_URL"].replace("rediss://", "redis://")
    with redis.Redis.from_url(url, socket_timeout=5) as client, pytest.raises(redis.exceptions.RedisError):
        client.ping()
