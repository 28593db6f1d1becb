"""The relay marks what was acknowledged and nothing else, and keeps the order of every key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import Event
from fintrack_tasks.errors import OutageError
from fintrack_tasks.publish.relay import drain


def event(number: int, key: str, topic: str = "market-data") -> Event:
    return Event(UUID(int=number), topic, key, "{}")


@dataclass
class Outbox:
    """The waiting events by number, as the table gives them."""

    waiting: dict[int, Event]
    marked: list[int] = field(default_factory=list)

    def pending(self, limit: int) -> list[tuple[int, Event]]:
        return [(number, self.waiting[number]) for number in sorted(self.waiting)][:limit]

    def mark(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            del self.waiting[number]
        self.marked += numbers


@dataclass
class Broker:
    """Takes what is sent in order; does not acknowledge the numbers in ``deaf``; is gone after ``dies_after`` calls."""

    deaf: set[int] = field(default_factory=set)
    dies_after: int | None = None
    log: list[Event] = field(default_factory=list)
    calls: int = 0

    def publish(self, events: Sequence[Event]) -> set[UUID]:
        self.calls += 1
        if self.dies_after is not None and self.calls > self.dies_after:
            raise OutageError("Kafka", "127.0.0.1:9092")
        self.log += [e for e in events if e.id.int not in self.deaf]
        return {e.id for e in events if e.id.int not in self.deaf}


def test_everything_that_waits_is_published_over_several_pages_in_order() -> None:
    outbox, broker = Outbox({n: event(n, "AB"[n % 2]) for n in range(1, 26)}), Broker()

    assert drain(outbox.pending, outbox.mark, broker, limit=10) == 25
    assert [e.id.int for e in broker.log] == list(range(1, 26))
    assert outbox.marked == list(range(1, 26))
    assert broker.calls == 3


def test_an_empty_outbox_asks_nothing_of_the_broker() -> None:
    broker = Broker()

    assert drain(Outbox({}).pending, Outbox({}).mark, broker) == 0
    assert broker.calls == 0


def test_one_refused_event_halts_its_key_and_no_other() -> None:
    outbox = Outbox({n: event(n, "AB"[n % 2]) for n in range(1, 13)})
    broker = Broker(deaf={4})  # of key A: 2, 4, 6, ...

    assert drain(outbox.pending, outbox.mark, broker, limit=2) == 7
    assert outbox.marked == [1, 2, 3, 5, 7, 9, 11]
    assert sorted(outbox.waiting) == [4, 6, 8, 10, 12]
    assert [e.id.int for e in broker.log if e.key == "A"] == [2]


def test_the_same_key_on_another_topic_is_another_order() -> None:
    outbox = Outbox({1: event(1, "A"), 2: event(2, "A", "notifications"), 3: event(3, "A")})

    assert drain(outbox.pending, outbox.mark, Broker(deaf={1})) == 1
    assert outbox.marked == [2]


def test_an_event_behind_an_unacknowledged_one_is_not_marked_even_if_it_arrived() -> None:
    outbox = Outbox({1: event(1, "A"), 2: event(2, "A")})
    broker = Broker(deaf={1})

    assert drain(outbox.pending, outbox.mark, broker) == 0
    assert outbox.marked == []
    broker.deaf.clear()
    assert drain(outbox.pending, outbox.mark, broker) == 2
    assert [e.id.int for e in broker.log] == [2, 1, 2]  # the consumer sees 2 again after 1, under the same id


def test_an_outage_between_pages_leaves_what_was_marked_marked() -> None:
    outbox = Outbox({n: event(n, "A") for n in range(1, 8)})

    with pytest.raises(OutageError, match="Kafka"):
        drain(outbox.pending, outbox.mark, Broker(dies_after=2), limit=2)
    assert outbox.marked == [1, 2, 3, 4]


@given(
    keys=st.lists(st.sampled_from("ABC"), max_size=40),
    deaf=st.sets(st.integers(1, 40)),
    limit=st.integers(1, 7),
)
def test_marked_is_acknowledged_and_a_prefix_of_each_key(keys: list[str], deaf: set[int], limit: int) -> None:
    """And no key that could go on is left waiting, however many others are halted."""
    events = {number: event(number, key) for number, key in enumerate(keys, 1)}
    outbox, broker = Outbox(dict(events)), Broker(deaf=deaf)

    drain(outbox.pending, outbox.mark, broker, limit=limit)

    assert set(outbox.marked) <= {e.id.int for e in broker.log}
    for key in set(keys):
        own = [number for number, e in events.items() if e.key == key]
        first_deaf = next((i for i, number in enumerate(own) if number in deaf), len(own))
        assert [n for n in outbox.marked if events[n].key == key] == own[:first_deaf]
