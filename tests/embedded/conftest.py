"""A folder for a stack of a test's own, with everything in it ended and removed afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import confluent_kafka.admin
import psutil
import psycopg
import pytest
import redis

from fintrack_tasks.embedded import Stack
from fintrack_tasks.embedded.process import find_marked


def living(home: Path) -> dict[int, str]:
    """Process id to program name of all that carries the stack's mark or works in its folders."""
    found = {pid: psutil.Process(pid).name() for pid in find_marked(home.resolve())}
    folders = {home.resolve(), (home / "postgres").resolve()}
    for process in psutil.process_iter(["name", "cwd", "status"]):
        cwd = Path(process.info["cwd"] or "/proc")
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(cwd.is_relative_to(folder) for folder in folders):
            found[process.pid] = process.info["name"]
    return found


@pytest.fixture(name="living")
def living_fixture() -> Callable[[Path], dict[int, str]]:
    """Process id to program name of all that runs for the stack in a folder."""
    return living


@pytest.fixture
def new_home() -> Iterator[Callable[[Path], Path]]:
    """Registers a folder for a stack; at the end whatever runs there is stopped and the folder removed."""
    homes: list[Path] = []

    def register(home: Path) -> Path:
        homes.append(home)
        return home

    yield register
    for home in reversed(homes):
        Stack(home).stop(grace=2)
        left = living(home)
        link = home / "postgres"
        if link.is_symlink():
            shutil.rmtree(link.resolve().parent)
        shutil.rmtree(home)
        assert left == {}, "a process of the stack outlived stop()"


@pytest.fixture
def home(new_home: Callable[[Path], Path]) -> Path:
    """An empty folder that PostgreSQL's account can pass, unlike pytest's own temporary folders."""
    folder = Path(tempfile.mkdtemp(prefix="fintrack-test-"))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return new_home(folder)


class Clients:
    """The project's own client libraries, pointed at a stack by its environment."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def postgres(self) -> psycopg.Connection[tuple[object, ...]]:
        env = self.environment
        return psycopg.connect(
            host=env["DB_HOST"],
            port=env["DB_PORT"],
            dbname=env["DB_NAME"],
            user=env["DB_USER"],
            password=env["DB_PASSWORD"],
            sslmode=env["DB_SSLMODE"],
            connect_timeout=5,
        )

    def valkey(self) -> redis.Redis:
        return redis.Redis.from_url(self.environment["REDIS_URL"], decode_responses=True)

    def topics(self) -> set[str]:
        admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": self.environment["KAFKA_BOOTSTRAP_SERVERS"]})
        return set(admin.list_topics(timeout=10).topics)

    def make_topic(self, name: str) -> None:
        admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": self.environment["KAFKA_BOOTSTRAP_SERVERS"]})
        admin.create_topics([confluent_kafka.admin.NewTopic(name, 1, 1)])[name].result(10)

    def write(self) -> None:
        """Leave a row and a queue of three messages. The row is a large object's: writers make no tables."""
        with self.postgres() as connection:
            connection.execute("SELECT lo_from_bytea(%s, 'row')", (_KEPT,))
        with self.valkey() as client:
            client.rpush("queue", "first", "second", "third")

    def kept(self) -> tuple[str, list[str]]:
        """The row and the queue."""
        with self.postgres() as connection:
            row = connection.execute("SELECT convert_from(lo_get(%s), 'UTF8')", (_KEPT,)).fetchone()
        assert row is not None
        with self.valkey() as client:
            return str(row[0]), client.lrange("queue", 0, -1)


_KEPT = 4711
KEPT = ("row", ["first", "second", "third"])


@pytest.fixture
def clients() -> type[Clients]:
    return Clients


@pytest.fixture
def kept() -> tuple[str, list[str]]:
    """What :meth:`Clients.kept` answers as long as nothing was lost."""
    return KEPT
