"""The decision after a failed attempt: ask the same provider again, the next provider, later, or end the item.

The error's type decides (:mod:`fintrack_tasks.errors`); every attempt is recorded in the ledger. Which provider is next
in order is in :mod:`fintrack_tasks.fetch.route`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from fintrack_tasks.domain import Batch, Item, ItemState, Kind
from fintrack_tasks.errors import (
    EmptyError,
    MalformedError,
    NoPriceError,
    ProviderError,
    QuotaError,
    UnavailableRangeError,
)
from fintrack_tasks.fetch import route
from fintrack_tasks.pipeline.availability import record_rest, refusers
from fintrack_tasks.pipeline.consensus import consensus_of
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.outcome import DEFERRED, LONGEST_COUNTDOWN, Ended, Retry, fail_item
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import run_items

__all__ = ["MOST_ATTEMPTS", "PAUSE_BROKEN", "RETRIES", "next_step"]

RETRIES: Final = 3
"""How often one provider is asked again after a transient error before the next one of the route is."""
PAUSE_BROKEN: Final = 3.0
"""Seconds before a provider is asked once more whose answer was broken or hollow: HTML, half a body, nulls. Most such
answers are one of many good ones; the second in a row is the provider's own trouble, and the next one is asked."""
LONGEST_QUOTE: Final = 300.0
"""Seconds; a price that would be asked for later belongs to the next run."""
LONGEST_PAUSE: Final = 30.0
"""Seconds that a failing server may ask for before its provider is given up for the next one."""
MOST_ATTEMPTS: Final = 100
_PASSING: Final = ("quota", "transient")
_BROKEN: Final = (MalformedError.reason, EmptyError.reason, NoPriceError.reason)


def next_step(
    item: Item,
    provider: str,
    error: ProviderError,
    *,
    asked: Item,
    retries: int,
    spare: bool,
    context: StageContext,
) -> Batch | Retry | Ended:
    """Record a failed attempt and decide how its item goes on.

    :param asked: the item with the part of its window that the provider was asked for.
    :param spare: the provider has another key than the one that this error bars.
    """
    if isinstance(error, EmptyError) and not _broken(item, error):
        return _empty(item, asked, provider, error, context=context)
    attempts = _record(item, provider, error, context=context)
    following: Retry | Ended | None = _following(
        asked, provider, error, retries, attempts, context.settings, spare=spare
    )
    if following is None and item.consensus > 1 and (batch := consensus_of(item, context=context)):
        return batch  # fewer providers than were asked for answered: what they said need not wait for the others
    following = following or _later(item, error, attempts, context.now)
    if following is None:
        return _end(item, asked, provider, error, attempts, context=context)
    with context.database.connection() as conn:
        if isinstance(following, Ended):
            run_items.defer(conn, item, following.until or context.now)
        else:
            seconds = following.countdown + context.settings.fintrack_item_deadline_seconds
            run_items.extend_deadline(conn, item, context.now, seconds)
    return following


def _record(item: Item, provider: str, error: ProviderError, *, context: StageContext) -> Sequence[Mapping[str, Any]]:
    """Append the attempt to the item's log; returns all attempts, oldest first."""
    until = context.now + timedelta(seconds=error.retry_after) if error.retry_after is not None else None
    with context.database.connection() as conn:
        return run_items.note_attempt(
            conn,
            item,
            provider,
            error.reason,
            error.detail,
            context.now,
            until=until,
            asked=error.asked,
            earliest=error.earliest if isinstance(error, UnavailableRangeError) else None,
        )


def _end(
    item: Item,
    asked: Item,
    provider: str,
    error: ProviderError,
    attempts: Sequence[Mapping[str, Any]],
    *,
    context: StageContext,
) -> Ended:
    """The end of an item for which no provider is left."""
    if isinstance(error, EmptyError):
        return _empty(item, asked, provider, error, context=context)
    if isinstance(error, UnavailableRangeError):
        with context.database.connection() as conn:
            record_rest(conn, item, None, refusers(attempts), context.now)
    return fail_item(item, error.reason, error.detail, context=context, provider=provider)


def _empty(item: Item, asked: Item, provider: str, error: EmptyError, *, context: StageContext) -> Ended:
    with context.database.connection() as conn, conn.transaction():
        record_rest(conn, item, asked.window, [provider], context.now)
        run_items.finish(conn, asked, ItemState.EMPTY, error.reason, error.detail, provider, context.now)
    return Ended(ItemState.EMPTY, error.reason)


def _broken(item: Item, error: ProviderError) -> bool:
    """Whether an answer is unusable: malformed, or well-formed without any price.

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
    """The next attempt after an error: the same provider after a network error, with its next key after a refused one,
    once after an unusable answer, and for the part of a range that it keeps; then the route's next provider.
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
    """How many unusable answers a provider has given for an item, the newest included."""
    return sum(
        each["provider"] == provider and each["reason"] in _BROKEN and each.get("asked", True) for each in attempts
    )


def _later(
    item: Item, error: ProviderError, attempts: Sequence[Mapping[str, Any]], now: datetime
) -> Retry | Ended | None:
    """At the route's end: wait for the provider whose quota is free first; ``None`` where waiting does not help."""
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
