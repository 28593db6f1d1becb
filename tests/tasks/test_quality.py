"""The tasks behind the items: enqueued once when a run has ended, and ended before their time limit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import kombu.exceptions
import psycopg
import pytest
import redis

from fintrack_tasks.connections import Connections
from fintrack_tasks.store import runs
from fintrack_tasks.store.quotes import load_quote
from fintrack_tasks.tasks import quality
from fintrack_tasks.tasks.quality import measure_quality, measure_soon, train_anomaly_models
from tests.store.items import NOW, event, make_run, quote
from tests.tasks.conftest import Outgoing

pytestmark = pytest.mark.integration


@pytest.fixture
def sent(process: Connections, outgoing: Outgoing, broker: redis.Redis) -> Iterator[Outgoing]:
    """The tasks on a database of their own, and what they sent."""
    broker.delete(quality._MEASURING.key)
    yield outgoing
    broker.delete(quality._MEASURING.key)


def called(sent: Outgoing) -> list[tuple[str, Any]]:
    return [(each.task, tuple(each.args)) for each in sent]


def ended_run(conn: psycopg.Connection, symbols: list[str]) -> None:
    _, items = make_run(conn, symbols)
    for item in items:
        load_quote(conn, item, quote(item), event(item), NOW)
    runs.finish_runs(conn, NOW)


def test_a_run_that_has_ended_enqueues_one_measuring_and_none_without_one(
    sent: Outgoing, conn: psycopg.Connection
) -> None:
    measure_soon()
    make_run(conn, ["AAPL"])
    measure_soon()
    assert sent == []
    ended_run(conn, ["MSFT"])
    for _ in range(3):
        measure_soon()
    assert called(sent) == [("fintrack.measure_quality", ())]
    assert measure_quality() == {"instruments": 1}
    measure_soon()
    assert len(sent) == 1
    ended_run(conn, ["IBM"])
    measure_soon()
    assert len(sent) == 2


def test_what_is_left_after_two_minutes_is_another_message(
    sent: Outgoing, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "_AT_MOST", 0.0)
    monkeypatch.setattr("fintrack_tasks.pipeline.quality._PAGE", 2)
    ended_run(conn, ["AAPL", "MSFT", "IBM"])
    assert [measure_quality() for _ in range(4)] == [{"instruments": n} for n in (2, 1, 0, 0)]
    assert called(sent) == [("fintrack.measure_quality", ())] * 3
    sent.clear()
    conn.execute("UPDATE fintrack.instruments SET is_active = true")
    numbers = [n for (n,) in conn.execute("SELECT id FROM fintrack.instruments ORDER BY id").fetchall()]
    assert train_anomaly_models() == {"instruments": 1}
    assert called(sent) == [("fintrack.train_anomaly_models", (numbers[0],))]
    assert train_anomaly_models(after=numbers[-1]) == {"instruments": 0}


def test_a_broker_that_is_away_fails_no_publishing(
    sent: Outgoing, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise kombu.exceptions.OperationalError("no connection")

    ended_run(conn, ["AAPL"])
    monkeypatch.setattr(measure_quality, "apply_async", refuse)
    measure_soon()


def test_the_schedule_measures_what_was_missed_and_trains_once_a_week() -> None:
    from fintrack_tasks import celeryconfig

    entries = {name: celeryconfig.beat_schedule[name] for name in ("measure-quality", "anomaly-models")}
    assert {each["task"] for each in entries.values()} == {measure_quality.name, train_anomaly_models.name}
    assert entries["measure-quality"]["schedule"] == 300.0
    weekly = entries["anomaly-models"]["schedule"]
    assert (weekly.hour, weekly.minute, weekly.day_of_week) == ({4}, {0}, {0})
    assert isinstance(NOW, datetime)
