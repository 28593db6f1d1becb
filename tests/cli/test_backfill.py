"""``fintrack backfill``: what is missing, what it takes of whom, and how long that takes within the quotas."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from typer.testing import CliRunner, Result

from fintrack_tasks import pipeline
from fintrack_tasks.cli import context
from fintrack_tasks.domain import ItemState
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.fetch import providers
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import HttpRequest
from fintrack_tasks.fetch.quota.gate import Gate
from fintrack_tasks.fetch.quota.keys import KeyRing
from fintrack_tasks.fetch.quota.permits import Permit
from fintrack_tasks.pipeline import plan
from fintrack_tasks.pipeline.run_arguments import check_arguments
from fintrack_tasks.publish.kafka import ensure_topics
from fintrack_tasks.sandbox import running
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import run_items
from tests.e2e.harness import ROOT, clean_environment, fintrack

backfill = import_module("fintrack_tasks.cli.backfill")  # the package gives its commands that name

REDIS_DATABASE = 10
"""Not the one that the other tests of a run use at the same time."""
FOUR_YEARS = ("--start", "2012-01-03", "--end", "2016-01-01")
NOW = datetime(2026, 6, 17, 16, 0, tzinfo=UTC)
NOWHERE = {"DB_HOST": "127.0.0.1", "DB_PORT": "1", "REDIS_URL": "redis://:hidden-away@127.0.0.1:1/0"}


class Shell:
    """The commands in this process, under variables of the test's own."""

    def __init__(self, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.variables = variables
        for module in (backfill, context):
            monkeypatch.setattr(module, "load_settings", self.settings)

    def settings(self) -> Settings:
        return Settings.from_mapping(self.variables)

    def __call__(self, *words: str) -> Result:
        result = CliRunner().invoke(backfill.app, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result

    def told(self, *words: str) -> dict[str, Any]:
        return dict(json.loads(self(*words, "--json").stdout.splitlines()[-1]))


@pytest.fixture
def variables(stack: dict[str, str], database_settings: Settings) -> Iterator[dict[str, str]]:
    url = re.sub(r"/\d+$", f"/{REDIS_DATABASE}", stack["REDIS_URL"])
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield {**stack, "DB_NAME": database_settings.db_name, "REDIS_URL": url}
        client.flushdb()


@pytest.fixture
def shell(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(variables, monkeypatch)


# --- plan ------------------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_a_plan_is_what_a_person_computes(shell: Shell, conn: psycopg.Connection) -> None:
    """2012-01-03 to 2015-12-31 has 250 + 252 + 252 + 252 = 1,006 sessions in New York and 363 + 365 + 365 + 365 + 1 =
    1,459 days. Yahoo gives 1,000 bars at once, Coinbase (and so every window of a coin) 300: 2 requests for each of two
    stocks, 5 for a coin. Of 2 a minute a backfill holds 1, of 10 a second 6.
    """
    shell.variables["YAHOO_FINANCE_QUOTA"], shell.variables["COINBASE_QUOTA"] = "2/m", "10/s"
    assert shell.told("plan", "--symbols", "AAPL,GOOG,BTC-USD", *FOUR_YEARS) == {
        "items": 9,
        "providers": [
            {
                "provider": "coinbase",
                "requests": 5,
                "quotas": [{"limit": 10, "seconds": 1.0, "keys": 1, "for_backfill": 6, "free_now": 6}],
                "seconds": 0.0,
            },
            {
                "provider": "yahoo_finance",
                "requests": 4,
                "quotas": [{"limit": 2, "seconds": 60.0, "keys": 1, "for_backfill": 1, "free_now": 1}],
                "seconds": 180.0,  # one now, three more at one a minute
            },
        ],
        "seconds": 180.0,
    }
    assert conn.execute("SELECT count(*) FROM fintrack.runs").fetchone() == (0,)
    shown = shell("plan", "--symbols", "AAPL,GOOG,BTC-USD", *FOUR_YEARS).stdout
    assert "9 windows; start it with: fintrack backfill run and the same options" in shown
    assert "1 of 2 per 1 min" in shown
    assert "3 min" in shown


@pytest.mark.integration
@pytest.mark.parametrize(
    ("quota", "free", "seconds"),
    [
        ("5/m,25/d", [3, 15], 20.0),  # four requests: three now, one at three a minute
        ("100/m,3/d", [60, 1], 259_200.0),  # one now, three more at one a day
        ("60/m", [36], 0.0),
        ("unlimited", [], 0.0),
    ],
)
def test_the_tightest_window_sets_the_time(shell: Shell, quota: str, free: list[int], seconds: float) -> None:
    shell.variables["YAHOO_FINANCE_QUOTA"] = quota
    told = shell.told("plan", "--symbols", "AAPL,GOOG", *FOUR_YEARS)
    [need] = told["providers"]
    assert [window["free_now"] for window in need["quotas"]] == free
    assert (need["requests"], need["seconds"], told["seconds"]) == (4, seconds, seconds)


@pytest.mark.integration
def test_what_the_fleet_used_is_not_free(shell: Shell) -> None:
    shell.variables["YAHOO_FINANCE_QUOTA"] = "5/m"
    settings = shell.settings()
    with redis.Redis.from_url(shell.variables["REDIS_URL"]) as client:
        gate, facts = Gate(client, settings, KeyRing(settings)), provider("yahoo_finance").facts
        for _ in range(2):
            taken = gate.acquire(facts, HttpRequest("/"))
            assert isinstance(taken, Permit)
            gate.release(taken, "answered")
        told = shell.told("plan", "--symbols", "AAPL,GOOG", *FOUR_YEARS)
    [need] = told["providers"]
    assert (need["quotas"][0]["for_backfill"], need["quotas"][0]["free_now"]) == (3, 1)
    assert need["seconds"] == 60.0  # one now, three more at three a minute


@pytest.mark.integration
def test_two_keys_are_two_quotas(shell: Shell) -> None:
    shell.variables |= {
        "FINTRACK_ROUTE_STOCK": "twelve_data", "API_KEY_TWELVE_DATA": "one,two", "TWELVE_DATA_QUOTA": "5/m",
    }  # fmt: skip
    [need] = shell.told("plan", "--symbols", "AAPL,GOOG,MSFT,IBM", *FOUR_YEARS)["providers"]
    assert (need["provider"], need["requests"], need["quotas"][0]["keys"]) == ("twelve_data", 8, 2)
    assert (need["quotas"][0]["for_backfill"], need["quotas"][0]["free_now"], need["seconds"]) == (6, 6, 20.0)


@pytest.mark.integration
def test_what_nobody_can_answer_is_said(shell: Shell) -> None:
    """The route's only provider has no key."""
    shell.variables["FINTRACK_ROUTE_STOCK"] = "twelve_data"
    told = shell.told("plan", "--symbols", "AAPL", *FOUR_YEARS)
    assert told["providers"] == [{"provider": "nobody", "requests": 2, "quotas": [], "seconds": 0.0}]


@pytest.mark.integration
def test_where_nothing_is_missing_that_is_all_there_is_to_say(shell: Shell) -> None:
    weekend = ("--symbols", "AAPL", "--start", "2012-01-07", "--end", "2012-01-09")
    assert shell.told("plan", *weekend) == {"items": 0, "providers": [], "seconds": 0.0}
    assert shell("plan", *weekend).stdout == "nothing is missing\n"


@pytest.mark.integration
def test_a_database_without_the_schema_is_told_what_to_do(shell: Shell) -> None:
    shell.variables["DB_NAME"] = "postgres"
    with pytest.raises(ConfigurationError, match="fintrack db upgrade"):
        shell("plan", "--symbols", "AAPL")
    with pytest.raises(ConfigurationError, match="fintrack db upgrade"):
        shell("status")


# --- status ----------------------------------------------------------------------------------------------------------


def record(shell: Shell, conn: psycopg.Connection, budget: str, now: datetime) -> plan.Plan:
    arguments = check_arguments(
        "fetch_historical_market_data", ["AAPL", "GOOG"], start="2012-01-03", end="2016-01-01", budget=budget, now=now
    )
    made = plan.plan_run(conn, arguments, shell.settings(), now)
    pipeline.record_run(conn, made, shell.settings(), now)
    return made


@pytest.mark.integration
def test_status_shows_backfills_alone_newest_first_and_when_they_go_on(shell: Shell, conn: psycopg.Connection) -> None:
    older = record(shell, conn, "deep_backfill", NOW)
    record(shell, conn, "gap_repair", NOW + timedelta(minutes=1))
    newer = record(shell, conn, "deep_backfill", NOW + timedelta(minutes=2))
    run_items.defer(conn, older.items[0], NOW + timedelta(hours=9))
    run_items.defer(conn, older.items[1], NOW + timedelta(hours=8))
    run_items.finish(conn, older.items[2], ItemState.EMPTY, "empty", "", "yahoo_finance", NOW)
    conn.commit()
    told = shell.told("status")["backfills"]
    assert [each["run_id"] for each in told] == [str(newer.run_id), str(older.run_id)]
    assert told[0] == {
        "run_id": str(newer.run_id), "state": "running", "created_at": "2026-06-17T16:02:00Z",
        "items": 4, "loaded": 0, "empty": 0, "failed": 0, "quarantined_rows": 0, "deferred": 0, "next_at": None,
    }  # fmt: skip
    assert (told[1]["empty"], told[1]["deferred"], told[1]["next_at"]) == (1, 2, "2026-06-18T00:00:00Z")
    assert [each["run_id"] for each in shell.told("status", "--limit", "1")["backfills"]] == [str(newer.run_id)]
    shown = " ".join(shell("status").stdout.split())
    assert "running" in shown


@pytest.mark.integration
def test_status_of_nothing_is_an_empty_list(shell: Shell) -> None:
    assert shell.told("status") == {"backfills": []}


# --- run -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def start_worker(variables: dict[str, str], tmp_path: Path) -> Iterator[Callable[[dict[str, str]], None]]:
    """One worker for everything, in a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(more: dict[str, str]) -> None:
        queues = ",".join(["ops", "publish", "etl", *(f"fetch.{name}" for name in providers.names())])
        command = [sys.executable, "-m", "celery", "-A", "fintrack_tasks", "worker", "-Q", queues, "-P", "threads"]
        with (tmp_path / "worker.log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    [*command, "-c", "4", "-n", "backfill@%h", "--loglevel", "WARNING"],
                    env={**clean_environment(), **variables, **more},
                    cwd=ROOT,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )

    yield start
    for process in started:
        process.kill()
        process.wait(10)


@pytest.mark.integration
def test_a_backfill_is_run_followed_and_listed_and_then_nothing_is_missing(
    tmp_path: Path,
    variables: dict[str, str],
    conn: psycopg.Connection,
    start_worker: Callable[[dict[str, str]], None],
) -> None:
    ensure_topics(variables["KAFKA_BOOTSTRAP_SERVERS"], ("market-data", "notifications"))
    with running(seed=7, quotas={"yahoo_finance": "20/s"}) as market:
        more = {"FINTRACK_HOME": str(tmp_path), "YAHOO_FINANCE_QUOTA": "20/s", **market.environment}
        start_worker(more)
        environment = {**variables, **more}
        with redis.Redis.from_url(variables["REDIS_URL"]) as client:
            wait_for(lambda: client.zcard("fintrack:fleet:fetch.yahoo_finance"))
        span = ("--symbols", "AAPL,IBM", "--start", "2009-01-02", "--end", "2013-03-02")
        done = fintrack(tmp_path, "backfill", "run", *span, "--json", environment=environment)
        told = json.loads(done.stdout.splitlines()[-1])
        assert told["jobs"]["fetch_historical_market_data"] == {
            "items": 4, "loaded": 4, "empty": 0, "failed": 0, "quarantined_rows": 0,
        }  # fmt: skip
        # 252 sessions in each of 2009, 2010 and 2011, 250 in 2012, 41 in 2013 until March 1st; of two stocks.
        assert told["rows"]["bars"] == 2 * (3 * 252 + 250 + 41)
        assert market.control.requests()["by_provider"] == {"yahoo_finance": 4}
        planned = fintrack(tmp_path, "backfill", "plan", *span, "--json", environment=environment).stdout
        assert json.loads(planned.splitlines()[-1])["items"] == 0
        listed = fintrack(tmp_path, "backfill", "status", "--json", environment=environment).stdout
        [backfilled] = json.loads(listed.splitlines()[-1])["backfills"]
        assert (backfilled["run_id"], backfilled["state"], backfilled["loaded"]) == (told["run_id"], "finished", 4)
    assert conn.execute("SELECT DISTINCT budget FROM fintrack.run_items").fetchall() == [(2,)]


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.integration
def test_nobody_to_work_on_it_is_an_outage_and_nothing_is_enqueued(
    tmp_path: Path, variables: dict[str, str], conn: psycopg.Connection
) -> None:
    finished = fintrack(tmp_path, "backfill", "run", "--symbols", "AAPL", check=False, environment=variables)
    assert finished.returncode == 4
    assert "Celery worker" in finished.stderr
    assert conn.execute("SELECT count(*) FROM fintrack.runs").fetchone() == (0,)


# --- without a stack -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["plan", "--start", "2024-02-01", "--end", "2024-01-01"], 2, "must be after the start"),
        (["plan", "--intervals", "3d"], 2, "3d"),
        (["run", "--symbols", ""], 2, "the list of symbols is empty"),
        (["run", "--asset-class", "bonds"], 2, "bonds"),
        (["run", "--start", "soon"], 2, "start is no date"),
        (["status", "--limit", "0"], 2, "--limit"),
        (["everything"], 2, "everything"),
        (["plan"], 4, "PostgreSQL does not answer at 127.0.0.1:1; start it with: fintrack up --detach"),
        (["status"], 4, "PostgreSQL does not answer"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    finished = fintrack(tmp_path, "backfill", *words, check=False, environment=NOWHERE)
    assert finished.returncode == code
    assert said in " ".join(finished.stderr.split())
    assert "Traceback" not in finished.stderr + finished.stdout
    assert "hidden-away" not in finished.stderr + finished.stdout


@pytest.mark.integration
def test_redis_that_is_down_is_named(tmp_path: Path, variables: dict[str, str]) -> None:
    away = {**variables, "REDIS_URL": NOWHERE["REDIS_URL"]}
    finished = fintrack(tmp_path, "backfill", "plan", "--symbols", "AAPL", *FOUR_YEARS, check=False, environment=away)
    assert finished.returncode == 4
    assert "Redis does not answer at redis://127.0.0.1:1/0" in " ".join(finished.stderr.split())
    assert "hidden-away" not in finished.stderr
