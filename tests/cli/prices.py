"""Prices of London for the tests of commands: Yahoo's answer for a stock in pence, and its load."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from fintrack_tasks import pipeline
from fintrack_tasks.domain import Interval, Item, Kind, TimeRange
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database, run_items
from fintrack_tasks.store.payloads import Payload
from fintrack_tasks.transform import clean_batch
from tests.e2e.harness import fintrack
from tests.store.items import make_run

LONDON = "Europe/London"

DAYS = {"2024-04-29": 400.0, "2024-04-30": 402.5, "2024-05-01": 410.0, "2024-05-02": 416.0, "2024-05-03": 420.0}


def chart(prices: dict[str, float], *, split: str | None = None, dividend: tuple[str, float] | None = None) -> bytes:
    """Yahoo's answer for a stock of London, in pence: four equal prices a day."""
    stamps = {day: int(datetime.fromisoformat(f"{day}T08:00:00+00:00").timestamp()) for day in prices}
    events: dict[str, Any] = {}
    if split:
        events["splits"] = {"1": {"date": stamps[split], "numerator": 2, "denominator": 1, "splitRatio": "2:1"}}
    if dividend:
        events["dividends"] = {"1": {"date": stamps[dividend[0]], "amount": dividend[1]}}
    values = list(prices.values())
    quotes = dict.fromkeys(("open", "high", "low", "close"), values) | {"volume": [1000] * len(values)}
    meta = {
        "currency": "GBp", "symbol": "OCDO.L", "exchangeTimezoneName": LONDON, "dataGranularity": "1d",
        "regularMarketTime": stamps[max(prices)],
    }  # fmt: skip
    result = {"meta": meta, "timestamp": list(stamps.values()), "indicators": {"quote": [quotes]}, "events": events}
    return json.dumps({"chart": {"result": [result], "error": None}}).encode()


def ingest(database: Database, settings: Settings, body: bytes, now: datetime) -> Item:
    """A recorded answer on the way that a fetched one takes: kept, parsed, cleaned, loaded."""
    with database.connection() as conn:
        _, [item] = make_run(conn, ["OCDO.L"], Kind.BARS, days=30, now=now)
        kept = Payload.of("yahoo_finance", "/v8/finance/chart/OCDO.L", 200, {}, body, now)
        run_items.keep_answer(conn, item, kept)
    item = replace(item, window=TimeRange(item.window.start, now)) if item.window else item
    ask = Ask(Kind.BARS, item.instrument, now, Interval.D1, item.window)
    batch = provider("yahoo_finance").parse(ask, HttpResponse(200, body))
    ended = pipeline.load_item(item, clean_batch(batch), context=StageContext(database, settings, now))
    assert ended.state == "loaded"
    return item


def told(home: Path, where: dict[str, str], *words: str, code: int = 0) -> dict[str, Any]:
    finished = fintrack(home, *words, "--json", check=False, environment=where)
    assert finished.returncode == code, finished.stderr
    assert "Traceback" not in finished.stderr
    return dict(json.loads(finished.stdout.splitlines()[-1]))
