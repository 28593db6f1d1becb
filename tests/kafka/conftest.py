"""One real Kafka for all tests of this folder, in the place of the embedded broker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from uuid import uuid4

import pytest

from fintrack_tasks.publish.kafka import ensure_topics
from fintrack_tasks.publish.producer import Producer
from tests.conftest import SHARED_HOME
from tests.kafka.broker import Broker, find_jars, find_java

_running = pytest.StashKey[Broker]()


@pytest.fixture(scope="session")
def kafka_node(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A node that runs; nothing of it is left afterwards but the jars, for the next run."""
    java, jars = find_java(), find_jars(SHARED_HOME / "kafka")
    folder = tmp_path_factory.mktemp("kafka")
    node = Broker(folder, java, jars)
    try:
        node.start()
        pytestconfig.stash[_running] = node
        yield node
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def broker(kafka_node: Broker) -> Iterator[Broker]:
    """The node, which a test may stop, kill and start: it runs again for the next test."""
    if not kafka_node.running:
        kafka_node.start()
    yield kafka_node
    if not kafka_node.running:
        kafka_node.start()


@pytest.fixture
def stack(broker: Broker) -> dict[str, str]:
    """What tests of the embedded broker ask for, so that they run here as they are."""
    return {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap}


@pytest.fixture
def bootstrap(broker: Broker) -> str:
    return broker.bootstrap


@pytest.fixture
def topic(broker: Broker) -> str:
    name = f"test-{uuid4().hex}"
    ensure_topics(broker.bootstrap, [name])
    broker.await_topic(name)
    return name


@pytest.fixture
def producer(bootstrap: str) -> Iterator[Producer]:
    made = Producer(bootstrap)
    yield made
    made.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show the broker's log with a test that fails."""
    report = yield
    if report.failed and (node := item.config.stash.get(_running, None)):
        report.sections.append(("the end of Kafka's log", node.tail()))
    return report
