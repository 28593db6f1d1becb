"""Celery's rate limits, kept exactly. ``celeryconfig.worker_consumer`` names the class of this file.

Celery 5.7 arms one timer for every prefetched message of a rate-limited task, and its event loop fires at most ten
timers before it sleeps for a whole second. With ten or more messages prefetched, a limit of 40 a second was measured
at one a second. One timer for each limit is enough: it lets go what the limit allows and is set again.
"""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import Consumer

__all__ = ["PacedConsumer"]


class PacedConsumer(Consumer):
    """A consumer that waits for each rate limit with one timer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._armed: set[int] = set()
        super().__init__(*args, **kwargs)

    def _schedule_bucket_request(self, bucket: Any) -> None:
        """Start what the limit allows now, and come back when it allows the next."""
        if id(bucket) in self._armed:
            return  # the timer that is set already will see this request too
        while bucket.contents:
            request, tokens = bucket.pop()
            if not bucket.can_consume(tokens):
                bucket.contents.appendleft((request, tokens))
                self._armed.add(id(bucket))
                self.timer.call_after(bucket.expected_time(tokens), self._wake, (bucket,))
                return
            self._limit_move_to_pool(request)

    def _wake(self, bucket: Any) -> None:
        self._armed.discard(id(bucket))
        self._schedule_bucket_request(bucket)

    def on_close(self) -> None:
        """Celery empties the buckets when a connection ends; the messages come again with the next one."""
        self._armed.clear()
        super().on_close()

    def reset_rate_limits(self) -> None:
        """New buckets for new limits; what an old one still holds is let go by the timer that is set for it."""
        self._armed.clear()
        super().reset_rate_limits()
