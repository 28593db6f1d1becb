"""A key that its provider repeats in an answer stands nowhere afterwards: files, PostgreSQL, Redis, Flower, Kafka.

The local market plays Alpha Vantage beyond its daily limit: status 200, and a text with the caller's key in it.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit
from zoneinfo import ZoneInfo

import psutil
import psycopg
import pytest
import redis
import requests
import zstandard
from confluent_kafka import Consumer, Producer, TopicPartition
from psycopg import sql

from fintrack_tasks.sandbox import Control
from tests.e2e.harness import ROOT, Pipeline, fintrack, parse_env

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

KEY = f"Canary/{secrets.token_hex(12)}+K="  # characters that URLs and JSON write in another way, too
STOCKS = [f"KEPT{number:02}" for number in range(50)]
ALLOWED = 5
FLOWER = ("person", secrets.token_hex(8))
NEW_YORK = ZoneInfo("America/New_York")
ZSTD = b"\x28\xb5\x2f\xfd"

Found = Iterator[tuple[str, bytes]]


def forms(secret: str) -> set[bytes]:
    """How a text may be written down: plain, in a URL, in JSON, in hexadecimal, and inside of base64."""
    raw = secret.encode()
    urls = {quote(secret), quote(secret, safe=""), quote_plus(secret), quote(quote(secret, safe=""), safe="")}
    texts = {secret, secret.replace("/", "\\/"), raw.hex(), *urls, *(text.lower() for text in urls)}
    found = {text.encode() for text in texts}
    for coded in (b64encode, urlsafe_b64encode):
        for ahead in range(3):  # what comes before it decides where its characters begin
            whole = coded(bytes(ahead) + raw)  # six bits a character: those of the secret alone are kept
            found.add(whole[-(-ahead * 8 // 6) : (ahead + len(raw)) * 8 // 6])
    return found


@dataclass
class Places:
    """Everything that the running pipeline has written down, by place, as bytes."""

    pipeline: Pipeline
    sent_to_redis: list[str] = field(default_factory=list)

    def leaks(self, secret: str) -> dict[str, list[str]]:
        """Where a secret stands, by place; every place is there, and was not empty."""
        wanted = forms(secret)
        leaks: dict[str, list[str]] = {}
        for place in (self.files, self.postgres, self.redis, self.flower, self.kafka):
            seen = 0
            leaks[place.__name__] = []
            for name, content in place():
                seen += len(content)
                if any(form in content for form in wanted):
                    leaks[place.__name__].append(name)
            assert seen > 1_000, f"nothing was read of {place.__name__}"
        return leaks

    def files(self) -> Found:
        """Every file of the stack's folder (the logs, but also the state and the servers' data), every command line."""
        for path in sorted(self.pipeline.home.rglob("*")):
            if path.is_file() and not path.is_symlink():
                try:
                    yield str(path.relative_to(self.pipeline.home)), path.read_bytes()
                except FileNotFoundError:
                    continue  # a server has just removed it
        for process in psutil.process_iter(["cmdline"]):
            yield f"process {process.pid}", " ".join(process.info["cmdline"] or ()).encode()

    def connect(self) -> psycopg.Connection:
        env = self.pipeline.environment
        return psycopg.connect(
            host=env["DB_HOST"],
            port=env["DB_PORT"],
            dbname=env["DB_NAME"],
            user=env["DB_USER"],
            password=env["DB_PASSWORD"],
            autocommit=True,
        )

    def postgres(self) -> Found:
        """Every table's every column, whatever its type; what is compressed, unpacked."""
        with self.connect() as conn:
            tables = conn.execute(
                "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
                " AND table_schema NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            assert {"payloads", "run_items", "outbox", "alerts"} <= {name for _, name in tables}
            for schema, name in [*tables, ("pg_catalog", "pg_stat_activity")]:
                cursor = conn.execute(sql.SQL("SELECT * FROM {}.{}").format(*map(sql.Identifier, (schema, name))))
                columns = [column.name for column in cursor.description or ()]
                for row in cursor:
                    for column, value in zip(columns, row, strict=True):
                        yield f"{name}.{column}", as_bytes(value)

    def redis(self) -> Found:
        """Every name and value of every database, and every command since the run began: most messages are gone."""
        client = redis.Redis.from_url(self.pipeline.environment["REDIS_URL"])
        numbers = [int(name.removeprefix("db")) for name in client.info("keyspace")]
        for number in numbers:
            for name in (base := self._database(number)).scan_iter(count=1_000):
                yield f"name {name!r}", name
                yield f"value of {name!r}", repr(self._value(base, name)).encode()
        client.close()
        for command in list(self.sent_to_redis):
            yield f"command {command[:60]}", command.encode()

    def _database(self, number: int) -> redis.Redis:
        return redis.Redis.from_url(f"{self.pipeline.environment['REDIS_URL'].rpartition('/')[0]}/{number}")

    @staticmethod
    def _value(client: redis.Redis, name: bytes) -> Any:
        readers: dict[bytes, Callable[[], Any]] = {
            b"string": lambda: client.get(name),
            b"hash": lambda: client.hgetall(name),
            b"list": lambda: client.lrange(name, 0, -1),
            b"set": lambda: client.smembers(name),
            b"zset": lambda: client.zrange(name, 0, -1, withscores=True),
            b"stream": lambda: client.xrange(name),
            b"none": lambda: None,  # it has just expired
        }
        return readers[client.type(name)]()

    def flower(self) -> Found:
        """What it shows to programs and to people."""
        url = f"http://127.0.0.1:{self.pipeline.environment['FLOWER_PORT']}"
        tasks = requests.get(f"{url}/api/tasks?limit=100000", auth=FLOWER, timeout=60)
        yield "api/tasks", tasks.content
        pages = ["api/workers?refresh=1", "api/queues/length", "workers", "tasks", "broker"]
        for page in [*pages, *(f"task/{number}" for number in list(tasks.json())[:20])]:
            answer = requests.get(f"{url}/{page}", auth=FLOWER, timeout=60)
            assert answer.status_code == 200, (page, answer.status_code)
            yield page, answer.content

    def kafka(self) -> Found:
        """Every message of both topics with its key and headers."""
        for topic in self.topics():
            for message in consumed(self.pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"], topic):
                parts = [message.key() or b"", message.value() or b"", repr(message.headers()).encode()]
                yield topic, b"\n".join(parts)

    def topics(self) -> list[str]:
        env = self.pipeline.environment
        names = {"KAFKA_TOPIC_MARKET_DATA": "market-data", "KAFKA_TOPIC_NOTIFICATIONS": "notifications"}
        return [env.get(name, default) for name, default in names.items()]


def as_bytes(value: object) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value)
        return raw + zstandard.ZstdDecompressor().decompress(raw, 64 * 1024 * 1024) if raw.startswith(ZSTD) else raw
    return (json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)).encode()


def consumed(bootstrap: str, topic: str) -> Iterator[Any]:
    settings = {"bootstrap.servers": bootstrap, "group.id": f"leaks-{time.time_ns()}", "enable.auto.commit": False}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        deadline = time.monotonic() + 30
        while (batch := consumer.consume(500, timeout=2)) and time.monotonic() < deadline:
            for message in batch:
                assert message.error() is None
                yield message
    finally:
        consumer.close()


@contextmanager
def watched(url: str, commands: list[str]) -> Iterator[None]:
    """Collect every command that Redis gets meanwhile."""
    client = redis.Redis.from_url(url, socket_timeout=1)
    ending, began = threading.Event(), threading.Event()

    def work() -> None:
        with client.monitor() as monitor:
            began.set()
            while not ending.is_set():
                try:
                    commands.append(monitor.next_command()["command"])
                except redis.exceptions.TimeoutError:
                    continue

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert began.wait(10)
    try:
        yield
    finally:
        ending.set()
        thread.join(10)
        client.close()


@dataclass(frozen=True)
class Spent:
    """A run of fifty stocks whose first provider's day was used up after five."""

    places: Places
    result: dict[str, Any]
    began: datetime
    ended: datetime
    asked: dict[str, int]

    @property
    def pipeline(self) -> Pipeline:
        return self.places.pipeline

    @property
    def control(self) -> Control:
        return Control(self.pipeline.environment["ALPHA_VANTAGE_BASE_URL"].removesuffix("/alpha_vantage"))


@pytest.fixture(scope="module")
def spent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spent]:
    home = tmp_path_factory.mktemp("keys")
    own = {
        "API_KEY_ALPHA_VANTAGE": KEY,
        "FINTRACK_ROUTE_STOCK_QUOTE": "alpha_vantage,yahoo_finance",
        "ALPHA_VANTAGE_QUOTA": "100/s,500/d",
        "FINTRACK_ITEM_DEADLINE_SECONDS": "20",
        "LOG_LEVEL": "DEBUG",
        "FLOWER_PORT": "0",
        "FLOWER_BASIC_AUTH": ":".join(FLOWER),
    }
    fintrack(home, "up", "--detach", environment=own)
    try:
        pipeline = Pipeline(home, {**own, **parse_env(fintrack(home, "env").stdout)})
        yield run_until_spent(pipeline)
    finally:
        fintrack(home, "down", check=False)


def run_until_spent(pipeline: Pipeline) -> Spent:
    places, began = Places(pipeline), datetime.now(tz=UTC)
    spent = Spent(places, {}, began, began, {})
    pipeline.query("UPDATE instruments SET is_active = false RETURNING id")  # a tick of the schedule asks nobody
    spent.control.set_quotas(alpha_vantage=f"{ALLOWED}/d")
    spent.control.reset()
    with watched(pipeline.environment["REDIS_URL"], places.sent_to_redis):
        result = pipeline.run("market-data", "--symbols", ",".join(STOCKS))
    asked = spent.control.requests(listed=False)["by_provider"]
    return Spent(places, result, began, datetime.now(tz=UTC), asked)


def test_a_run_completes_through_the_next_provider_when_the_firsts_day_is_used_up(spent: Spent) -> None:
    counts = spent.result["jobs"]["fetch_market_data"]
    assert (counts["items"], counts["loaded"], counts["failed"]) == (50, 50, 0)
    loaded = spent.pipeline.query(
        "SELECT q.source, count(*) AS n FROM quotes q JOIN run_items i ON i.id = q.item_id WHERE i.run_id = %s"
        " GROUP BY q.source",
        spent.result["run_id"],
    )
    assert {row["source"]: row["n"] for row in loaded} == {"alpha_vantage": ALLOWED, "yahoo_finance": 50 - ALLOWED}
    # Those that were on their way when the limit was met were refused; nobody else asked in vain.
    refused = spent.asked["alpha_vantage"] - ALLOWED
    assert 1 <= refused <= 10
    [told] = spent.pipeline.query(
        "SELECT count(*) AS n FROM run_items, jsonb_array_elements(attempt_log) AS attempt WHERE run_id = %s"
        " AND attempt->>'provider' = 'alpha_vantage' AND attempt->>'reason' = 'quota' AND NOT attempt ? 'asked'",
        spent.result["run_id"],
    )
    assert told["n"] == refused


def test_the_provider_does_repeat_the_key_and_what_is_kept_of_its_answer_has_a_mask_there(spent: Spent) -> None:
    url = spent.pipeline.environment["ALPHA_VANTAGE_BASE_URL"]
    params = {"function": "GLOBAL_QUOTE", "symbol": "AAPL", "apikey": KEY}
    answer = requests.get(f"{url}/query", params, timeout=10)
    assert answer.status_code == 200
    assert any(form in answer.content for form in forms(KEY))
    kept = spent.pipeline.query("SELECT body FROM payloads WHERE provider = 'alpha_vantage'")
    assert [row for row in kept if b"detected your API key as [masked] and" in as_bytes(row["body"])]


def test_the_key_stands_nowhere(spent: Spent) -> None:
    debug = [log.name for log in (spent.pipeline.home / "logs").glob("*.log") if "debug" in log.read_text().lower()]
    assert debug  # the most talkative level was on
    assert len(spent.places.sent_to_redis) > 500
    assert [command for command in spent.places.sent_to_redis if STOCKS[7] in command]
    assert spent.places.leaks(KEY) == {"files": [], "postgres": [], "redis": [], "flower": [], "kafka": []}


def test_flower_shows_no_password_of_a_server(spent: Spent) -> None:
    """Workers tell their settings to whoever asks; Celery knows only of its own which of them hold a password."""
    environment = spent.pipeline.environment
    passwords = [
        environment["DB_PASSWORD"],
        environment["DB_READER_PASSWORD"],
        urlsplit(environment["REDIS_URL"]).password or "",
    ]
    assert all(len(password) > 8 for password in passwords)
    shown = list(spent.places.flower())
    assert [page for page, content in shown for password in passwords if password.encode() in content] == []


def test_the_state_of_the_provider_says_until_when_it_is_closed_and_what_is_used(spent: Spent) -> None:
    told = json.loads(spent.pipeline.fintrack("providers", "--json").stdout.splitlines()[-1])
    [row] = [each for each in told["providers"] if each["name"] == "alpha_vantage"]
    [key] = row["keys"]
    closed = datetime.fromisoformat(key["closed_until"])
    midnights = [
        datetime.combine(at.astimezone(NEW_YORK).date() + timedelta(days=1), datetime.min.time(), NEW_YORK)
        for at in (spent.began, spent.ended)
    ]
    assert midnights[0] - timedelta(seconds=5) <= closed <= midnights[1] + timedelta(seconds=5)
    [_, day] = key["used"]
    asked = spent.asked["alpha_vantage"]
    assert day == {"limit": 500, "seconds": 86_400, "used": asked, "left": 500 - asked}
    assert key["rejected_until"] is None
    assert KEY not in json.dumps(told)
    shown = spent.pipeline.fintrack("providers").stdout
    assert "quota until" in " ".join(shown.split())


@pytest.mark.soak
def test_whatever_is_written_into_one_of_these_places_is_found_there(spent: Spent) -> None:
    """The control: a search that finds nothing proves something only when it would find it."""
    places, canary = spent.places, f"Control/{secrets.token_hex(12)}+C="
    assert places.leaks(canary) == {"files": [], "postgres": [], "redis": [], "flower": [], "kafka": []}
    plant(places, canary)
    deadline = time.monotonic() + 30
    while not (found := places.leaks(canary))["flower"] and time.monotonic() < deadline:
        time.sleep(0.5)  # Flower hears of a task when its worker tells of it
    assert {"payloads.body", "audit_log.detail"} <= set(found["postgres"])
    assert "logs/ops.log" in found["files"]
    assert {"value of b'canary:list'", "value of b'canary:hash'"} <= set(found["redis"])
    assert "api/tasks" in found["flower"]
    assert set(found["kafka"]) == set(places.topics())


def plant(places: Places, canary: str) -> None:
    """Write a canary into every place, each time as it might come there."""
    with (places.pipeline.home / "logs" / "ops.log").open("a") as log:
        log.write(f"GET /query?apikey={quote_plus(canary)} HTTP/1.1\n")
    with places.connect() as conn:
        body = zstandard.compress(f'{{"Information": "key as {canary}"}}'.encode())
        conn.execute(
            "INSERT INTO fintrack.payloads (sha256, provider, path, status, headers, body, size, received_at)"
            " VALUES (%s, 'canary', '/', 200, '{}', %s, 1, now())",
            (secrets.token_bytes(32), body),
        )
        conn.execute(
            "INSERT INTO fintrack.audit_log (actor, action, subject, detail, created_at)"
            " VALUES ('test', 'canary', '', %s, now())",
            (json.dumps({"said": [canary]}),),
        )
    with redis.Redis.from_url(places.pipeline.environment["REDIS_URL"]) as client:
        client.rpush("canary:list", json.dumps({"body": b64encode(f'[["x", "{canary}"]]'.encode()).decode()}))
        client.hset("canary:hash", "a", quote(canary, safe=""))
        client.expire("canary:list", 600)
        client.expire("canary:hash", 600)
    producer = Producer({"bootstrap.servers": places.pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]})
    market_data, notifications = places.topics()
    producer.produce(market_data, json.dumps({"said": canary}), key="canary")
    producer.produce(notifications, b"{}", key="canary", headers={"said": canary})
    assert producer.flush(10) == 0
    code = f"from fintrack_tasks import app; app.send_task('fintrack.cleanup', queue='ops', args=({canary!r},))"
    environment = {"PATH": "/usr/bin:/bin", **places.pipeline.environment}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, cwd=ROOT, timeout=60)
