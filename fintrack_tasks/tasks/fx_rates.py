"""The task that updates fx rates, once a working day after the European Central Bank publishes them."""

from __future__ import annotations

from typing import Any

import structlog

from fintrack_tasks.app import app
from fintrack_tasks.errors import ProviderError
from fintrack_tasks.fetch.quota.permits import Reservation, Wait
from fintrack_tasks.pipeline import fx_rates
from fintrack_tasks.tasks.base import BaseTask, connections, stage_context

__all__ = ["fetch_fx_rates"]

log = structlog.get_logger("fintrack.tasks")


class FxRatesTask(BaseTask):
    """Retries a provider error six times within about a quarter of an hour."""

    abstract = True
    autoretry_for = (*BaseTask.autoretry_for, ProviderError)
    dont_autoretry_for = tuple(kind for kind in BaseTask.dont_autoretry_for if kind is not ProviderError)
    retry_backoff = 10
    retry_backoff_max = 600


@app.task(name="fintrack.fetch_fx_rates", base=FxRatesTask, bind=True, ignore_result=False)
def fetch_fx_rates(self: FxRatesTask, ticket: list[str] | None = None) -> dict[str, Any]:
    """Update the fx rates: all days since 1999 on the first run, then what is new.

    :returns: ``{"rates": int, "changed": int, "newest": ISO time}``, or ``{"again_in": seconds}`` where the provider's
        quota has to be waited for.
    """
    outcome = fx_rates.update_fx_rates(
        context=stage_context(),
        http=connections().http,
        gate=connections().gate,
        reservation=Reservation(*ticket) if ticket else None,
        longest=60.0,
    )
    if isinstance(outcome, Wait):
        reserved = [outcome.reservation.id, outcome.reservation.key]
        self.apply_async(kwargs={"ticket": reserved}, countdown=outcome.seconds)
        return {"again_in": outcome.seconds}
    log.info("rates_updated", rates=outcome.rates, changed=outcome.changed)
    return {"rates": outcome.rates, "changed": outcome.changed, "newest": outcome.newest.isoformat()}
