"""Messages for Kafka as the outbox keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

__all__ = ["Event"]


@dataclass(frozen=True, slots=True)
class Event:
    """A message for Kafka, kept in the outbox until the broker acknowledged it.

    ``id`` travels as the header ``event_id``, so that a consumer can drop a repeat; ``key`` is the symbol, so that
    events of one symbol keep their order; ``value`` is UTF-8 JSON.
    """

    id: UUID
    topic: str
    key: str
    value: str
    run_id: UUID | None = None
