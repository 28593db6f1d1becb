"""What a failing stage means for its item, and what is said to the broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import kombu.exceptions
import psycopg
import pytest
import redis.exceptions
import responses
import structlog

from fintrack_tasks import pipeline, tasks
from fintrack_tasks.connections import Connections
from fintrack_tasks.domain import ORIGIN_HEADER, Instrument, Item, Kind
from fintrack_tasks.errors import ConfigurationError, OutageError, StoreError
from fintrack_tasks.queries import runs
from fintrack_tasks.settings import Settings
from fintrack_tasks.signatures import Signer
from fintrack_tasks.store import Database
from fintrack_tasks.store.database_mode import admit
from fintrack_tasks.tasks import base, ingest, stage_messages
from tests.tasks.conftest import Outgoing

ITEM = Item(UUID(int=1), UUID(int=2), Kind.QUOTE, Instrument.of("AAPL"), 1)


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch, outgoing: Outgoing) -> list[str]:
    """The reasons with which items are ended."""
    reasons: list[str] = []
    monkeypatch.setattr(pipeline, "fail_item", lambda _item, reason, *_args, **_kw: reasons.append(reason))
    monkeypatch.setattr(stage_messages, "are_ours", lambda *_: True)
    return reasons


@pytest.mark.parametrize(
    "outage",
    [
        OutageError("PostgreSQL", "localhost:5432"),
        kombu.exceptions.OperationalError("Error 111 connecting to 127.0.0.1:6379. Connection refused."),
        redis.exceptions.ConnectionError("Connection reset by peer"),
        redis.exceptions.TimeoutError("Timeout reading from socket"),
    ],
)
def test_a_server_of_ours_that_is_down_delays_an_item_and_never_fails_it(failed: list[str], outage: Exception) -> None:
    """Also where the broker itself could not take the next stage's message: reconcile enqueues the item again."""
    for arguments in ([ITEM.to_message()], [[ITEM.to_message(), {}]]):
        ingest.load.on_failure(outage, "id", arguments, {}, None)
    assert failed == []


@pytest.mark.parametrize(
    ("defect", "reason"),
    [
        (KeyError("price"), "internal_error"),
        (StoreError("no such column"), "refused_by_store"),
        (psycopg.DataError("out of range"), "refused_by_store"),
        (ConfigurationError("API_KEY_COINBASE is no key"), "configuration"),
    ],
)
def test_anything_else_ends_the_item_with_a_reason(failed: list[str], defect: Exception, reason: str) -> None:
    ingest.load.on_failure(defect, "id", [[ITEM.to_message(), {}]], {}, None)
    assert failed == [reason]


def test_an_item_that_nobody_can_answer_ends_with_the_variable_that_would_help(
    failed: list[str], use: Callable[[Any], Any], outgoing: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others of its run go on."""
    lacking = Settings.from_mapping({"FINTRACK_ROUTE_STOCK": "finnhub", "FINTRACK_ROUTE_INDEX": "coinbase"})
    use(SimpleNamespace(settings=lacking, database=None, signer=Signer(lambda: [b"k" * 32])))
    monkeypatch.setattr(ingest, "_ended", lambda *_: None)
    items = [Item(UUID(int=n), UUID(int=2), Kind.QUOTE, Instrument.of(s), n) for n, s in ((3, "AAPL"), (4, "^VIX"))]
    crypto = Item(UUID(int=5), UUID(int=2), Kind.QUOTE, Instrument.of("BTC-USD"), 5)
    assert ingest.enqueue([*items, crypto]) == 1
    assert failed == ["missing_key", "no_provider"]
    assert [(each.task, each.args[0]["symbol"]) for each in outgoing] == [("fintrack.fetch.coinbase", "BTC-USD")]


def test_what_goes_on_is_sent_before_what_is_new(
    use: Callable[[Any], Any], outgoing: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redirected item keeps its place, and a ticket's time is not spent behind a long queue."""
    task = ingest.fetch_tasks["yahoo_finance"]
    outcome = pipeline.Retry("yahoo_finance", 12.5, 1)
    monkeypatch.setattr(pipeline, "fetch_item", lambda *_args, **_named: outcome)
    none = dict.fromkeys(("database", "http", "gate", "settings"))
    use(SimpleNamespace(**none, signer=Signer(lambda: [b"k" * 32])))
    task.run(ITEM.to_message(), stage_messages.signature_of(ITEM.to_message()))
    [sent] = outgoing
    assert (sent.task, sent.options["priority"], sent.options["retries"]) == (task.name, ingest.FIRST, 1)
    due = datetime.fromisoformat(sent.options["eta"]) - base.utc_now()
    assert timedelta(seconds=10) < due <= timedelta(seconds=12.5)


@pytest.mark.parametrize(
    ("task", "behind"),
    [
        (ingest.fetch_tasks["ecb"], ["fintrack.load", "fintrack.transform", "fintrack.validate"]),
        (ingest.validate, ["fintrack.load", "fintrack.transform"]),
        (ingest.transform, ["fintrack.load"]),
        (ingest.load, []),
    ],
)
@pytest.mark.parametrize("chain", [5, [5], [{"task": "fintrack.cleanup", "options": {"queue": "nowhere"}}]])
def test_what_follows_a_stage_is_not_the_messages_to_say(
    monkeypatch: pytest.MonkeyPatch, task: Any, behind: list[str], chain: Any
) -> None:
    """Only the item and its batch are signed. Callbacks that nobody can call would end a true item as failed."""
    seen: list[Any] = []
    monkeypatch.setattr(task, "run", lambda *_: seen.append(dict(vars(task.request))))
    task.push_request(chain=chain, callbacks=[5], errbacks=[5], chord=5, group="g", argsrepr="(AAPL quote)")
    try:
        task([])
    finally:
        task.pop_request()
    [request] = seen
    assert [step.task for step in request["chain"]] == behind
    assert {step.options["argsrepr"] for step in request["chain"]} <= {"(AAPL quote)"}
    assert [request[name] for name in ("callbacks", "errbacks", "chord", "group")] == [None] * 4


def test_a_stage_that_is_called_alone_stays_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(ingest.validate, "run", lambda *_: seen.append(ingest.validate.request.chain))
    ingest.validate([])
    assert seen == [None]


@pytest.fixture
def own(
    use: Callable[[Any], Any], outgoing: Outgoing, stack: dict[str, str], database_settings: Settings
) -> Iterator[Connections]:
    """The tasks on a database of their own, asking Yahoo at its own address."""
    given = {name: value for name, value in stack.items() if not name.endswith("_BASE_URL")}
    ours = Settings.from_mapping({**given, "DB_NAME": database_settings.db_name, "YAHOO_FINANCE_QUOTA": "unlimited"})
    made = use(Connections(ours))
    yield made
    made.close()


@pytest.mark.integration
@pytest.mark.parametrize("simulated", [True, False])
def test_an_answer_of_the_local_market_for_a_live_database_ends_its_item_and_leaves_nothing_behind(
    own: Connections, database: Database, outgoing: Outgoing, simulated: bool
) -> None:
    """And a real one for the local market's database. Whoever is asked next stands under the same wrong settings."""
    run = str(uuid4())
    tasks.fetch_market_data(["AAPL"], run_id=run)
    admit(database, simulated=not simulated)
    meta = {"symbol": "AAPL", "currency": "USD", "regularMarketPrice": 187.5, "regularMarketTime": 1_795_800_000}
    message = outgoing.items[0].to_message()
    with responses.RequestsMock() as provider:
        provider.get(
            "https://query1.finance.yahoo.com/v8/finance/chart/AAPL",
            json={"chart": {"result": [{"meta": meta}], "error": None}},
            headers={ORIGIN_HEADER: "fintrack sandbox"} if simulated else {},
        )
        ingest.fetch_tasks["yahoo_finance"].apply(args=[message, stage_messages.signature_of(message)])
    with database.connection() as conn:
        [row] = runs.items_of_run(conn, UUID(run))
        kept = conn.execute("SELECT (SELECT count(*) FROM fintrack.payloads) + (SELECT count(*) FROM fintrack.quotes)")
        assert (row["state"], row["reason"]) == ("failed", "configuration")
        assert kept.fetchone() == (0,)
    assert f"{database.name} holds {'real' if simulated else 'simulated'} prices" in row["detail"]
    assert "give them a database of their own" in row["detail"]


def test_every_log_line_of_a_stage_names_run_item_symbol_provider_and_task(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    def noted(*_: Any, **__: Any) -> pipeline.Ended:
        seen.append(structlog.contextvars.get_contextvars())
        return pipeline.Ended("stale")

    monkeypatch.setattr(pipeline, "load_item", noted)
    monkeypatch.setattr(stage_messages, "opened", lambda *_: (ITEM, None))
    monkeypatch.setattr(ingest, "stage_context", lambda: None)
    ingest.load([ITEM.to_message(), {"source": "coinbase"}, "signature"])
    named = {"run": str(UUID(int=2)), "item": str(UUID(int=1)), "symbol": "AAPL", "provider": "coinbase"}
    assert seen == [{**named, "task": "fintrack.load", "task_id": None}]
    assert structlog.contextvars.get_contextvars() == {}


@pytest.mark.parametrize(
    "arguments", [(), None, "ab", (None,), ([],), ([None],), ({},), ([{"id": 5}, "x"],), ("text",)]
)
def test_a_message_of_another_form_names_what_it_has_and_costs_nothing(arguments: tuple[Any, ...]) -> None:
    assert set(ingest.load.subject(arguments)) <= {"item"}
