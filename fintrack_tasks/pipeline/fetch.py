"""The fetch stage: wait for a place in the quota, ask a provider for an item, keep its raw answer, interpret it.

Where the item goes after a failed attempt is decided in :mod:`fintrack_tasks.pipeline.after_failure`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import structlog

from fintrack_tasks.domain import Batch, Item, Kind, uuid7
from fintrack_tasks.errors import KeyRejectedError, ProviderError, QuotaError, TransientError
from fintrack_tasks.fetch import providers, route
from fintrack_tasks.fetch.http.client import HttpClient
from fintrack_tasks.fetch.interpret import interpret
from fintrack_tasks.fetch.providers.base import Ask, HttpRequest, HttpResponse, Provider
from fintrack_tasks.fetch.quota.gate import Gate, Pass, Place, Ticket
from fintrack_tasks.fetch.request import exchange
from fintrack_tasks.pipeline.after_failure import next_step
from fintrack_tasks.pipeline.availability import kept_part, marked
from fintrack_tasks.pipeline.consensus import add_provider_quote
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.outcome import LONGEST_COUNTDOWN, Ended, Retry
from fintrack_tasks.publish import messages
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import alerts, database_mode, ledger, outbox
from fintrack_tasks.store.payloads import Payload

__all__ = ["fetch_item"]

log = structlog.get_logger("fintrack.fetch")
PATIENCE_QUOTE: Final = 30.0
PATIENCE_BARS: Final = 300.0
"""Seconds that an item waits for its turn at one provider while there is another one to ask."""


def fetch_item(
    item: Item,
    provider_name: str,
    *,
    retries: int,
    context: StageContext,
    http: HttpClient,
    gate: Gate,
    ticket: Ticket | None = None,
) -> Batch | Retry | Ended:
    """Ask a provider, keep its raw answer, then interpret it.

    An answer that was kept by an earlier, interrupted attempt is interpreted without asking again, as of the time at
    which it came: no price is newer than that, and nothing is restated for a split since.

    :param retries: how often this provider was asked for the item already, after errors that may pass.
    :param ticket: the item's place at the provider's quota, whose time has come.
    """
    with context.database.connection() as conn:
        begin = ledger.begin(conn, item)
    if begin.stale:
        return Ended("stale")
    name = begin.provider or provider_name
    provider = providers.provider(name)
    taken: Pass | None = None
    asked = item
    try:
        asked = kept_part(
            item, name, begin.attempts, context.settings, begin.payload.received_at if begin.payload else context.now
        )
        ask = Ask(item.kind, item.instrument, context.now, item.interval, asked.window)
        if begin.payload:
            response = HttpResponse(begin.payload.status, begin.payload.body, begin.payload.headers)
            ask = replace(ask, now=min(context.now, begin.payload.received_at))
        else:
            request = _request(provider, ask)
            longest = _longest_wait(item, name, context.settings)
            answer = exchange(
                provider.facts, request, gate=gate, http=http, budget=item.budget, ticket=ticket, longest=longest
            )
            if isinstance(answer, Place):
                return _wait(item, name, answer, retries, context=context)
            response, taken = answer.response, answer.taken
            _keep(item, name, request.path, response, context=context)
        batch = interpret(name, lambda: provider.parse(ask, response))
    except ProviderError as error:
        if isinstance(error.partial, HttpResponse):
            _keep(item, name, request.path, error.partial, context=context)
        if taken and isinstance(error, KeyRejectedError) and taken.key.secret is None:
            # There was no key that could be wrong: it is about the address or the moment, and passes.
            error = TransientError(error.detail, retry_after=error.retry_after)
        if taken and gate.learn(taken, error):
            _tell_of_key_set_aside(taken, error, context=context)
        if not error.retry_after and isinstance(error, QuotaError):  # "at once" is no time either: it was just refused
            error.retry_after = gate.pause(provider.facts)
        spare = taken is not None and gate.spare(taken, error)
        return next_step(item, name, error, context=context, asked=asked, retries=retries, spare=spare)
    if item.consensus > 1:
        return add_provider_quote(item, batch, context=context)
    return marked(batch, asked, item)


def _request(provider: Provider, ask: Ask) -> HttpRequest:
    """What to ask. Where that cannot be said (a symbol without a name there), the provider was not asked."""
    try:
        return provider.request(ask)
    except ProviderError as error:
        error.asked = False
        raise


def _keep(item: Item, provider: str, path: str, response: HttpResponse, *, context: StageContext) -> None:
    """Keep an answer, or the part of one, before anything interprets it; the local market's only among simulated ones.

    :raises ConfigurationError: the database holds prices of the other kind; nothing was kept.
    """
    database_mode.admit(context.database, simulated=response.simulated)
    kept = Payload.of(provider, path, response.status, response.headers, response.body, context.now)
    with context.database.connection() as conn:
        ledger.fetched(conn, item, kept)


def _longest_wait(item: Item, provider: str, settings: Settings) -> float:
    """How long an item waits for its turn before somebody else is asked: as long as may be where there is nobody."""
    if route.next_provider(item.instrument, item.kind, item.interval, provider, settings) is None:
        return LONGEST_COUNTDOWN
    return PATIENCE_QUOTE if item.kind is Kind.QUOTE else PATIENCE_BARS


def _wait(
    item: Item,
    provider: str,
    place: Place,
    retries: int,
    *,
    context: StageContext,
) -> Retry:
    """The slot's time as one countdown; the ledger knows that the item is not lost meanwhile."""
    with context.database.connection() as conn:
        ledger.wait(conn, item, context.now, place.seconds + context.settings.fintrack_item_deadline_seconds)
    return Retry(provider, place.seconds, retries, place.ticket)


def _tell_of_key_set_aside(taken: Pass, error: ProviderError, *, context: StageContext) -> None:
    """One alert for each key that is refused, with the key's name, which gives none of it away."""
    rule, subject = "key_set_aside", f"{taken.facts.name} {taken.ticket.key}"
    detail = f"{error.reason}: set aside for a day, or until it is changed"
    log.error(rule, provider=taken.facts.name, key_name=taken.ticket.key, reason=error.reason)
    topic, event_id = context.settings.kafka_topic_notifications, uuid7(context.now.timestamp())
    simulated = database_mode.is_simulated(context.database)
    event = messages.alert_raised(rule, subject, detail, topic, context.now, event_id, simulated=simulated)
    with context.database.connection() as conn, conn.transaction():
        alerts.add(conn, rule, "error", subject, detail, context.now)
        outbox.add(conn, event, context.now)
