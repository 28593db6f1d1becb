"""The ECB's rates from the local market into the table: all of them once, then what is new."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from fintrack_tasks import tasks
from fintrack_tasks.connections import Connections
from fintrack_tasks.errors import MalformedError, ProviderError
from fintrack_tasks.fetch.quota.gate import Gate
from fintrack_tasks.fetch.quota.permits import Wait
from fintrack_tasks.pipeline.fx_rates import Updated, update_fx_rates
from fintrack_tasks.sandbox import Running
from fintrack_tasks.settings import Settings
from fintrack_tasks.tasks import base
from tests.fixtures_market import MarketClock
from tests.fixtures_stages import Stages

pytestmark = pytest.mark.integration

NOW = datetime(2026, 6, 17, 15, 30, tzinfo=UTC)  # a Wednesday
ALL = 80_189
"""The bundled rates up to that day, counted by awk."""


@pytest.fixture
def update(make_stages: Callable[..., Stages], market: Running, clock: MarketClock) -> Callable[..., Updated | Wait]:
    stages = make_stages(NOW, {"ECB_QUOTA": "unlimited"}, market)

    def do(now: datetime = NOW, gate: Gate = stages.gate, **named: Any) -> Updated | Wait:
        clock.now = now
        return update_fx_rates(context=stages.at(now), http=stages.http, gate=gate, **named)

    return do


def test_the_first_run_brings_all_days_since_1999_and_the_next_one_what_is_new(
    update: Callable[..., Any], conn: psycopg.Connection
) -> None:
    first = update()
    assert first.changed == first.rates == ALL
    assert first.newest == datetime(2026, 6, 17, 14, 0, tzinfo=UTC)  # 16:00 in Frankfurt, in summer
    oldest = "SELECT timestamp, rate, source FROM fintrack.fx_rates WHERE quote = 'USD' ORDER BY timestamp LIMIT 1"
    assert conn.execute(oldest).fetchone() == (datetime(1999, 1, 4, 15, 0, tzinfo=UTC), Decimal("1.1789"), "ecb")
    again = update()
    assert again.changed == 0
    assert again.rates == 12  # the newest day alone
    friday = update(NOW + timedelta(days=2))
    days = conn.execute("SELECT DISTINCT timestamp FROM fintrack.fx_rates ORDER BY timestamp DESC LIMIT 3").fetchall()
    assert [day[0].day for day in days] == [19, 18, 17]
    assert friday.changed == 24  # twelve currencies on Thursday and Friday
    sha = conn.execute(
        "SELECT count(*) FROM fintrack.fx_rates r JOIN fintrack.payloads p ON p.sha256 = r.payload_sha"
        " WHERE p.path LIKE %s",
        ("%eurofxref-hist.xml",),
    ).fetchone()
    assert sha == (first.rates,)


def test_what_the_quota_does_not_allow_yet_is_a_place(
    update: Callable[..., Any], make_gate: Callable[..., Gate]
) -> None:
    gate = make_gate({"ECB_QUOTA": "1/h"})
    assert isinstance(update(gate=gate), Updated)
    place = update(gate=gate, longest=7200.0)
    assert isinstance(place, Wait)
    assert 3000 < place.seconds <= 3700


@pytest.mark.parametrize("fault", ["html", "malformed"])
def test_a_broken_answer_is_kept_and_writes_no_rate(
    update: Callable[..., Any], market: Running, conn: psycopg.Connection, fault: str
) -> None:
    market.control.add_fault(fault)
    with pytest.raises((MalformedError, ProviderError)):
        update()
    assert conn.execute("SELECT count(*) FROM fintrack.fx_rates").fetchone() == (0,)
    assert conn.execute("SELECT count(*), min(provider) FROM fintrack.payloads").fetchone() == (1, "ecb")


def test_the_task_says_what_it_did(
    market: Running, database_settings: Settings, stack: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = {f"{name.upper()}_BASE_URL": url for name, url in market.provider_base_urls.items()}
    settings = Settings.from_mapping({**stack, **urls, "DB_NAME": database_settings.db_name, "ECB_QUOTA": "unlimited"})
    own = Connections(settings)
    monkeypatch.setitem(base._process, "connections", own)
    monkeypatch.setattr("fintrack_tasks.tasks.base.utc_now", lambda: NOW)
    try:
        told = tasks.fetch_fx_rates()
    finally:
        own.close()
    assert told["changed"] == told["rates"] == ALL
    assert told["newest"] == "2026-06-17T14:00:00+00:00"
