"""One timer waits for each rate limit, however many messages are prefetched."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.utils.limits import TokenBucket

from fintrack_tasks.tasks.rate_limits import HELD, PacedConsumer


class Timer:
    """Collects what was set and fires it by hand: the event loop's own timer is a heap over the real clock."""

    def __init__(self) -> None:
        self.set: list[tuple[float, Callable[..., None], tuple[Any, ...]]] = []

    def call_after(self, seconds: float, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.set.append((seconds, function, arguments))

    def fire(self) -> float:
        seconds, function, arguments = self.set.pop(0)
        function(*arguments)
        return seconds


class Request:
    """A message of the slow provider's queue; equal to its number."""

    def __init__(self, number: Any, queue: str = "fetch.slow") -> None:
        self.number, self.delivery_info = number, {"routing_key": queue}

    def __eq__(self, other: object) -> bool:
        return self.number == other

    __hash__ = None  # type: ignore[assignment]  # it is compared, never a key


class TaskConsumer:
    """Which queues are listened to."""

    def __init__(self) -> None:
        self.queues = {"fetch.slow", "fetch.quick"}

    def consuming_from(self, queue: str) -> bool:
        return queue in self.queues

    def cancel_by_queue(self, queue: str) -> None:
        self.queues.discard(queue)

    def add_queue(self, queue: str) -> None:
        self.queues.add(queue)

    def consume(self) -> None:
        """Nothing to do here."""


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> PacedConsumer:
    made = PacedConsumer.__new__(PacedConsumer)  # a whole consumer needs a worker around it
    made._armed, made._paused = set(), {}
    made.app = SimpleNamespace(amqp=SimpleNamespace(queues={"fetch.slow": "fetch.slow", "fetch.quick": "fetch.quick"}))
    made.task_consumer = TaskConsumer()
    monkeypatch.setattr(made, "_crowded", lambda _: False, raising=False)
    made.timer = Timer()
    started: list[Any] = []
    monkeypatch.setattr(made, "_limit_move_to_pool", started.append, raising=False)
    made.started = started
    return made


def frozen(monkeypatch: pytest.MonkeyPatch, limit: float) -> tuple[TokenBucket, list[float]]:
    clock = [100.0]
    monkeypatch.setattr("kombu.utils.limits.monotonic", lambda: clock[0])
    return TokenBucket(limit, capacity=1), clock


def test_a_full_prefetch_sets_one_timer_and_each_firing_starts_one_task(
    consumer: PacedConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, clock = frozen(monkeypatch, 20)
    for number in range(32):
        consumer._limit_task(Request(number), bucket, 1)
    assert consumer.started == [0]
    assert len(consumer.timer.set) == 1
    for fired in range(1, 32):
        wait = consumer.timer.set[0][0]
        assert wait == pytest.approx(0.05)
        clock[0] += wait + 1e-6  # a real timer is never early by a rounding
        consumer.timer.fire()
        assert consumer.started == list(range(fired + 1))
        assert len(consumer.timer.set) == (1 if fired < 31 else 0)


def test_a_timer_that_fires_too_early_is_set_again(consumer: PacedConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, clock = frozen(monkeypatch, 2)
    for number in range(3):
        consumer._limit_task(Request(number), bucket, 1)
    clock[0] += 0.2
    consumer.timer.fire()
    assert consumer.started == [0]
    assert [seconds for seconds, _, _ in consumer.timer.set] == [pytest.approx(0.3)]


def test_limits_do_not_wait_for_each_other(consumer: PacedConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, _ = frozen(monkeypatch, 0.01)
    quick = TokenBucket(10, capacity=1)
    for name in ("a", "b"):
        consumer._limit_task(Request(f"slow-{name}"), slow, 1)
        consumer._limit_task(Request(f"quick-{name}"), quick, 1)
    assert consumer.started == ["slow-a", "quick-a"]
    assert [seconds for seconds, _, _ in consumer.timer.set] == [pytest.approx(100), pytest.approx(0.1)]


def test_a_queue_of_which_enough_wait_is_not_listened_to_until_they_are_fewer(
    consumer: PacedConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one slow provider's messages would take every prefetch place of the worker."""
    bucket, clock = frozen(monkeypatch, 2)
    for number in range(HELD + 1):  # the first one starts at once
        assert consumer.task_consumer.consuming_from("fetch.slow")
        consumer._limit_task(Request(number), bucket, 1)
    assert consumer.task_consumer.queues == {"fetch.quick"}
    clock[0] += 0.51
    consumer.timer.fire()
    assert consumer.started == [0, 1]
    assert consumer.task_consumer.queues == {"fetch.slow", "fetch.quick"}


def test_what_comes_with_a_countdown_has_waited_already(
    consumer: PacedConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, _ = frozen(monkeypatch, 0.01)
    consumer.qos = SimpleNamespace(decrement_eventually=lambda: None)
    for number in range(3):
        consumer._limit_post_eta(Request(number), bucket, 1)
    assert consumer.started == [0, 1, 2]


def test_a_new_limit_replaces_only_the_bucket_whose_limit_changed(
    consumer: PacedConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = {name: SimpleNamespace(rate_limit="10/s") for name in ("a", "b")}
    consumer.app.tasks, consumer.task_buckets = tasks, {"a": "old", "b": "old"}
    monkeypatch.setattr(consumer, "bucket_for_task", lambda task: f"new {task.rate_limit}", raising=False)
    consumer.pace({"a": "5/s", "b": "10/s"})
    assert consumer.task_buckets == {"a": "new 5/s", "b": "old"}


def test_the_gate_is_asked_by_the_tasks_own_name(use: Callable[[Any], Any]) -> None:
    """A message may say another one to be shown; its being no text had stopped the worker."""
    asked: list[str] = []
    gate = SimpleNamespace(waiting=lambda name: asked.append(name) or 0)
    use(SimpleNamespace(gate=gate))
    request = SimpleNamespace(name=["shown"], task=SimpleNamespace(name="fintrack.fetch.ecb"))
    assert not PacedConsumer.__new__(PacedConsumer)._crowded(request)
    assert asked == ["ecb"]
