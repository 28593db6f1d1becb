"""Publishing to a real Kafka: what it refuses, what it keeps over a restart, and what a plain consumer then reads."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from uuid import uuid4

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from fintrack_tasks.domain import Event
from fintrack_tasks.errors import ConfigurationError, OutageError
from fintrack_tasks.observability.health import HealthChecker
from fintrack_tasks.publish.kafka import count_messages, end_offsets, ensure_topics
from fintrack_tasks.publish.messages import decode
from fintrack_tasks.publish.producer import Producer
from fintrack_tasks.publish.relay import drain
from fintrack_tasks.settings import Settings
from tests.kafka.broker import Broker
from tests.publish.test_kafka import event
from tests.publish.test_relay import Outbox

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]


def read_plainly(bootstrap: str, topic: str) -> list[Message]:
    """All that a topic holds, by a consumer that nothing of ours has set up; each partition in its order."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid4().hex, "enable.partition.eof": True})
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    found, ended = [], set()
    deadline = time.monotonic() + 60
    while len(ended) < len(partitions):
        assert time.monotonic() < deadline, f"{topic} was not read to its end"
        for message in consumer.consume(1000, timeout=1):
            if message.error() is None:
                found.append(message)
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                ended.add(message.partition())
    consumer.close()
    return found


def header_id(message: Message) -> str:
    return dict(message.headers())["event_id"].decode()


def number(message: Message) -> int:
    return int(decode(message.value())["number"])


@pytest.fixture
def narrow_topic(broker: Broker) -> str:
    """It takes 20 kB at most, and has one partition, so that the events of all keys come into the same batches."""
    name = f"test-{uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})  # its futures end with it
    admin.create_topics([NewTopic(name, 1, 1, config={"max.message.bytes": "20000"})])[name].result(20)
    broker.await_topic(name)
    return name


def incompressible(topic: str, key: str, number: int, size: int) -> Event:
    made = event(topic, key, number)
    return Event(made.id, topic, key, made.value.replace('"padding": ""', f'"padding": "{secrets.token_hex(size)}"'))


# --- Topics ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["not a topic/name", "x" * 250, ".."])
def test_a_topic_name_that_kafka_does_not_take_is_a_matter_of_configuration(broker: Broker, name: str) -> None:
    """And the others of the same call are made all the same."""
    good = f"test-{uuid4().hex}"
    with pytest.raises(ConfigurationError, match="does not create the topic") as caught:
        ensure_topics(broker.bootstrap, [name, good])

    told = str(caught.value)
    assert told.startswith(f"Kafka at {broker.bootstrap} does not create the topic {name}: ")
    assert "\n" not in told
    assert broker.await_topic(good) == {0, 1, 2}


def test_topics_are_created_once_with_their_partitions(broker: Broker) -> None:
    name = f"test-{uuid4().hex}"
    ensure_topics(broker.bootstrap, [name, name], partitions=5)
    ensure_topics(broker.bootstrap, [name], partitions=2)

    assert broker.await_topic(name) == set(range(5))
    assert end_offsets(broker.bootstrap, name) == dict.fromkeys(range(5), 0)


def test_a_topic_can_be_asked_for_as_soon_as_it_is_created(bootstrap: str) -> None:
    for name in [f"test-{uuid4().hex}" for _ in range(40)]:
        ensure_topics(bootstrap, [name])
        assert end_offsets(bootstrap, name) == {0: 0, 1: 0, 2: 0}


def test_asking_about_a_topic_that_is_not_there_does_not_create_it(bootstrap: str) -> None:
    name = f"test-{uuid4().hex}"

    assert count_messages(bootstrap, name) == 0
    assert name not in AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=20).topics


def test_a_topic_that_publishing_creates_has_the_partitions_of_the_others(broker: Broker, producer: Producer) -> None:
    """This Kafka makes topics of one partition by itself for whoever lets it."""
    name = f"test-{uuid4().hex}"
    sent = event(name, "AAPL")

    assert producer.publish([sent]) == {sent.id}
    assert broker.await_topic(name) == {0, 1, 2}


# --- The relay ---------------------------------------------------------------------------------------------------


def test_what_the_relay_drained_is_read_back_in_order_per_key_under_the_ids_of_its_events(
    bootstrap: str, topic: str, producer: Producer
) -> None:
    outbox = Outbox({n: event(topic, f"KEY{n % 7}", n) for n in range(2_000)})
    ids = {n: str(e.id) for n, e in outbox.waiting.items()}

    assert drain(outbox.pending, outbox.mark, producer, limit=300) == 2_000
    there = read_plainly(bootstrap, topic)
    assert {number(m): header_id(m) for m in there} == ids
    assert all(decode(m.value())["event_id"] == header_id(m) for m in there)
    for key in range(7):
        assert [number(m) for m in there if m.key() == f"KEY{key}".encode()] == list(range(key, 2_000, 7))


def test_a_second_drain_doubles_nothing_that_was_acknowledged(bootstrap: str, topic: str, producer: Producer) -> None:
    outbox = Outbox({n: event(topic, "AAPL", n) for n in range(100)})

    assert drain(outbox.pending, outbox.mark, producer) == 100
    assert drain(outbox.pending, outbox.mark, producer) == 0
    outbox.waiting = {n: event(topic, "AAPL", n) for n in range(100, 150)}
    assert drain(outbox.pending, outbox.mark, producer) == 50
    assert [number(m) for m in read_plainly(bootstrap, topic)] == list(range(150))


def test_what_was_acknowledged_but_not_marked_comes_again_under_the_same_id(
    bootstrap: str, topic: str, producer: Producer
) -> None:
    outbox = Outbox({n: event(topic, "AAPL", n) for n in range(10)})
    ids = [str(e.id) for e in outbox.waiting.values()]

    def die(_: Sequence[int]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drain(outbox.pending, die, producer)
    assert drain(outbox.pending, outbox.mark, producer) == 10
    assert [header_id(m) for m in read_plainly(bootstrap, topic)] == ids * 2


class Restart:
    """Ends the node in a thread and starts it over its data; notes how much was marked while it was down."""

    def __init__(self, broker: Broker, end: Callable[[Broker], None], outbox: Outbox) -> None:
        self.marked_when_down = 0
        self._steps = (broker, end, outbox)
        self._thread = threading.Thread(target=self._run)

    def begin_once(self) -> None:
        if not self._thread.ident:
            self._thread.start()

    def finish(self) -> None:
        self._thread.join(120)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        broker, end, outbox = self._steps
        end(broker)
        self.marked_when_down = len(outbox.marked)
        broker.start()


@pytest.mark.parametrize("end", [Broker.stop, Broker.kill], ids=["stopped", "killed"])
def test_a_broker_that_is_restarted_in_the_middle_of_a_drain_loses_nothing(
    broker: Broker, topic: str, end: Callable[[Broker], None]
) -> None:
    """Each key stays in order for a consumer that drops the ids that it has seen, and only those come again."""
    total = 20_000
    outbox = Outbox({n: event(topic, f"KEY{n % 3}", n, padding=300) for n in range(total)})
    ids = {n: str(e.id) for n, e in outbox.waiting.items()}
    restart = Restart(broker, end, outbox)

    def mark(numbers: Sequence[int]) -> None:
        outbox.mark(numbers)
        time.sleep(0.05)  # about what a busy database takes: the drain outlasts an orderly stop
        if len(outbox.marked) >= 1_000:
            restart.begin_once()

    producer = Producer(broker.bootstrap, timeout=4)
    deadline = time.monotonic() + 90
    while outbox.waiting and time.monotonic() < deadline:
        try:
            drain(outbox.pending, mark, producer, limit=500)
        except OutageError:
            continue  # as the scheduled relay does: the next call begins with what is not marked
    restart.finish()
    producer.close()

    assert 1_000 <= restart.marked_when_down < total
    assert sorted(outbox.marked) == list(range(total))
    there = read_plainly(broker.bootstrap, topic)
    assert {(number(m), header_id(m)) for m in there} == set(ids.items())
    for key in range(3):
        first_seen = dict.fromkeys(number(m) for m in there if m.key() == f"KEY{key}".encode())
        assert list(first_seen) == list(range(key, total, 3))


def test_a_producer_from_before_a_restart_goes_on_without_doubling(
    broker: Broker, topic: str, producer: Producer
) -> None:
    producer.publish([event(topic, "AAPL", n) for n in range(10)])
    broker.stop()
    broker.start()

    assert len(producer.publish([event(topic, "AAPL", n) for n in range(10, 20)])) == 10
    assert [number(m) for m in read_plainly(broker.bootstrap, topic)] == list(range(20))


# --- What the broker refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_messages", [1, 10_000])
def test_a_message_that_is_larger_than_the_broker_takes_does_not_hold_other_keys_back(
    bootstrap: str, narrow_topic: str, batch_messages: int
) -> None:
    outbox = Outbox({n: incompressible(narrow_topic, f"KEY{n % 4}", n, 10) for n in range(40)})
    outbox.waiting[13] = incompressible(narrow_topic, "KEY1", 13, 50_000)
    producer = Producer(bootstrap, batch_messages=batch_messages)

    drained = [drain(outbox.pending, outbox.mark, producer) for _ in range(2)]
    producer.close()

    assert drained == [33, 0]
    assert sorted(outbox.waiting) == [13, 17, 21, 25, 29, 33, 37]
    there = [number(m) for m in read_plainly(bootstrap, narrow_topic)]
    assert [n for n in there if n % 4 != 1] == [n for n in range(40) if n % 4 != 1]


def test_what_waits_behind_a_refused_message_does_not_come_again_with_every_drain(
    bootstrap: str, narrow_topic: str
) -> None:
    """The refusal comes after later events of the key were sent; the next drain knows of it."""
    large = incompressible(narrow_topic, "KEY", 1, 50_000)
    outbox = Outbox({0: event(narrow_topic, "KEY", 0), 1: large, 2: event(narrow_topic, "KEY", 2)})
    producer = Producer(bootstrap, batch_messages=1)
    for _ in range(3):
        drain(outbox.pending, outbox.mark, producer)
    producer.close()

    there = [number(m) for m in read_plainly(bootstrap, narrow_topic)]
    assert there in ([0], [0, 2])
    assert sorted(outbox.waiting) == [1, 2]


def test_messages_that_are_small_enough_alone_are_not_refused_together(bootstrap: str, narrow_topic: str) -> None:
    events = [incompressible(narrow_topic, f"KEY{n % 4}", n, 500) for n in range(100)]
    producer = Producer(bootstrap)

    acknowledged = producer.publish(events)
    producer.close()

    assert acknowledged == {e.id for e in events}
    assert [number(m) for m in read_plainly(bootstrap, narrow_topic)] == list(range(100))


# --- Questions ---------------------------------------------------------------------------------------------------


def test_the_counts_agree_with_what_a_plain_consumer_reads(bootstrap: str, topic: str, producer: Producer) -> None:
    producer.publish([event(topic, f"KEY{n}", n) for n in range(500)])
    there = read_plainly(bootstrap, topic)
    last = {m.partition(): m.offset() for m in there}

    assert len(last) == 3
    assert count_messages(bootstrap, topic) == len(there) == 500
    assert end_offsets(bootstrap, topic) == {partition: offset + 1 for partition, offset in last.items()}


def test_messages_that_the_broker_has_removed_are_counted_no_longer(
    bootstrap: str, topic: str, producer: Producer
) -> None:
    producer.publish([event(topic, f"KEY{n}", n) for n in range(500)])
    ends = end_offsets(bootstrap, topic)
    removal = TopicPartition(topic, 0, ends[0] - 5)
    admin = AdminClient({"bootstrap.servers": bootstrap})  # its futures end with it
    admin.delete_records([removal])[removal].result(20)

    assert count_messages(bootstrap, topic) == len(read_plainly(bootstrap, topic)) == 500 - (ends[0] - 5)
    assert end_offsets(bootstrap, topic) == ends


# --- Health ------------------------------------------------------------------------------------------------------


def kafka_health(bootstrap: str) -> tuple[bool, str]:
    others = dict.fromkeys(("database", "redis", "api_endpoints"), lambda: "not asked")
    settings = Settings.from_mapping({"KAFKA_BOOTSTRAP_SERVERS": bootstrap})
    found = HealthChecker(others, settings).check_system_health().checks["kafka"]
    return found["healthy"], found["detail"]


def test_the_health_check_names_the_broker_up_and_down(broker: Broker) -> None:
    assert kafka_health(broker.bootstrap) == (True, f"1 broker(s) at {broker.bootstrap}")
    broker.stop()
    healthy, detail = kafka_health(broker.bootstrap)

    assert not healthy
    assert detail.startswith(f"Kafka does not answer at {broker.bootstrap}; start it with: ")
