"""The update of the table of fx rates from the ECB's reference rates: the whole history once, then what is new."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fintrack_tasks.domain import AssetClass, Budget, Instrument, Interval, Kind, TimeRange
from fintrack_tasks.errors import ProviderError
from fintrack_tasks.fetch.http.client import HttpClient
from fintrack_tasks.fetch.interpret import interpret
from fintrack_tasks.fetch.providers import ecb
from fintrack_tasks.fetch.providers.base import Ask
from fintrack_tasks.fetch.quota.gate import Gate
from fintrack_tasks.fetch.quota.permits import Reservation, Wait
from fintrack_tasks.fetch.request import ask_provider
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.store import database_mode, fx_rates, payloads
from fintrack_tasks.store.payloads import Payload

__all__ = ["Updated", "update_fx_rates"]

_FIRST: Final = datetime(1999, 1, 1, tzinfo=UTC)
_ANY_PAIR: Final = Instrument("EURUSD=X", AssetClass.FOREX)
"""Each file holds all currencies; which one is named does not matter."""


@dataclass(frozen=True, slots=True)
class Updated:
    """``rates``: how many an answer held; ``changed``: how many of them were new; ``newest``: the latest one's time."""

    rates: int
    changed: int
    newest: datetime


def update_fx_rates(
    *,
    context: StageContext,
    http: HttpClient,
    gate: Gate,
    reservation: Reservation | None = None,
    longest: float = 0.0,
) -> Updated | Wait:
    """Ask the ECB for the smallest file that surely holds what is missing, keep the raw answer, write its rates down.

    Idempotent. Returns a :class:`Wait` where the provider's quota has no room now.

    :param reservation: that of an earlier :class:`Wait`, whose time has come.
    :param longest: seconds that the caller would accept as a :class:`Wait`.
    :raises fintrack_tasks.errors.ProviderError: the subclass says what the answer, or its absence, means.
    :raises ConfigurationError: the database holds prices of the other kind; nothing was written.
    """
    facts = ecb.PROVIDER.facts
    with context.database.connection() as conn:
        known = fx_rates.newest(conn, facts.name)
    start = min(known or _FIRST, context.now)
    ask = Ask(
        Kind.BARS, _ANY_PAIR, context.now, Interval.D1, TimeRange(start, max(context.now, start) + Interval.D1.delta)
    )
    request = ecb.PROVIDER.request(ask)
    answer = ask_provider(
        facts, request, gate=gate, http=http, budget=Budget.GAP_REPAIR, reservation=reservation, longest=longest
    )
    if isinstance(answer, Wait):
        return answer
    response = answer.response
    database_mode.admit(context.database, simulated=response.simulated)
    kept = Payload.of(facts.name, request.path, response.status, response.headers, response.body, context.now)
    with context.database.connection() as conn:
        payloads.add(conn, kept)
    try:
        rates = interpret(facts.name, lambda: ecb.rates(response, context.now))
    except ProviderError as error:
        gate.learn(answer.permit, error)
        raise
    with context.database.connection() as conn:
        changed = fx_rates.add(conn, rates, context.now, payload_sha=kept.sha256)
    return Updated(len(rates), changed, max(rate.timestamp for rate in rates))
