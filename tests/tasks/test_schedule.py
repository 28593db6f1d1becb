"""Beat processes on a server of their own, which is killed, emptied and started again under them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
import yaml
from celery import Celery

from fintrack_tasks import celeryconfig
from fintrack_tasks.embedded.ports import choose_port
from fintrack_tasks.embedded.process import ProcessState, terminate
from fintrack_tasks.embedded.valkey import Valkey
from fintrack_tasks.tasks.schedule import SteadyScheduler
from tests.e2e.harness import ROOT, clean_environment

pytestmark = pytest.mark.integration

BEAT = """
import sys
from fintrack_tasks.app import app
app.conf.update(
    beat_schedule={
        "each-second": {"task": "fintrack.reconcile", "schedule": 1.0},
        "hourly": {"task": "fintrack.cleanup", "schedule": 3600},
    },
    redbeat_lock_timeout=4,
    beat_max_loop_interval=1,
)
app.Beat(loglevel="INFO").run()
"""
"""What `celery -A fintrack_tasks beat` runs, with short times."""

LOCK = "fintrack:redbeat::lock"
ENTRIES = "fintrack:redbeat::schedule"


class Server:
    """A Valkey that a test may hurt."""

    def __init__(self, home: Path) -> None:
        self._server = Valkey(home, "hidden-away")
        self._server.log.parent.mkdir(parents=True)
        self._server.prepare(lambda _: None)
        self.port = choose_port(None)
        self._process: ProcessState | None = None
        self.url = f"redis://:hidden-away@127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.url, decode_responses=True)

    def start(self) -> None:
        self._process = self._server.launch(self.port)
        self._server.wait(self._process, self.port, 20)

    def kill(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        assert until(lambda: not (self._process and self._process.running), 5)

    def stop(self) -> None:
        self.client.close()
        if self._process is not None:
            terminate([self._process], 5)

    def sent(self) -> list[int]:
        """The process ids of the beats that sent the waiting messages, oldest first; the queue is emptied."""
        found: list[int] = []
        for name in self.client.scan_iter("fintrack:[op]*", _type="list"):  # of ops and publish
            while text := self.client.rpop(name):
                origin = json.loads(str(text))["headers"]["origin"]  # gen1234@host
                found.append(int(origin.partition("@")[0].removeprefix("gen")))
        return found


class Beat:
    """A beat process and its log."""

    def __init__(self, url: str, log: Path) -> None:
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-c", BEAT],
                env={**clean_environment(), "REDIS_URL": url},
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def said(self, what: str) -> int:
        return sum(what in line for line in self._log.read_text().splitlines())

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        return self._process.wait(30)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def beat(server: Server, tmp_path: Path) -> Iterator[Callable[[], Beat]]:
    """Starts a beat."""
    started: list[Beat] = []

    def start() -> Beat:
        started.append(Beat(server.url, tmp_path / f"beat{len(started)}.log"))
        return started[-1]

    yield start
    for each in started:
        each.end(signal.SIGKILL)


def until(condition: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.chaos
def test_the_schedule_survives_a_killed_server_and_says_so_once(server: Server, beat: Callable[[], Beat]) -> None:
    one = beat()
    assert until(server.sent, 20)
    for outage in (1, 2):
        server.kill()
        assert until(lambda n=outage: one.said("schedule_waits_for_redis") == n, 15)  # type: ignore[misc]  # bound now
        time.sleep(4)  # several attempts are made meanwhile
        server.start()
        server.sent()
        assert until(server.sent, 15)
        assert one.alive
        assert one.said("schedule_waits_for_redis") == outage
    assert one.said("schedule_goes_on") == 2
    assert one.said("Traceback") == one.said("hidden-away") == 0
    assert one.end() == 0
    assert not server.client.exists(LOCK)


def test_a_beat_that_starts_before_its_server_waits_for_it(server: Server, beat: Callable[[], Beat]) -> None:
    server.kill()
    one = beat()
    assert until(lambda: one.said("schedule_waits_for_redis"), 20)
    server.start()
    assert until(server.sent, 15)
    assert one.said("schedule_waits_for_redis") == 1
    assert one.said("Traceback") == 0


def test_a_beat_stops_in_order_while_its_server_is_away(server: Server, beat: Callable[[], Beat]) -> None:
    one = beat()
    assert until(server.sent, 20)
    server.kill()
    assert until(lambda: one.said("schedule_waits_for_redis"), 15)
    assert one.end() == 0
    assert one.said("Traceback") == 0


def test_a_server_that_forgets_everything_gets_the_schedule_again(server: Server, beat: Callable[[], Beat]) -> None:
    one = beat()
    assert until(server.sent, 20)
    server.client.flushall()
    assert until(server.sent, 10)
    names = {f"fintrack:redbeat:{name}" for name in ("each-second", "hourly")}
    assert set(server.client.zrange(ENTRIES, 0, -1)) >= names
    assert server.client.exists(LOCK)
    assert one.alive
    assert one.said("schedule_lock_lost") == 1
    assert one.said("Traceback") == 0


def test_what_is_due_once_an_hour_keeps_its_time_through_an_outage(server: Server, beat: Callable[[], Beat]) -> None:
    beat()
    assert until(server.sent, 20)
    due = server.client.zscore(ENTRIES, "fintrack:redbeat:hourly")
    server.kill()
    server.start()
    server.sent()
    assert until(server.sent, 15)
    assert server.client.zscore(ENTRIES, "fintrack:redbeat:hourly") == pytest.approx(due, abs=1)


@pytest.mark.chaos
def test_a_second_beat_stands_by_and_takes_over(server: Server, beat: Callable[[], Beat]) -> None:
    first = beat()
    assert until(server.sent, 20)
    second = beat()
    assert until(lambda: second.said("schedule_stands_by"), 20)

    def senders(seconds: float) -> set[int]:
        server.sent()
        time.sleep(seconds)
        return set(server.sent())

    assert senders(4) == {first.pid}
    server.client.flushall()  # whoever is first takes the lock; the other one stands by
    assert until(server.sent, 10)
    assert len(senders(4)) == 1
    server.kill()
    time.sleep(1)
    server.start()
    server.sent()
    assert until(server.sent, 15)
    [leader] = senders(4)
    leading, standing = (first, second) if leader == first.pid else (second, first)
    leading.end(signal.SIGKILL)
    server.sent()
    assert until(server.sent, 15)  # when the lock of the dead one has expired
    assert senders(3) == {standing.pid}
    third = beat()
    assert until(lambda: third.said("schedule_stands_by"), 20)
    standing.end()
    server.sent()
    assert until(server.sent, 3)  # the lock was given back, not waited for
    assert senders(3) == {third.pid}


@pytest.mark.chaos
def test_a_beat_that_slept_past_its_lock_does_not_tick_beside_its_successor(
    server: Server, beat: Callable[[], Beat]
) -> None:
    first, second = beat(), None
    assert until(server.sent, 20)
    second = beat()
    assert until(lambda: second.said("schedule_stands_by"), 20)
    os.kill(first.pid, signal.SIGSTOP)
    assert until(lambda: second.said("schedule_taken"), 15)
    os.kill(first.pid, signal.SIGCONT)
    assert until(lambda: first.said("schedule_lock_lost"), 10)
    server.sent()
    time.sleep(4)
    assert set(server.sent()) == {second.pid}


def test_a_message_that_an_outage_swallowed_is_sent_when_the_broker_is_back(server: Server, tmp_path: Path) -> None:
    broker = Server(tmp_path / "broker")
    broker.start()
    app = Celery(broker=broker.url, set_as_current=False)
    hourly = {"task": "fintrack.cleanup", "schedule": 3600, "options": {"queue": "fintrack:ops"}}
    app.conf.update(redbeat_redis_url=server.url, redbeat_key_prefix="fintrack:redbeat:", redbeat_lock_timeout=30)
    app.conf.update(beat_schedule={"hourly": hourly}, redbeat_redis_options={"socket_timeout": 5})
    scheduler = SteadyScheduler(app, max_interval=5)
    try:
        assert scheduler.tick() == 5
        entry = scheduler.Entry.from_key("fintrack:redbeat:hourly", app)
        scheduler.producer.connection.ensure_connection()
        entry.reschedule(datetime.now(tz=UTC) - timedelta(hours=2))  # it is due, and its run is written down first
        broker.kill()
        assert scheduler.tick() == 1
        assert scheduler.tick() == 2
        broker.start()
        scheduler.tick()
        assert broker.sent() == [os.getpid()]
        scheduler.tick()
        assert broker.sent() == []
    finally:
        scheduler.close()
        broker.stop()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("stranger", None),
        ("stranger", {"definition": "garbage", "meta": "{}"}),
        ("stranger", {"definition": '{"name": "stranger"}', "meta": '{"last_run_at": null}'}),
        ("stranger", {"definition": '{"name": "stranger"}', "meta": "{}"}),
        ("stranger", {"definition": '{"name": "stranger", "task": "x"}', "meta": "garbage"}),
        ("hourly", None),
        ("hourly", {"definition": "[]", "meta": "{}"}),
    ],
)
def test_an_entry_that_nobody_can_read_holds_no_other_back(
    server: Server, name: str, fields: dict[str, str] | None
) -> None:
    app = Celery(broker=server.url, set_as_current=False)
    hourly = {"task": "fintrack.cleanup", "schedule": 3600, "options": {"queue": "fintrack:ops"}}
    app.conf.update(redbeat_redis_url=server.url, redbeat_key_prefix="fintrack:redbeat:", redbeat_lock_timeout=30)
    app.conf.update(beat_schedule={"hourly": hourly}, redbeat_redis_options={"socket_timeout": 5})
    scheduler = SteadyScheduler(app, max_interval=5)
    try:
        assert scheduler.tick() == 5
        key = f"fintrack:redbeat:{name}"
        server.client.delete(key)
        if fields:
            server.client.hset(key, mapping=fields)
        else:
            server.client.set(key, "text where a hash belongs")
        server.client.zadd(ENTRIES, {key: 1})
        assert scheduler.tick() in (0, 5)  # RedBeat itself takes out some
        assert scheduler.tick() == 5
        left = set(server.client.zrange(ENTRIES, 0, -1))
        assert left - {"fintrack:redbeat:celery.backend_cleanup"} == {"fintrack:redbeat:hourly"}
        assert scheduler.Entry.from_key("fintrack:redbeat:hourly", app).task == "fintrack.cleanup"
    finally:
        scheduler.close()


def test_beat_is_started_with_this_scheduler_everywhere() -> None:
    assert celeryconfig.beat_scheduler == "fintrack_tasks.tasks.schedule:SteadyScheduler"
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert services["beat"]["command"] == "celery -A fintrack_tasks beat"
