"""The fetch stage: ask a provider for an item within its quota, keep the raw answer, parse it into a batch.

Where the item goes after a failed attempt is decided in :mod:`fintrack_tasks.pipeline.after_failure`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import structlog

from fintrack_tasks.domain import Batch, Item, Kind, uuid7
from fintrack_tasks.errors import KeyRejectedError, ProviderError, QuotaError, TransientError
from fintrack_tasks.fetch import providers, route
from fintrack_tasks.fetch.http.client import HttpClient
from fintrack_tasks.fetch.interpret import interpret
from fintrack_tasks.fetch.providers.base import Ask, HttpRequest, HttpResponse, Provider
from fintrack_tasks.fetch.quota.gate import Gate
from fintrack_tasks.fetch.quota.permits import Permit, Reservation, Wait
from fintrack_tasks.fetch.request import ask_provider
from fintrack_tasks.pipeline.after_failure import next_step
from fintrack_tasks.pipeline.availability import kept_part, marked
from fintrack_tasks.pipeline.consensus import add_provider_quote
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.outcome import LONGEST_COUNTDOWN, Ended, Retry
from fintrack_tasks.publish import messages
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import alerts, database_mode, outbox, run_items
from fintrack_tasks.store.payloads import Payload

__all__ = ["fetch_item"]

log = structlog.get_logger("fintrack.fetch")
PATIENCE_QUOTE: Final = 30.0
PATIENCE_BARS: Final = 300.0
"""Seconds that an item waits for one provider's quota while there is another provider to ask."""


def fetch_item(
    item: Item,
    provider_name: str,
    *,
    retries: int,
    context: StageContext,
    http: HttpClient,
    gate: Gate,
    reservation: Reservation | None = None,
) -> Batch | Retry | Ended:
    """Ask a provider, keep its raw answer, then parse it.

    An answer that was kept by an earlier, interrupted attempt is parsed without asking again, as of the time at which
    it came: no price is newer than that, and nothing is restated for a split since.

    :param retries: how often this provider was asked for the item already, after errors that may pass.
    :param reservation: the item's slot in the provider's quota, whose time has come.
    """
    with context.database.connection() as conn:
        begin = run_items.begin(conn, item)
    if begin.stale:
        return Ended("stale")
    attempt = _Attempt(item, begin.provider or provider_name, context, http, gate)
    try:
        if begin.payload:
            made: Batch | Wait = attempt.parse_kept(begin.payload, begin.attempts)
        else:
            made = attempt.ask(begin.attempts, reservation)
    except ProviderError as failure:
        error = attempt.learn(failure)
        return next_step(
            item, attempt.name, error, context=context, asked=attempt.asked, retries=retries, spare=attempt.spare(error)
        )
    if isinstance(made, Wait):
        return _wait(item, attempt.name, made, retries, context=context)
    if item.consensus > 1:
        return add_provider_quote(item, made, context=context)
    return marked(made, attempt.asked, item)


class _Attempt:
    """One attempt at an item with one provider.

    :ivar asked: the item with the part of its window that the provider keeps.
    :ivar permit: the one that the answer came under; ``None`` until the provider has answered.
    """

    def __init__(self, item: Item, name: str, context: StageContext, http: HttpClient, gate: Gate) -> None:
        self.name, self.asked = name, item
        self.permit: Permit | None = None
        self._item, self._context, self._http, self._gate = item, context, http, gate
        self._provider = providers.provider(name)

    def parse_kept(self, payload: Payload, attempts: Sequence[Mapping[str, Any]]) -> Batch:
        """The batch of an answer that an earlier attempt kept."""
        ask = self._ask(attempts, payload.received_at)
        response = HttpResponse(payload.status, payload.body, payload.headers)
        return self._parse(replace(ask, now=min(ask.now, payload.received_at)), response)

    def ask(self, attempts: Sequence[Mapping[str, Any]], reservation: Reservation | None) -> Batch | Wait:
        """The batch of a new answer; a :class:`Wait` where the quota has no room."""
        ask = self._ask(attempts, self._context.now)
        request = _request(self._provider, ask)
        longest = _longest_wait(self._item, self.name, self._context.settings)
        try:
            answer = ask_provider(
                self._provider.facts,
                request,
                gate=self._gate,
                http=self._http,
                budget=self._item.budget,
                reservation=reservation,
                longest=longest,
            )
        except ProviderError as error:
            if isinstance(error.partial, HttpResponse):
                _keep(self._item, self.name, request.path, error.partial, context=self._context)
            raise
        if isinstance(answer, Wait):
            return answer
        self.permit = answer.permit
        _keep(self._item, self.name, request.path, answer.response, context=self._context)
        return self._parse(ask, answer.response)

    def learn(self, error: ProviderError) -> ProviderError:
        """Tell the gate what an error says about the key; the error as it counts, with the pause it did not name."""
        if self.permit and isinstance(error, KeyRejectedError) and self.permit.key.secret is None:
            # There was no key that could be wrong: it is about the address or the moment, and passes.
            error = TransientError(error.detail, retry_after=error.retry_after)
        if self.permit and self._gate.learn(self.permit, error):
            _tell_of_key_set_aside(self.permit, error, context=self._context)
        if not error.retry_after and isinstance(error, QuotaError):  # "at once" is no time either: it was just refused
            error.retry_after = self._gate.pause(self._provider.facts)
        return error

    def spare(self, error: ProviderError) -> bool:
        """Whether the provider has another key than the one that this error bars."""
        return self.permit is not None and self._gate.spare(self.permit, error)

    def _ask(self, attempts: Sequence[Mapping[str, Any]], at: datetime) -> Ask:
        self.asked = kept_part(self._item, self.name, attempts, self._context.settings, at)
        item = self._item
        return Ask(item.kind, item.instrument, self._context.now, item.interval, self.asked.window)

    def _parse(self, ask: Ask, response: HttpResponse) -> Batch:
        return interpret(self.name, lambda: self._provider.parse(ask, response))


def _request(provider: Provider, ask: Ask) -> HttpRequest:
    """The request for an item; an error in making it, such as a symbol with no name there, is no attempt that asked."""
    try:
        return provider.request(ask)
    except ProviderError as error:
        error.asked = False
        raise


def _keep(item: Item, provider: str, path: str, response: HttpResponse, *, context: StageContext) -> None:
    """Keep a raw answer, or the part of one that came, before it is parsed.

    :raises ConfigurationError: the answer is simulated and the database live, or the other way round; nothing was kept.
    """
    database_mode.admit(context.database, simulated=response.simulated)
    kept = Payload.of(provider, path, response.status, response.headers, response.body, context.now)
    with context.database.connection() as conn:
        run_items.keep_answer(conn, item, kept)


def _longest_wait(item: Item, provider: str, settings: Settings) -> float:
    """Seconds that an item may wait for this provider's quota: longest where no other provider can be asked."""
    if route.next_provider(item.instrument, item.kind, item.interval, provider, settings) is None:
        return LONGEST_COUNTDOWN
    return PATIENCE_QUOTE if item.kind is Kind.QUOTE else PATIENCE_BARS


def _wait(
    item: Item,
    provider: str,
    due: Wait,
    retries: int,
    *,
    context: StageContext,
) -> Retry:
    """Come back when the reservation is due; the ledger's deadline moves with it, or the item would count as lost."""
    with context.database.connection() as conn:
        run_items.extend_deadline(
            conn, item, context.now, due.seconds + context.settings.fintrack_item_deadline_seconds
        )
    return Retry(provider, due.seconds, retries, due.reservation)


def _tell_of_key_set_aside(permit: Permit, error: ProviderError, *, context: StageContext) -> None:
    """One alert for each key that is refused, with the key's name, which gives none of it away."""
    rule, subject = "key_set_aside", f"{permit.facts.name} {permit.reservation.key}"
    detail = f"{error.reason}: set aside for a day, or until it is changed"
    log.error(rule, provider=permit.facts.name, key_name=permit.reservation.key, reason=error.reason)
    topic, event_id = context.settings.kafka_topic_notifications, uuid7(context.now.timestamp())
    simulated = database_mode.is_simulated(context.database)
    event = messages.alert_raised(rule, subject, detail, topic, context.now, event_id, simulated=simulated)
    with context.database.connection() as conn, conn.transaction():
        alerts.add(conn, rule, "error", subject, detail, context.now)
        outbox.add(conn, event, context.now)
