"""The fetch stage: ask a provider for an item, keep its raw answer, and say where the item goes from there.

Again, to the route's next provider, later, or to its end: an error's type decides (:mod:`fintrack_tasks.errors`), and
the ledger knows of every attempt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from fintrack_tasks.domain import Batch, Item, ItemState, Kind, uuid7
from fintrack_tasks.errors import (
    EmptyError,
    KeyRejectedError,
    MalformedError,
    NoPriceError,
    ProviderError,
    QuotaError,
    TransientError,
    UnavailableRangeError,
)
from fintrack_tasks.fetch import providers, route
from fintrack_tasks.fetch.http.client import HttpClient
from fintrack_tasks.fetch.interpret import interpret
from fintrack_tasks.fetch.providers.base import Ask, HttpRequest, HttpResponse, Provider
from fintrack_tasks.fetch.quota.gate import Gate, Pass, Place, Ticket
from fintrack_tasks.fetch.request import exchange
from fintrack_tasks.pipeline.availability import kept_part, marked, record_rest, refusers
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.outcome import DEFERRED, Ended, Retry, fail_item
from fintrack_tasks.publish import messages
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import alerts, database_mode, ledger, outbox, provider_quotes
from fintrack_tasks.store.payloads import Payload
from fintrack_tasks.transform.consensus import combine

__all__ = ["fetch_item"]

log = structlog.get_logger("fintrack.acquisition")
RETRIES: Final = 3
"""How often one provider is asked again after a transient error before the next one of the route is."""
PAUSE_BROKEN: Final = 3.0
"""Seconds before a provider is asked once more whose answer was broken or hollow: HTML, half a body, nulls. Most such
answers are one of many good ones; the second in a row is the provider's own trouble, and the next one is asked."""
LONGEST_COUNTDOWN: Final = 900.0
"""Seconds; below the broker's visibility timeout, or a waiting message would be delivered twice. What waits longer
waits in the ledger: reconcile enqueues it when its time has come."""
LONGEST_QUOTE: Final = 300.0
"""Seconds; a price that would be asked for later belongs to the next run."""
PATIENCE_QUOTE: Final = 30.0
PATIENCE_BARS: Final = 300.0
"""Seconds that an item waits for its turn at one provider while there is another one to ask."""
LONGEST_PAUSE: Final = 30.0
"""Seconds that a failing server may ask for before its provider is given up for the next one."""
MOST_ATTEMPTS: Final = 100
_PASSING: Final = ("quota", "transient")
_BROKEN: Final = (MalformedError.reason, EmptyError.reason, NoPriceError.reason)


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
            _key_set_aside(taken, error, context=context)
        if not error.retry_after and isinstance(error, QuotaError):  # "at once" is no time either: it was just refused
            error.retry_after = gate.pause(provider.facts)
        spare = taken is not None and gate.spare(taken, error)
        return _after(item, name, error, context=context, asked=asked, retries=retries, spare=spare)
    if item.consensus > 1:
        return _agreed(item, batch, context=context)
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


def _key_set_aside(taken: Pass, error: ProviderError, *, context: StageContext) -> None:
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


def _after(
    item: Item,
    provider: str,
    error: ProviderError,
    *,
    asked: Item,
    retries: int,
    spare: bool,
    context: StageContext,
) -> Batch | Retry | Ended:
    """What an error means for its item: again, elsewhere, later, or the end.

    :param asked: the item with the part of its window that the provider was asked for.
    :param spare: the provider has another key than the one that this error bars.
    """
    if isinstance(error, EmptyError) and not _broken(item, error):
        return _empty(item, asked, provider, error, context=context)
    earliest = error.earliest if isinstance(error, UnavailableRangeError) else None
    until = context.now + timedelta(seconds=error.retry_after) if error.retry_after is not None else None
    with context.database.connection() as conn:
        attempts = ledger.attempt(
            conn,
            item,
            provider,
            error.reason,
            error.detail,
            context.now,
            until=until,
            asked=error.asked,
            earliest=earliest,
        )
    following: Retry | Ended | None = _following(
        asked, provider, error, retries, attempts, context.settings, spare=spare
    )
    if following is None and item.consensus > 1 and (batch := _combined(item, context=context)):
        return batch  # fewer providers than were asked for answered; what they said need not wait for the others
    following = following or _later(item, error, attempts, context.now)
    if following is None and isinstance(error, EmptyError):
        return _empty(item, asked, provider, error, context=context)
    if following is None and isinstance(error, UnavailableRangeError):
        with context.database.connection() as conn:
            record_rest(conn, item, None, refusers(attempts), context.now)
    if following is None:
        return fail_item(item, error.reason, error.detail, context=context, provider=provider)
    with context.database.connection() as conn:
        if isinstance(following, Ended):
            ledger.defer(conn, item, following.until or context.now)
        else:
            ledger.wait(conn, item, context.now, following.countdown + context.settings.fintrack_item_deadline_seconds)
    return following


def _empty(item: Item, asked: Item, provider: str, error: EmptyError, *, context: StageContext) -> Ended:
    with context.database.connection() as conn, conn.transaction():
        record_rest(conn, item, asked.window, [provider], context.now)
        ledger.finish(conn, asked, ItemState.EMPTY, error.reason, error.detail, provider, context.now)
    return Ended(ItemState.EMPTY, error.reason)


def _broken(item: Item, error: ProviderError) -> bool:
    """Whether an answer is none that could be trusted: of a wrong form, or of the right one without any price.

    A window of bars may rightly be empty; a quote without a price never says that there is none.
    """
    hollow = NoPriceError if item.kind is not Kind.QUOTE else EmptyError
    return isinstance(error, MalformedError | hollow)


def _following(
    item: Item,
    provider: str,
    error: ProviderError,
    retries: int,
    attempts: Sequence[Mapping[str, Any]],
    settings: Settings,
    *,
    spare: bool,
) -> Retry | None:
    """Where an item goes after an error: a network's blip is tried again, a key's refusal with the next key, a broken
    answer once, and of a range of which a part is kept that part; then the route's next provider is asked.
    """
    if spare and retries < RETRIES:
        return Retry(provider, 0.0, retries + 1)  # the gate chooses a key that is not barred, or says that all are
    if error.retryable and error.asked and retries < RETRIES and not isinstance(error, QuotaError):
        return Retry(provider, max(2.0**retries, min(error.retry_after or 0.0, LONGEST_PAUSE)), retries + 1)
    if isinstance(error, UnavailableRangeError) and error.asked and retries < RETRIES and _keeps_part(item, error):
        return Retry(provider, 0.0, retries + 1)
    broken = _broken(item, error)
    if broken and error.asked and _times_broken(attempts, provider) <= 1:
        return Retry(provider, PAUSE_BROKEN, retries + 1)
    if (error.reroute or broken) and (
        name := route.next_provider(item.instrument, item.kind, item.interval, provider, settings)
    ):
        return Retry(name, 0.0, 0)
    return None


def _keeps_part(item: Item, error: UnavailableRangeError) -> bool:
    return bool(item.window and error.earliest and item.window.start < error.earliest < item.window.end)


def _times_broken(attempts: Sequence[Mapping[str, Any]], provider: str) -> int:
    """How many broken answers a provider has given for an item, the newest among them."""
    return sum(
        each["provider"] == provider and each["reason"] in _BROKEN and each.get("asked", True) for each in attempts
    )


def _later(
    item: Item, error: ProviderError, attempts: Sequence[Mapping[str, Any]], now: datetime
) -> Retry | Ended | None:
    """At the route's end an item waits for the provider that will be free first; ``None`` where no time would help."""
    free: dict[str, datetime] = {}
    for entry in attempts:
        until = datetime.fromisoformat(entry["until"]) if entry.get("until") else now
        free.pop(entry["provider"], None)  # its newest word holds
        if until > now and entry["reason"] in _PASSING:
            free[entry["provider"]] = until
    if not free or len(attempts) >= MOST_ATTEMPTS:
        return None
    name = min(free, key=lambda each: free[each])
    wait = (free[name] - now).total_seconds()
    waited = (free[name] - datetime.fromisoformat(attempts[0]["at"])).total_seconds()
    if item.kind is Kind.QUOTE and waited > LONGEST_QUOTE:
        return None  # the next run of the schedule asks for a newer price
    return Retry(name, wait, 0) if wait <= LONGEST_COUNTDOWN else Ended(DEFERRED, error.reason, free[name])


def _agreed(item: Item, batch: Batch, *, context: StageContext) -> Batch | Retry | Ended:
    """Keep one provider's opinion; ask the next one, or combine them when there are enough or nobody is left."""
    with context.database.connection() as conn:
        held = provider_quotes.add(conn, item, batch)
    following = route.next_provider(item.instrument, item.kind, item.interval, batch.source, context.settings)
    if len(held) < item.consensus and following:
        with context.database.connection() as conn:
            ledger.wait(conn, item, context.now, context.settings.fintrack_item_deadline_seconds)
        return Retry(following, 0.0, 0)
    return combine(held, context.settings.fintrack_consensus_deviation_bps, item.consensus)


def _combined(item: Item, *, context: StageContext) -> Batch | None:
    """What the providers that answered say together; ``None`` when none did."""
    with context.database.connection() as conn:
        held = provider_quotes.held(conn, item)
    return combine(held, context.settings.fintrack_consensus_deviation_bps, item.consensus) if held else None
