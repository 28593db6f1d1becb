"""From the outbox to Kafka, in order, marking what was acknowledged and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol
from uuid import UUID

from fintrack_tasks.domain import Event

__all__ = ["drain"]

_PAGE: Final = 500
_MOST_PAGES: Final = 200


class Publisher(Protocol):
    """What the relay needs of a producer."""

    def publish(self, events: Sequence[Event]) -> set[UUID]: ...


def drain(
    pending: Callable[[int], list[tuple[int, Event]]],
    mark: Callable[[Sequence[int]], None],
    publisher: Publisher,
    limit: int = _PAGE,
) -> int:
    """Publish what waits, page by page, until nothing does; returns how many events were acknowledged.

    A process that dies between the acknowledgement and the mark sends those events again later, under the same
    event id. One call sends at most 100,000 events, so that it ends.

    :param pending: gives the oldest waiting events with their outbox numbers.
    :param mark: notes the numbers whose events were acknowledged.
    :raises fintrack_tasks.errors.OutageError: when Kafka acknowledges nothing.
    """
    sent = 0
    for _ in range(_MOST_PAGES):
        page = pending(limit)
        if not page:
            break
        acknowledged = publisher.publish([event for _, event in page])
        mark([number for number, event in page if event.id in acknowledged])
        sent += len(acknowledged)
        if len(acknowledged) < len(page):
            break  # what was not acknowledged is tried by the next drain, in its order
    return sent
