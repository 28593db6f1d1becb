"""Whatever lies in a queue: it is taken off, kept among the dead letters, and the worker goes on."""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from typing import Any, Final

import pytest

from tests.integration.conftest import Workers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

SECRET: Final = "s3cr3t-of-coinbase"


def element(task: str, body: Any, **changes: Any) -> bytes:
    """A queue's element as kombu writes it, with a body of one's own."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    name = str(uuid.uuid4())
    message = {
        "body": base64.b64encode(text).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": name, "root_id": name, "retries": 0, "argsrepr": "", **changes},
        "properties": {
            "correlation_id": name,
            "reply_to": name,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "ops"},
            "priority": 5,
            "body_encoding": "base64",
            "delivery_tag": name,
        },
    }
    return json.dumps(message).encode()


NOTHING: Final[dict[str, Any]] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
FETCH: Final = "fintrack.fetch.ecb"
FORMS: Final[dict[str, tuple[str, bytes]]] = {
    "an item of another form": ("fetch.ecb", element(FETCH, [[{}], {}, NOTHING])),
    "no item at all": ("fetch.ecb", element(FETCH, [[], {}, NOTHING])),
    "a link of another form": ("etl", element("fintrack.load", [[[{}, {}]], {}, NOTHING])),
    "arguments that a job does not take": (
        "ops",
        element("fintrack.fetch_market_data", [[], {"symbol": "AAPL", "api_key": SECRET}, NOTHING]),
    ),
    "arguments for a task without any": ("ops", element("fintrack.reconcile", [[1, 2], {}, NOTHING])),
    "an unknown task": ("ops", element("fintrack.of_tomorrow", [[], {}, NOTHING])),
    "a body that is no list of three": ("ops", element("fintrack.reconcile", {"a": 1})),
    "named arguments that are a list": ("ops", element("fintrack.reconcile", [[], [], NOTHING])),
    "a body that is no JSON": ("ops", element("fintrack.reconcile", b"\x00\xff{")),
    "a body nested deeply": ("fetch.ecb", element(FETCH, b"[" * 5000)),
    "a compressed body": (
        "ops",
        element("fintrack.reconcile", zlib.compress(b"[[], {}, {}]"), compression="application/x-gzip"),
    ),
    "headers without an id": ("ops", element("fintrack.reconcile", [[], {}, NOTHING], id=None)),
    "a content type that is not accepted": (
        "ops",
        element("fintrack.reconcile", b"x").replace(b"application/json", b"application/x-python-serialize"),
    ),
    "an expiry that is none": ("ops", element("fintrack.reconcile", [[], {}, NOTHING], expires="tomorrow")),
    "an element that is no JSON": ("ops", b"\xff\x00 not a message"),
    "an element that is no object": ("etl", b"[1, 2, 3]"),
    "an object without a body": ("fetch.ecb", b"{}"),
}
LEFT_ALONE: Final = {"headers without an id"}
"""Celery gives it a task without a name, which runs: nothing is wrong with the rest."""


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param(("-P", "threads", "-c", "2"), id="threads"),
        pytest.param(("-P", "prefork", "-c", "1"), id="prefork", marks=pytest.mark.chaos),
    ],
)
def test_a_message_of_another_form_is_taken_off_kept_and_counted(workers: Workers, pool: tuple[str, ...]) -> None:
    """More of each than are prefetched, as after an upgrade that changes messages."""
    copies = 10
    workers.start("fetch.ecb,etl,ops", *pool, API_KEY_COINBASE=SECRET)
    workers.await_living("ops", 1)
    forms = [form for name, form in FORMS.items() if name not in LEFT_ALONE]
    for queue, raw in forms * copies:
        workers.client.lpush(f"fintrack:{queue}\x06\x165", raw)

    def kept() -> int:
        found = workers.conn.execute("SELECT count(*) FROM fintrack.dead_letters WHERE item_id IS NULL").fetchone()
        return int(found[0]) if found else 0

    workers.until(lambda: kept() == len(forms) * copies, 60, f"{len(forms) * copies} dead letters")
    waiting = [workers.client.llen(f"fintrack:{queue}\x06\x165") for queue in ("fetch.ecb", "etl", "ops")]
    assert waiting == [0, 0, 0]
    workers.until(lambda: not held(workers), 10, "prefetch that is free again")
    rows = workers.conn.execute("SELECT task, reason, detail, message FROM fintrack.dead_letters").fetchall()
    assert {row[1] for row in rows} == {"wrong_arguments", "unknown_task", "foreign_message", "not_a_message"}
    assert "fintrack.of_tomorrow" in {row[0] for row in rows}
    assert SECRET not in str(rows)
    assert [each.poll() for each in workers.processes] == [None]


def held(workers: Workers) -> int:
    """How many messages the workers hold unacknowledged."""
    return sum(workers.client.hlen(key) for key in workers.client.scan_iter("fintrack:unacked:*"))
