"""The relay: publishes the outbox in order, and marks exactly the events that were acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol
from uuid import UUID

from fintrack_tasks.domain import Event

__all__ = ["Publisher", "drain"]

_PAGE: Final = 500
_MOST_PAGES: Final = 200
_MOST_STUCK: Final = 10_000
"""So many waiting events are read over in search of others; more are a matter for a person."""


class Publisher(Protocol):
    """The interface that the relay needs of a producer."""

    def publish(self, events: Sequence[Event]) -> set[UUID]:
        """Send in order; returns the acknowledged ids. Raises OutageError when nothing can be sent."""
        ...


def drain(
    pending: Callable[[int], list[tuple[int, Event]]],
    mark: Callable[[Sequence[int]], None],
    publisher: Publisher,
    limit: int = _PAGE,
) -> int:
    """Publish waiting events page by page until none is left; returns how many were acknowledged and marked.

    Order holds per topic and key: once an event was not acknowledged, no later one of its key is sent or marked by
    this call, while other keys go on. A process that dies between the acknowledgement and the mark sends those events
    again later, under the same event id. One call sends at most 200 pages, so that it ends.

    :param pending: returns up to so many of the oldest waiting events with their outbox ids; marked ones are no longer
        among them.
    :param mark: marks ids as published; durable when it returns.
    :raises fintrack_tasks.errors.OutageError: when Kafka acknowledges nothing; what was marked before stays marked.
    """
    marked = 0
    stuck: set[int] = set()
    halted: set[tuple[str, str]] = set()
    for _ in range(_MOST_PAGES):
        page = [(number, event) for number, event in pending(limit + len(stuck)) if number not in stuck]
        if not page:
            break
        ready = [(number, event) for number, event in page if (event.topic, event.key) not in halted]
        acknowledged = publisher.publish([event for _, event in ready]) if ready else set()
        done = _in_order(ready, acknowledged, halted)
        if done:
            mark(done)
            marked += len(done)
        stuck |= {number for number, _ in page}.difference(done)
        if len(stuck) > _MOST_STUCK:
            break
    return marked


def _in_order(events: Sequence[tuple[int, Event]], acknowledged: set[UUID], halted: set[tuple[str, str]]) -> list[int]:
    """The ids of acknowledged events up to the first unacknowledged one of their key; adds that key to ``halted``."""
    done = []
    for number, event in events:
        key = (event.topic, event.key)
        if event.id not in acknowledged:
            halted.add(key)
        elif key not in halted:
            done.append(number)
    return done
