"""From a job's message to rows in PostgreSQL and events in Kafka, through worker processes of their own."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from base64 import b64encode
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis
import requests
from celery import Celery
from confluent_kafka import Consumer, TopicPartition

from fintrack_tasks.cli.simulated_notice import NOTE
from fintrack_tasks.embedded import Stack
from tests.e2e.conftest import QUICK
from tests.e2e.harness import ROOT, Pipeline, clean_environment, fintrack
from tests.store.items import make_run, quote

pytestmark = pytest.mark.e2e

DAILY = ROOT / "fintrack_tasks" / "sandbox" / "data" / "daily.csv.gz"
STOCKS = ("AAPL", "GOOG", "IBM", "MSFT")


def real_bars(symbols: tuple[str, ...], start: str, end: str) -> dict[tuple[str, str], dict[str, str]]:
    """The bundled prices as their CSV has them, read here by hand and not by the code under test."""
    with gzip.open(DAILY, "rt", newline="") as lines:
        return {
            (row["symbol"], row["date"]): row
            for row in csv.DictReader(lines)
            if row["symbol"] in symbols and start <= row["date"] < end
        }


def messages(environment: Any, topic: str) -> list[dict[str, Any]]:
    """Everything a topic holds, by a consumer of our own."""
    consumer = Consumer(
        {
            "bootstrap.servers": environment["KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": f"test-{time.time_ns()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + 30
        while (batch := consumer.consume(500, timeout=2)) and time.monotonic() < deadline:
            for message in batch:
                assert message.error() is None
                key = message.key()
                found.append({**json.loads(message.value()), "_key": key.decode() if key else None})
        return found
    finally:
        consumer.close()


def test_delay_from_plain_python_puts_both_rows_into_the_view(pipeline: Pipeline) -> None:
    code = "from fintrack_tasks.tasks import fetch_market_data; fetch_market_data.delay(['AAPL', 'BTC-USD'])"
    subprocess.run(
        [sys.executable, "-c", code], env={"PATH": "/usr/bin:/bin", **pipeline.environment}, cwd=ROOT, check=True
    )
    deadline = time.monotonic() + 60  # against a hang; benchmarks/quotes.py measures how long it takes
    found: set[str] = set()
    while found != {"AAPL", "BTC-USD"} and time.monotonic() < deadline:
        found = {
            r["symbol"] for r in pipeline.query("SELECT symbol FROM market_data WHERE symbol IN ('AAPL', 'BTC-USD')")
        }
        time.sleep(0.05)
    assert found == {"AAPL", "BTC-USD"}


def test_what_a_job_refuses_is_told_with_its_words_before_it_is_enqueued_and_after(pipeline: Pipeline) -> None:
    before = pipeline.query("SELECT count(*) AS n FROM fintrack.runs")
    late = ("run", "historical", "--symbols", "MSFT", "--start", "2024-01-31")
    # The local market's history ends in 2019; a caller who does not know that hears it from the worker.
    knowing, unknowing = pipeline.environment, {**pipeline.environment, "FINTRACK_HISTORY_END": ""}
    for environment in (knowing, unknowing):
        for more in ((), ("--json",)):
            refused = fintrack(pipeline.home, *late, *more, check=False, environment=environment, timeout=60)
            assert refused.returncode == 2
            assert refused.stderr.startswith("fintrack: nothing lies between 2024-01-31 and 2019-01-01")
            assert refused.stdout == ""
    assert pipeline.query("SELECT count(*) AS n FROM fintrack.runs") == before


def test_ctrl_c_stops_watching_and_says_how_to_follow_what_goes_on(pipeline: Pipeline) -> None:
    environment = {**clean_environment(), **pipeline.environment, "FINTRACK_HOME": str(pipeline.home)}
    span = ["--symbols", ",".join(f"S{number}" for number in range(30)), "--asset-class", "stock"]
    process = subprocess.Popen(
        [sys.executable, "-m", "fintrack_tasks", "run", "historical", *span, "--end", "2018-01-01"],
        env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: pipeline.query("SELECT id FROM fintrack.runs WHERE arguments->'symbols' ? 'S29'"))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    [run] = pipeline.query("SELECT id FROM fintrack.runs WHERE arguments->'symbols' ? 'S29'")
    assert process.returncode == 130
    assert said == f"the run goes on; follow it with: fintrack runs show {run['id']}\nfintrack: interrupted\n"


def wait_for(condition: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_three_jobs_load_real_prices_value_by_value_and_tell_kafka_once_each(pipeline: Pipeline) -> None:
    quotes = pipeline.run("market-data")
    history = pipeline.run("historical", "--symbols", ",".join(STOCKS), "--start", "2010-01-01", "--end", "2013-03-02")
    index = pipeline.run("index-data", "--symbols", "^GSPC,^IXIC", "--end", "2019-01-01")

    counts = quotes["jobs"]["fetch_market_data"]
    assert counts["items"] == counts["loaded"] >= 10
    assert quotes["events"]["market-data"] == counts["loaded"]
    for result, job in ((history, "fetch_historical_market_data"), (index, "fetch_market_index_data")):
        counts = result["jobs"][job]
        assert counts["items"] == counts["loaded"] > 0
        assert counts["quarantined_rows"] == 0
        assert result["events"]["market-data"] == counts["loaded"]

    real = real_bars(STOCKS, "2010-01-01", "2013-03-02")
    stored = {
        (row["symbol"], f"{row['timestamp'].astimezone(UTC):%Y-%m-%d}"): row
        for row in pipeline.query(
            "SELECT * FROM historical_market_data WHERE interval = '1d' AND symbol = ANY(%s)"
            " AND timestamp >= '2010-01-01' AND timestamp < '2013-03-02'",
            list(STOCKS),
        )
    }
    assert stored.keys() == real.keys()
    assert len(stored) >= 2000
    for key, row in stored.items():
        for field in ("open", "high", "low", "close", "adj_close", "volume"):
            assert row[field] == Decimal(real[key][field]), (key, field)
        assert row["is_final"] is True
        assert row["source"] == "yahoo_finance"

    indices = pipeline.query("SELECT * FROM market_index_data WHERE symbol = '^GSPC' ORDER BY timestamp")
    gspc = real_bars(("^GSPC",), "2016-01-01", "2019-01-01")
    closes = [Decimal(gspc["^GSPC", f"{row['timestamp']:%Y-%m-%d}"]["close"]) for row in indices]
    assert [row["close"] for row in indices] == closes
    assert len(indices) > 400
    for position in (60, 200, len(indices) - 1):
        mean = sum(closes[position - 19 : position + 1]) / 20
        assert abs(indices[position]["sma_20"] - mean) < Decimal("1e-6") * mean


def test_what_trades_elsewhere_is_loaded_whole_by_its_own_sessions(pipeline: Pipeline) -> None:
    """Tokyo and Hong Kong rest at noon, pairs at the weekend; Johannesburg's and London's prices come in hundredths."""
    symbols = {"7203.T": "JPY", "0700.HK": "HKD", "NPN.JO": "ZAR", "VOD.L": "GBP"}
    result = pipeline.run("historical", "--symbols", ",".join([*symbols, "USDMXN=X"]), "--intervals", "1d,1h")
    counts = result["jobs"]["fetch_historical_market_data"]
    assert counts["items"] == counts["loaded"] > 0
    assert counts["quarantined_rows"] == 0
    stored = pipeline.query(
        "SELECT DISTINCT symbol, currency FROM historical_market_data WHERE symbol = ANY(%s)", list(symbols)
    )
    assert {row["symbol"]: row["currency"] for row in stored} == symbols


def test_every_event_equals_the_rows_it_tells_of(pipeline: Pipeline) -> None:
    pipeline.run("historical", "--symbols", "AAPL", "--start", "2009-11-01", "--end", "2009-12-01")
    pipeline.run("market-data", "--symbols", "MSFT,ETH-USD")
    events = messages(pipeline.environment, pipeline.environment.get("KAFKA_TOPIC_MARKET_DATA", "market-data"))
    assert all(event["_key"] == event["symbol"] for event in events)
    items = Counter(event["item_id"] for event in events)
    loaded = {str(row["id"]) for row in pipeline.query("SELECT id FROM run_items WHERE state = 'loaded'")}
    assert set(items) == loaded
    assert set(items.values()) == {1}

    [bars] = [
        e
        for e in events
        if e["symbol"] == "AAPL" and e["type"] == "bars.loaded" and e["data"]["timestamp"][0].startswith("2009-11")
    ]
    stored = pipeline.query(
        "SELECT * FROM historical_market_data WHERE symbol = 'AAPL' AND interval = '1d'"
        " AND timestamp >= '2009-11-01' AND timestamp < '2009-12-01' ORDER BY timestamp"
    )
    assert [datetime.fromisoformat(t) for t in bars["data"]["timestamp"]] == [row["timestamp"] for row in stored]
    for field in ("open", "high", "low", "close", "adj_close", "volume"):
        assert [Decimal(value) for value in bars["data"][field]] == [row[field] for row in stored]

    [quote] = [e for e in events if e["symbol"] == "ETH-USD" and e["type"] == "quote.loaded"][-1:]
    [row] = pipeline.query(
        "SELECT * FROM market_data WHERE symbol = 'ETH-USD' AND timestamp = %s", quote["data"]["timestamp"][0]
    )
    assert row["price"] == Decimal(quote["data"]["price"][0])


def test_only_what_is_missing_is_asked_for_again(pipeline: Pipeline) -> None:
    span = ("historical", "--symbols", "IBM", "--start", "2008-01-01", "--end", "2008-07-01")
    first = pipeline.run(*span)["jobs"]["fetch_historical_market_data"]
    assert first["loaded"] == 1
    assert pipeline.run(*span)["jobs"]["fetch_historical_market_data"]["items"] == 0
    deleted = pipeline.query(
        "DELETE FROM bars WHERE instrument_id = (SELECT id FROM instruments WHERE symbol = 'IBM')"
        " AND interval = '1d' AND timestamp IN ('2008-03-03', '2008-03-04') RETURNING 1 AS one"
    )
    assert len(deleted) == 2
    again = pipeline.run(*span)
    assert again["jobs"]["fetch_historical_market_data"]["items"] == 1
    assert again["rows"]["bars"] == 2


def test_an_unknown_symbol_fails_alone_with_its_reason_and_the_exit_code_says_so(pipeline: Pipeline) -> None:
    finished = pipeline.fintrack("run", "market-data", "--symbols", "UNKNOWN1,IBM,UNKNOWN2-USD", "--json", check=False)
    assert finished.returncode == 3
    result = json.loads(finished.stdout.splitlines()[-1])
    counts = result["jobs"]["fetch_market_data"]
    assert (counts["items"], counts["loaded"], counts["failed"]) == (3, 1, 2)
    assert {(f["symbol"], f["reason"]) for f in result["failures"]} == {
        ("UNKNOWN1", "unknown_symbol"),
        ("UNKNOWN2-USD", "unknown_symbol"),
    }


def test_a_span_without_trading_ends_as_empty(pipeline: Pipeline) -> None:
    counts = pipeline.run("historical", "--symbols", "FB", "--start", "2011-01-01", "--end", "2011-03-01")["jobs"]
    assert counts["fetch_historical_market_data"]["empty"] == 1
    assert counts["fetch_historical_market_data"]["failed"] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("run", "historical", "--symbols", "AAPL", "--start", "2013-01-01", "--end", "2012-01-01"),
        ("run", "everything"),
        ("run", "market-data", "--symbols", ","),
        ("run", "market-data", "--symbols", "not a symbol"),
        ("runs", "show", "not-an-id"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_is_enqueued(
    pipeline: Pipeline, words: tuple[str, ...]
) -> None:
    # A command gives its run an id of version 7; a tick of the schedule, which may come in between, has version 4.
    of_commands = "SELECT count(*) AS runs FROM runs WHERE uuid_extract_version(id) = 7"
    [before] = pipeline.query(of_commands)
    finished = pipeline.fintrack(*words, check=False)
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr + finished.stdout
    assert pipeline.query(of_commands) == [before]


def test_celery_answers_a_ping_flower_shows_the_workers_and_beat_ticks(pipeline: Pipeline) -> None:
    ping = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "fintrack_tasks", "inspect", "ping", "--json"],
        env={"PATH": "/usr/bin:/bin", **pipeline.environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert {name.split("@")[0] for name in json.loads(ping.stdout)} == {"fetch1", "etl1", "ops", "publish"}
    port = pipeline.environment["FLOWER_PORT"]
    assert requests.get(f"http://127.0.0.1:{port}/healthcheck", timeout=10).text == "OK"
    login = (pipeline.home / "flower.login").read_text().strip()
    assert pipeline.environment["FLOWER_BASIC_AUTH"] == login
    person = tuple(login.split(":"))
    page = requests.get(f"http://127.0.0.1:{port}/workers?json=1", auth=person, timeout=20)
    assert page.status_code == 200
    api = requests.get(f"http://127.0.0.1:{port}/api/workers?refresh=1", auth=person, timeout=20)
    assert api.status_code == 200
    assert {name.split("@")[0] for name in api.json()} == {"fetch1", "etl1", "ops", "publish"}
    pipeline.run("market-data", "--symbols", "MSFT")
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        tasks = requests.get(f"http://127.0.0.1:{port}/api/tasks", auth=person, timeout=20).json().values()
        if ("fintrack.load", "(MSFT quote)") in {(task["name"], task["args"]) for task in tasks}:
            break
        time.sleep(0.2)  # Flower hears of a task when its worker tells of it
    assert ("fintrack.load", "(MSFT quote)") in {(task["name"], task["args"]) for task in tasks}
    assert "fintrack.publish" not in {task["name"] for task in tasks}
    log = pipeline.home / "logs" / "beat.log"
    while "fintrack.publish" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert "fintrack.publish" in log.read_text()


def test_health_and_the_lists_answer_for_people_and_machines(pipeline: Pipeline) -> None:
    health = json.loads(pipeline.fintrack("health", "--json").stdout.splitlines()[-1])
    assert health["healthy"] is True
    assert {"database", "redis", "kafka", "workers", "beat"} <= health["checks"].keys()
    assert json.loads(pipeline.fintrack("providers", "--json").stdout.splitlines()[-1])["providers"]
    listed = json.loads(pipeline.fintrack("instruments", "list", "--json").stdout.splitlines()[-1])["instruments"]
    assert {"AAPL", "BTC-USD", "EURUSD=X", "^GSPC"} <= {i["symbol"] for i in listed}
    [newest, *_] = json.loads(pipeline.fintrack("runs", "list", "--json").stdout.splitlines()[-1])["runs"]
    shown = json.loads(pipeline.fintrack("runs", "show", newest["run_id"], "--json").stdout.splitlines()[-1])
    assert shown["items"] == len(shown["item_list"])


RATE = ("fx", "show", "EUR/USD", "--max-age", "36500")


@pytest.mark.parametrize("words", [RATE, ("health",), ("status",)], ids=" ".join)
def test_what_the_local_market_gave_is_called_simulated_for_people_and_machines(
    pipeline: Pipeline, words: tuple[str, ...]
) -> None:
    if words == RATE:
        pipeline.fintrack("fx", "update")
    shown = pipeline.fintrack(*words).stdout.splitlines()
    assert shown[0].rstrip() == NOTE
    assert shown.count(NOTE) == 1
    assert json.loads(pipeline.fintrack(*words, "--json").stdout.splitlines()[-1])["simulated"] is True


def test_every_service_is_logged_in_as_a_writer_and_can_migrate_nothing(pipeline: Pipeline) -> None:
    """All that this file sees done was done so."""
    pipeline.run("market-data", "--symbols", "AAPL")
    logins = pipeline.as_owner().query(
        "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'fintrack'"
    )
    assert logins == [{"usename": "fintrack_writer_login"}]
    assert not any("OWNER" in name for name in pipeline.environment)
    started = [process for process in Stack(pipeline.home).processes() if process.running]
    assert {"fetch1", "etl1", "ops", "beat"} <= {process.name for process in started}
    environments = [psutil.Process(process.pid).environ() for process in started]
    assert not any("DB_OWNER_PASSWORD" in environment for environment in environments)
    assert "schema is at" in pipeline.fintrack("db", "upgrade").stdout


def test_no_secret_stands_in_a_log(pipeline: Pipeline) -> None:
    owner = Stack(pipeline.home).owner_environment()
    passwords = [pipeline.environment["DB_PASSWORD"], pipeline.environment["DB_READER_PASSWORD"]]
    passwords.append(owner["DB_OWNER_PASSWORD"])
    assert all(len(password) >= 16 for password in passwords)
    logs = list(Path(pipeline.home / "logs").glob("*.log"))
    assert logs
    texts = {log.name: log.read_text(errors="replace") for log in logs}
    assert [name for name, text in texts.items() for password in passwords if password in text] == []


def test_what_a_stranger_leaves_in_the_broker_costs_no_worker_and_no_memory(pipeline: Pipeline) -> None:
    """A bomb by a compression, one by a codec, no JSON, no message, nesting, too much at once; queues and commands."""
    bomb = zlib.compress(b"[" + b" " * (512 * 1024 * 1024) + b"]", 9)
    form: dict[str, Any] = {
        "body": b64encode(bomb).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"compression": "gzip", "task": "fintrack.publish", "id": "bomb", "lang": "py"},
        "properties": {"body_encoding": "base64", "delivery_tag": "bomb", "delivery_info": {}},
    }
    for key in ("routing_key", "exchange"):
        form["properties"]["delivery_info"][key] = "ops"
    codec = {**form, "content-type": "application/data", "content-encoding": "zlib_codec"}
    codec["headers"] = {**form["headers"], "compression": None}
    elements = [
        json.dumps(form),
        json.dumps(codec),
        "no JSON",
        "[1]",
        "null",
        "{}",
        "[" * 100_000,
        "x" * 6_000_000,
    ]

    def workers() -> dict[int, str]:
        processes = json.loads((pipeline.home / "stack.json").read_text())["processes"]
        return {p["pid"]: p["name"] for p in processes if p["name"].startswith(("fetch", "etl", "ops", "publish"))}

    def peak_mb(pid: int) -> int:
        return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) // 1024  # type: ignore[index]

    before = {pid: peak_mb(pid) for pid in workers()}
    letters = "SELECT count(*) AS n FROM fintrack.dead_letters WHERE item_id IS NULL"
    [known] = pipeline.query(letters)
    with redis.Redis.from_url(pipeline.environment["REDIS_URL"]) as client:
        for element in elements:
            client.lpush("fintrack:ops", element)
            client.lpush("fintrack:etl", element)
            client.publish("fintrack:/0.celery.pidbox", element)
    deadline = time.monotonic() + 60
    while pipeline.query(letters)[0]["n"] < known["n"] + 2 * len(elements) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert pipeline.query(letters)[0]["n"] >= known["n"] + 2 * len(elements)
    assert {pid: peak_mb(pid) - before[pid] > 150 for pid in workers()} == dict.fromkeys(before, False)
    done = pipeline.run("market-data", "--symbols", "MSFT")
    assert done["jobs"]["fetch_market_data"]["loaded"] == 1


def test_whoever_writes_to_the_broker_invents_no_price(pipeline: Pipeline) -> None:
    """Messages for each stage, as a stranger with the broker's password would send them: told, and nothing stored."""
    env = pipeline.environment
    names = {"host": "DB_HOST", "port": "DB_PORT", "dbname": "DB_NAME", "user": "DB_USER", "password": "DB_PASSWORD"}
    with psycopg.connect(**{name: env[variable] for name, variable in names.items()}, autocommit=True) as conn:
        [item] = make_run(conn, ["MSFT"], now=datetime.now(tz=UTC))[1]
    link = [item.to_message(), quote(item, "666.66", datetime.now(tz=UTC), volume="1").to_message()]
    stranger = Celery(broker=env["REDIS_URL"])
    stranger.conf.broker_transport_options = {"global_keyprefix": "fintrack:", "priority_steps": [0, 5]}
    stages = ("fintrack.validate", "fintrack.transform", "fintrack.load")
    for stage in stages:
        for arguments in ([link], [[*link, "00" * 32]]):
            stranger.send_task(stage, arguments, queue="etl", priority=0)
    told = "SELECT DISTINCT subject FROM fintrack.alerts WHERE rule = 'forged_message'"
    deadline = time.monotonic() + 60
    while len(found := pipeline.query(told)) < 3 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert {row["subject"] for row in found} == set(stages)
    assert pipeline.query("SELECT 1 FROM fintrack.quotes WHERE price = 666.66") == []
    [row] = pipeline.query("SELECT state FROM fintrack.run_items WHERE id = %s", item.id)
    assert row["state"] == "queued"


def test_status_tells_what_runs_where_and_when_the_schedule_ticked(pipeline: Pipeline) -> None:
    wait_for(lambda: "publish" in [one["job"] for one in status(pipeline)["ticks"] if one["last"]])
    told = status(pipeline)
    assert (told["mode"], told["healthy"]) == ("simulated", True)
    assert {"fetch1", "etl1", "ops", "beat", "flower", "sandbox"} <= {one["name"] for one in told["processes"]}
    assert told["flower"].startswith("http://127.0.0.1:")
    assert "beat" in pipeline.fintrack("logs", "-n", "5").stdout


def status(pipeline: Pipeline) -> dict[str, Any]:
    return dict(json.loads(pipeline.fintrack("status", "--json").stdout.splitlines()[-1]))


@pytest.mark.chaos
def test_up_takes_up_a_stack_whose_supervisor_was_killed_and_interrupts_nothing(pipeline: Pipeline) -> None:
    stack = Stack(pipeline.home)
    before = {one.name: one.pid for one in stack.parts()}
    for name in ("supervisor", "fetch1"):  # in this order, so that nobody starts the worker again
        os.kill(before[name], signal.SIGKILL)
        wait_for(lambda n=name: n in stack.ended())  # type: ignore[misc]  # bound now
    told = json.loads(pipeline.fintrack("status", "--json", check=False).stdout.splitlines()[-1])
    assert (told["healthy"], told["unwatched"]) == (False, True)
    checks = json.loads(pipeline.fintrack("health", "--json", check=False).stdout.splitlines()[-1])["checks"]
    assert "fetch1 has ended" in checks["local_stack"]["detail"]
    assert checks["local_stack"]["detail"].endswith("take it up again with: fintrack up --detach")
    said = fintrack(pipeline.home, "up", "--detach", environment=QUICK).stdout
    assert f"{len(before) - 2} parts ran already and go on as they were; started: fetch1, supervisor\n" in said
    after = {one.name: one.pid for one in stack.parts() if one.running}
    assert after.keys() == before.keys()
    assert {name for name, pid in after.items() if before[name] != pid} == {"supervisor", "fetch1"}
    assert status(pipeline)["healthy"] is True
    os.kill(after["fetch1"], signal.SIGKILL)  # and the new supervisor does its work
    wait_for(lambda: any(one.name == "fetch1" and one.pid != after["fetch1"] and one.running for one in stack.parts()))
    counts = pipeline.run("market-data", "--symbols", "MSFT")["jobs"]["fetch_market_data"]
    assert (counts["items"], counts["loaded"]) == (1, 1)
