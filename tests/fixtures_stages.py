"""The pipeline's stages under one :class:`StageContext`, over a real database: the one harness of all stage tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
import requests

from fintrack_tasks import pipeline
from fintrack_tasks.domain import Batch, Item
from fintrack_tasks.fetch.http.client import HttpClient
from fintrack_tasks.fetch.quota.gate import Gate
from fintrack_tasks.fetch.quota.permits import Reservation
from fintrack_tasks.pipeline import Ended, Retry, StageContext
from fintrack_tasks.pipeline.plan import Plan, plan_run
from fintrack_tasks.pipeline.quarantine import Decision, discard_row, release_row
from fintrack_tasks.pipeline.run_arguments import check_arguments
from fintrack_tasks.queries import runs
from fintrack_tasks.queries.quarantine import newest_rows
from fintrack_tasks.sandbox import Running
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database, quarantine

_MOST_HOPS = 20


class Stages:
    """Takes items through the stages at the context's time, or at another ``now``."""

    def __init__(self, context: StageContext, http: HttpClient, gate: Gate) -> None:
        self.context, self.http, self.gate = context, http, gate

    def at(self, now: datetime | None) -> StageContext:
        return replace(self.context, now=now) if now else self.context

    def plan(self, *symbols: str, **named: Any) -> list[Item]:
        """The items of :meth:`plan_run`."""
        return list(self.plan_run(*symbols, **named).items)

    def plan_run(
        self, *symbols: str, job: str = "fetch_market_data", now: datetime | None = None, **named: Any
    ) -> Plan:
        """A run in the ledger; of all registered instruments where no symbol is given."""
        context = self.at(now)
        arguments = check_arguments(job, symbols or None, now=context.now, **named)
        with context.database.connection() as conn:
            made = plan_run(conn, arguments, context.settings, context.now)
            pipeline.record_run(conn, made, context.settings, context.now)
        return made

    def fetch(
        self,
        item: Item,
        provider: str = "yahoo_finance",
        *,
        retries: int = 0,
        reservation: Reservation | None = None,
        now: datetime | None = None,
    ) -> Batch | Retry | Ended:
        return pipeline.fetch_item(
            item,
            provider,
            context=self.at(now),
            retries=retries,
            http=self.http,
            gate=self.gate,
            reservation=reservation,
        )

    def fetched(self, item: Item, provider: str = "yahoo_finance") -> Batch:
        """The batch of an item that is answered at once."""
        batch = self.fetch(item, provider)
        assert isinstance(batch, Batch), batch
        return batch

    def follow(self, item: Item, provider: str) -> tuple[list[str], Batch | Ended]:
        """Go where the item is sent until it has rows or ends; the providers in the order of the visits."""
        at = Retry(provider, 0.0, 0)
        visited = []
        for _ in range(_MOST_HOPS):
            visited.append(at.provider)
            outcome = self.fetch(item, at.provider, retries=at.retries, reservation=at.reservation)
            if not isinstance(outcome, Retry):
                return visited, outcome
            at = outcome
        pytest.fail(f"the item never came to an end: {visited}")

    def validate(self, item: Item, batch: Batch, now: datetime | None = None) -> Batch | Ended:
        return pipeline.validate_item(item, batch, context=self.at(now))

    def load(self, item: Item, batch: object, now: datetime | None = None) -> Ended:
        """Transform a batch and load it."""
        assert isinstance(batch, Batch), batch
        context = self.at(now)
        return pipeline.load_item(item, pipeline.transform_item(item, batch, context=context), context=context)

    def check_and_load(self, item: Item, batch: Batch, now: datetime | None = None) -> Ended:
        """A batch through validate, transform and load."""
        good = self.validate(item, batch, now)
        return self.load(item, good, now) if isinstance(good, Batch) else good

    def through(self, item: Item, provider: str = "yahoo_finance") -> Ended:
        """An item through all four stages."""
        return self.check_and_load(item, self.fetched(item, provider))

    def reconcile(self, now: datetime) -> list[Item]:
        return pipeline.reconcile_items(context=self.at(now))

    def row(self, item: Item) -> dict[str, Any]:
        """The item as ``fintrack runs show`` has it."""
        with self.context.database.connection() as conn:
            return {row["id"]: row for row in runs.items_of_run(conn, item.run_id)}[item.id]

    def attempts(self, item: Item) -> list[tuple[str, str, str | None, bool]]:
        """Provider, reason, until when it is left alone, and whether it was asked."""
        log = self.row(item)["attempt_log"]
        return [(each["provider"], each["reason"], each.get("until"), each.get("asked", True)) for each in log]

    def quarantined(self, status: str | None = "held") -> list[quarantine.Row]:
        """The rows in quarantine, oldest first."""
        with self.context.database.connection() as conn:
            return newest_rows(conn, status, limit=1000)[::-1]

    def release(self, number: int, actor: str = "ada", now: datetime | None = None) -> Decision:
        return release_row(number, context=self.at(now), actor=actor)

    def discard(self, number: int, actor: str = "ada", now: datetime | None = None) -> Decision:
        return discard_row(number, context=self.at(now), actor=actor)


@pytest.fixture
def make_stages(
    stack: dict[str, str], database: Database, database_settings: Settings, make_gate: Callable[..., Gate]
) -> Iterator[Callable[..., Stages]]:
    """Makes the stages at a time, with the variables that are given; over the local market where one is given."""
    clients: list[HttpClient] = []

    def make(
        now: datetime, variables: dict[str, str] | None = None, market: Running | None = None, **gate: Any
    ) -> Stages:
        given = {"ENVIRONMENT": "test", **(variables or {})}
        settings = Settings.from_mapping({**stack, "DB_NAME": database_settings.db_name, **given})
        urls = market.provider_base_urls if market else {}
        clients.append(HttpClient(urls, timeout=3.0, session=None if market else requests.Session()))
        return Stages(StageContext(database, settings, now), clients[-1], make_gate(given, **gate))

    yield make
    for client in clients:
        client.close()
