"""Why a stored number is what it is: who told it, in which raw answer, what it was before, what adjusts it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg

from fintrack_tasks.domain import Instrument, Interval, Kind, TimeRange, to_micros
from fintrack_tasks.errors import ProviderError, StoreError, UsageError
from fintrack_tasks.fetch import providers
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse
from fintrack_tasks.queries import provenance
from fintrack_tasks.store import corporate_actions, payloads

__all__ = ["explain"]

_DAY: Final = timedelta(days=1)
_ITEM: Final = ("item_id", "run_id", "job", "provider", "attempts", "rows_quarantined", "finished_at")
_PAYLOAD: Final = ("sha256", "path", "status", "received_at", "size", "origin")
_BEHIND: Final = frozenset((*_ITEM, *_PAYLOAD, "kind", "window_start", "window_end"))


def explain(
    conn: psycopg.Connection,
    instrument_id: int,
    instrument: Instrument,
    at: datetime,
    interval: Interval | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """``bars`` and ``quotes`` of an instrument with a stamp, each with what explains it.

    - the stored values, their source and since when they are known;
    - ``item``: the item and run that loaded them; ``payload``: the raw answer's hash, path and time, and from the local
      market its ``origin``, where the prices come from, ``None`` when it is no longer kept; ``provider_row``: that row
      and its currency as they stand in the raw answer, in its own unit;
    - of a bar ``revisions``, what it was before, and ``adjusted``: its factors and adjusted values, with ``actions``:
      each split, dividend and capital gain of a later ex-date, its factor, and ``applied``, which is false for a split
      for which the provider has restated the bar itself.
    """
    bars = [_bar(conn, instrument_id, instrument, row) for row in provenance.bars_at(conn, instrument_id, at, interval)]
    quotes = [] if interval else [_told(conn, instrument, row) for row in provenance.quotes_at(conn, instrument_id, at)]
    return {"bars": bars, "quotes": quotes}


def _bar(conn: psycopg.Connection, instrument_id: int, instrument: Instrument, row: dict[str, Any]) -> dict[str, Any]:
    interval, at, restated = row["interval"], row["timestamp"], row["adjusted_to"]
    adjusted = provenance.adjusted(conn, instrument_id, interval, at)
    later = [
        action
        for action in corporate_actions.factors(conn, instrument_id, (at - _DAY).date())
        if (action["ex_date"] > at.date() if interval == Interval.D1 else action["effective_at"] > at)
    ]
    for action in later:
        action["applied"] = action["kind"] != "split" or restated is None or action["ex_date"] > restated
    return {
        **_told(conn, instrument, row),
        "revisions": provenance.versions(conn, instrument_id, interval, at),
        "adjusted": adjusted,
        "actions": later,
    }


def _told(conn: psycopg.Connection, instrument: Instrument, row: dict[str, Any]) -> dict[str, Any]:
    """A row's values, apart from what is behind them."""
    payload = {name: row[name] for name in _PAYLOAD} if row["sha256"] else None
    if payload:
        payload["sha256"] = payload["sha256"].hex()
    return {
        **{name: value for name, value in row.items() if name not in _BEHIND},
        "item": {name: row[name] for name in _ITEM} if row["item_id"] else None,
        "payload": payload,
        "provider_row": _provider_row(conn, instrument, row) if payload else None,
    }


def _provider_row(conn: psycopg.Connection, instrument: Instrument, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The row as the provider's answer has it; ``None`` where the answer can no longer be read, or holds it not."""
    from fintrack_tasks.fetch.interpret import interpret  # noqa: PLC0415  the structured log, for a kept answer alone

    window = TimeRange(row["window_start"], row["window_end"]) if row["window_start"] else None
    interval = Interval(row["interval"]) if row.get("interval") else None
    try:
        kept = payloads.get(conn, bytes(row["sha256"]))
        ask = Ask(Kind(row["kind"]), instrument, kept.received_at, interval, window)
        provider, response = providers.provider(kept.provider), HttpResponse(kept.status, kept.body, kept.headers)
        batch = interpret(kept.provider, lambda: provider.parse(ask, response))
    except (ProviderError, StoreError, UsageError):
        return None
    stamps = list(batch.columns["timestamp"])
    if to_micros(row["timestamp"]) not in stamps:
        return None
    cells = batch.row(stamps.index(to_micros(row["timestamp"])))
    return {"currency": batch.currency, **{name: value for name, value in cells.items() if name != "timestamp"}}
