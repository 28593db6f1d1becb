"""The chain of one item: fetch, validate, transform, load. Each body takes its message and calls the pipeline.

There is one fetch task per provider, because a Celery rate limit belongs to a task.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import structlog
from psycopg import DataError, IntegrityError

from fintrack_tasks import pipeline
from fintrack_tasks.app import app
from fintrack_tasks.domain import Batch, Item
from fintrack_tasks.errors import ConfigurationError, ForgedMessageError, MissingKeyError, StoreError, UsageError
from fintrack_tasks.fetch import providers, route
from fintrack_tasks.fetch.quota.permits import Reservation
from fintrack_tasks.tasks import forged_messages, stage_messages
from fintrack_tasks.tasks.base import BaseTask, connections, is_outage, settings, stage_context
from fintrack_tasks.tasks.publish import publish_soon
from fintrack_tasks.tasks.stage_messages import Link

__all__ = ["enqueue", "fetch_tasks", "load", "transform", "validate"]

log = structlog.get_logger("fintrack.tasks")

FIRST: Final = 0
"""Of the two priorities of ``celeryconfig``: Redis' transport counts from the highest."""


_NAMED: Final = 64
"""Characters of a name in a log line; a foreign message may hold any text."""


class ItemTask(BaseTask):
    """The base of a stage's task. A defect of this program ends the item with a reason; the item can be replayed."""

    abstract = True
    throws = (ForgedMessageError,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As any task's, with callbacks and chains of the message replaced: its signature does not cover them.

        Celery would call them after the body; their failure would end the item.
        """
        request = self.request
        request.update(callbacks=None, errbacks=None, chord=None, group=None)
        if request.chain:
            request.chain = _behind(self.name, request.argsrepr)
        return super().__call__(*args, **kwargs)

    def subject(self, args: Any) -> dict[str, str]:
        """Run, item, symbol and provider as the message has them, unchecked, for the log alone."""
        first = args[0] if isinstance(args, list | tuple) and args else None
        message, batch, *_ = [*first, None, None] if isinstance(first, list | tuple) else [first, None]
        found = {}
        if isinstance(message, dict):
            named = {"run": "run_id", "item": "id", "symbol": "symbol"}
            found = {name: str(message[key])[:_NAMED] for name, key in named.items() if key in message}
        if self.name.startswith("fintrack.fetch."):
            found["provider"] = self.name.rpartition(".")[2]
        elif isinstance(batch, dict) and "source" in batch:
            found["provider"] = str(batch["source"])[:_NAMED]
        return found

    def settle(self, exc: BaseException, args: Any, kwargs: Any) -> None:
        """An outage leaves the item to reconcile; any other failure ends it, if the message's signature is right."""
        if is_outage(exc):
            return
        try:
            item = Item.from_message(args[0] if isinstance(args[0], dict) else args[0][0])
        except Exception:  # noqa: BLE001  whatever a foreign message makes of it
            self.refuse(exc, args, kwargs)
            return
        if isinstance(exc, ForgedMessageError) or not stage_messages.are_ours(self.name, args, kwargs):
            forged_messages.report(self.name, item, str(exc), args)
            return
        reason = "internal_error"
        if isinstance(exc, StoreError | DataError | IntegrityError):
            reason = "refused_by_store"
        elif isinstance(exc, ConfigurationError):
            reason = "configuration"
        pipeline.fail_item(item, reason, f"{self.name}: {type(exc).__name__}: {exc}", context=stage_context())
        publish_soon()


def _fetch(
    self: ItemTask, message: dict[str, Any], signature: str = "", ticket: list[str] | None = None
) -> Link | dict[str, Any]:
    """Ask this task's provider for one item and hand the rows on.

    :param signature: of the item and its ticket, for any fetch task.
    :param ticket: the item's :class:`Reservation` in the provider's quota as it is written in messages: id and key.
    """
    item = stage_messages.item_of(message, signature, ticket)
    name = self.name.rpartition(".")[2]
    outcome = pipeline.fetch_item(
        item,
        name,
        context=stage_context(),
        retries=self.request.retries,
        http=connections().http,
        gate=connections().gate,
        reservation=Reservation(*ticket) if ticket else None,
    )
    if isinstance(outcome, Batch):
        return stage_messages.handed_on(validate.name, message, outcome)
    self.stop_chain()
    if isinstance(outcome, pipeline.Retry):
        ticket = [outcome.reservation.id, outcome.reservation.key] if outcome.reservation else None
        # Ahead of items that nobody has begun: a reservation lapses soon after its time.
        again = {"countdown": outcome.countdown, "retries": outcome.retries, "priority": FIRST}
        _send(message, outcome.provider, ticket, **again)
        return {"item": message["id"], "again": outcome.provider, "countdown": outcome.countdown}
    return _ended(item, outcome)


fetch_tasks: Final = {
    name: app.task(name=f"fintrack.fetch.{name}", base=ItemTask, bind=True)(_fetch) for name in providers.names()
}


@app.task(name="fintrack.validate", base=ItemTask, bind=True)
def validate(self: ItemTask, link: Link) -> Link | dict[str, Any]:
    """Check the rows; rejected ones go to quarantine, the rest go on."""
    item, batch = stage_messages.opened(self.name, link)
    outcome = pipeline.validate_item(item, batch, context=stage_context())
    if isinstance(outcome, Batch):
        return stage_messages.handed_on(transform.name, link[0], outcome)
    self.stop_chain()
    return _ended(item, outcome)


@app.task(name="fintrack.transform", base=ItemTask, bind=True)
def transform(self: ItemTask, link: Link) -> Link:
    """Clean the rows and add what is derived from them."""
    item, batch = stage_messages.opened(self.name, link)
    return stage_messages.handed_on(load.name, link[0], pipeline.transform_item(item, batch, context=stage_context()))


@app.task(name="fintrack.load", base=ItemTask, bind=True)
def load(self: ItemTask, link: Link) -> dict[str, Any]:
    """Write the rows, their revisions, the ledger and the outbox in one transaction."""
    item, batch = stage_messages.opened(self.name, link)
    outcome = pipeline.load_item(item, batch, context=stage_context())
    return _ended(item, outcome)


def enqueue(items: Iterable[Item]) -> int:
    """Send one chain per item to the first provider of its route; returns how many were sent."""
    count = 0
    with app.producer_or_acquire() as producer:
        for item in items:
            try:
                first = route.route(item.instrument, item.kind, item.interval, settings())[0]
            except (ConfigurationError, UsageError) as error:
                _unroutable(item, error)
                continue
            _send(item.to_message(), first, producer=producer)
            count += 1
    return count


def _unroutable(item: Item, error: ConfigurationError | UsageError) -> None:
    """End an item that no provider can be asked for, with the remedy in its detail; the others go on."""
    reason = "missing_key" if isinstance(error, MissingKeyError) else "no_provider"
    outcome = pipeline.fail_item(item, reason, str(error), context=stage_context())
    _ended(item, outcome)


def _send(message: dict[str, Any], provider: str, ticket: list[str] | None = None, **options: Any) -> None:
    """Send the chain's first message with the rest of the chain, last step first, as Celery's protocol has it."""
    shown = f"({message['symbol']} {message.get('interval') or message['kind']})"
    rest = _behind(stage_messages.FETCH, shown)
    placed = {"ticket": ticket} if ticket else {}
    fetch_tasks[provider].apply_async(
        (message, stage_messages.signature_of(message, ticket)),
        placed,
        chain=rest,
        argsrepr=shown,
        kwargsrepr="{}",
        **options,
    )


def _behind(stage: str, shown: str | None) -> list[Any]:
    """The stages after one, last first, as Celery's protocol has them.

    :param shown: what Flower shows as arguments; set here, or Celery would render every batch of every stage as text.
    """
    steps = [load, transform, validate]
    names = [step.name for step in steps]
    behind = steps[: names.index(stage)] if stage in names else steps
    return [step.s().set(argsrepr=shown, kwargsrepr="{}") for step in behind]


def _ended(item: Item, outcome: pipeline.Ended) -> dict[str, Any]:
    if outcome.state not in ("stale", pipeline.DEFERRED):
        publish_soon()
    log.info("item_ended", item=str(item.id), symbol=item.instrument.symbol, state=outcome.state, reason=outcome.reason)
    return {"item": str(item.id), "state": str(outcome.state), "reason": outcome.reason}
