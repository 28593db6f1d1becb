"""How a worker keeps Celery's rate limits: exactly, and without one provider holding back another.

``celeryconfig.worker_consumer`` names the class of this file. The limits' numbers come from
:mod:`fintrack_tasks.fetch.quota.limits`, a worker's share of them from :mod:`fintrack_tasks.tasks.heartbeats`.

Celery 5.7 arms one timer for every prefetched message of a rate-limited task, and its event loop fires at most ten
timers before it sleeps for a whole second. With ten or more messages prefetched, a limit of 40 a second was measured
at one a second. One timer for each limit is enough: it lets go what the limit allows and is set again.

A task is not started either while others of its provider sleep at the gate (:mod:`fintrack_tasks.fetch.quota.gate`):
more of them would only fill the pool's threads, which the other providers need.

A message that waits for its task's limit also takes one of the worker's prefetch places, so that a long queue of a slow
provider would take all of them. A queue of which :data:`HELD` messages wait is not listened to until they are fewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from celery.worker.consumer import Consumer

from fintrack_tasks.tasks.base import connections

__all__ = ["HELD", "PacedConsumer"]

HELD: Final = 4
"""Messages of one queue that may wait here for their limit; with all providers' queues, fewer than are prefetched."""
CROWD: Final = 3
"""So many threads of a worker may sleep at the gate of one provider."""
_LOOK_SECONDS: Final = 0.02


class PacedConsumer(Consumer):
    """A consumer that waits for each rate limit with one timer and holds few messages meanwhile."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._armed: set[int] = set()
        self._paused: dict[int, str] = {}
        super().__init__(*args, **kwargs)

    def pace(self, limits: Mapping[str, str | None]) -> None:
        """Change tasks' limits, by task name. What waits under an old limit is still let go by it."""
        for name, limit in limits.items():
            task = self.app.tasks[name]
            if task.rate_limit != limit:
                task.rate_limit = limit
                self.task_buckets[name] = self.bucket_for_task(task)

    def _limit_task(self, request: Any, bucket: Any, tokens: int) -> None:
        super()._limit_task(request, bucket, tokens)
        if len(bucket.contents) >= HELD and id(bucket) not in self._paused:
            queue = request.delivery_info.get("routing_key")
            if queue and self.task_consumer.consuming_from(queue):
                self._paused[id(bucket)] = queue
                self.task_consumer.cancel_by_queue(queue)

    def _limit_post_eta(self, request: Any, bucket: Any, tokens: int) -> None:
        """A message with a countdown has a reservation in the provider's quota: it has waited already."""
        self.qos.decrement_eventually()
        self._limit_move_to_pool(request)

    def _schedule_bucket_request(self, bucket: Any) -> None:
        """Start what the limit allows now, and come back when it allows the next."""
        if id(bucket) in self._armed:
            return  # the timer that is set already will see this request too
        while bucket.contents:
            if self._crowded(bucket.contents[0][0]):
                self._armed.add(id(bucket))
                self.timer.call_after(_LOOK_SECONDS, self._wake, (bucket,))
                break
            request, tokens = bucket.pop()
            if not bucket.can_consume(tokens):
                bucket.contents.appendleft((request, tokens))
                self._armed.add(id(bucket))
                self.timer.call_after(bucket.expected_time(tokens), self._wake, (bucket,))
                break
            self._limit_move_to_pool(request)
        if len(bucket.contents) < HELD:
            self._listen_again(bucket)

    def _crowded(self, request: Any) -> bool:
        # The task's own name: a message may say another one, to be shown.
        return connections().gate.waiting(request.task.name.rpartition(".")[2]) >= CROWD

    def _listen_again(self, bucket: Any) -> None:
        queue = self._paused.pop(id(bucket), None)
        if queue and not self.task_consumer.consuming_from(queue):
            self.task_consumer.add_queue(self.app.amqp.queues[queue])
            self.task_consumer.consume()

    def _wake(self, bucket: Any) -> None:
        self._armed.discard(id(bucket))
        self._schedule_bucket_request(bucket)

    def on_close(self) -> None:
        """Celery empties the buckets when a connection ends; the messages come again with the next one, which listens
        to all queues."""
        self._armed.clear()
        self._paused.clear()
        super().on_close()

    def reset_rate_limits(self) -> None:
        """New buckets for new limits; what an old one still holds is let go by the timer that is set for it."""
        self._armed.clear()
        super().reset_rate_limits()
