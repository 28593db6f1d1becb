"""The events as pure values, and their form in Kafka: UTF-8 JSON, one object a message.

Every event carries ``event_id`` (a UUIDv7, also the header ``event_id``: consumers deduplicate by it), ``type``,
``schema`` (this layout's number), ``occurred_at`` (ISO 8601, UTC).

- ``quote.loaded``, ``bars.loaded``, ``index.loaded`` on the market-data topic, key = symbol: ``symbol``,
  ``asset_class``, ``interval`` (null for a quote), ``run_id``, ``item_id``, ``window`` (start and exclusive end, or
  null), ``source``, ``currency`` (or null), ``rows`` (their number), and ``data``: the rows by column, all columns of
  one length. ``data.timestamp`` holds ISO 8601 times in UTC, ``data.is_final`` booleans, every other column decimal
  text or null, exactly as stored: ``"246.28000000"`` keeps its zeros.
- ``item.failed`` on the notifications topic, key = symbol: ``symbol`` to ``window`` as above, ``reason`` (a word),
  ``detail`` (text for a person, at most 2,000 characters).
- ``alert.raised`` on the notifications topic, key = rule: ``rule``, ``subject``, ``detail``.
- ``run.finished`` on the notifications topic, key = job: ``run_id``, ``job``, ``state``, ``counts`` (name to number).

Events of simulated prices also have ``"simulated": true``; those of real ones lack the field. The headers of a message
repeat ``event_id`` and ``type`` beside ``content-type: application/json``, so that a consumer can choose without
parsing. New fields may come under the same ``schema``; it changes when one goes or means another thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson

from fintrack_tasks.domain import Batch, Event, Item, Kind, from_micros

__all__ = ["SCHEMA", "alert_raised", "decode", "item_failed", "item_loaded", "run_finished"]

SCHEMA: Final = 1

_TYPES: Final = {Kind.QUOTE: "quote.loaded", Kind.BARS: "bars.loaded", Kind.INDEX: "index.loaded"}


def _event(
    kind: str,
    topic: str,
    key: str,
    now: datetime,
    event_id: UUID,
    run_id: UUID | None,
    fields: Mapping[str, Any],
    *,
    simulated: bool,
) -> Event:
    head = {"event_id": str(event_id), "type": kind, "schema": SCHEMA, "occurred_at": _iso(now)}
    head |= {"simulated": True} if simulated else {}
    return Event(event_id, topic, key, orjson.dumps({**head, **fields}).decode(), run_id)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _of_item(item: Item) -> dict[str, Any]:
    return {
        "symbol": item.instrument.symbol,
        "asset_class": item.instrument.asset_class.value,
        "interval": item.interval.value if item.interval else None,
        "run_id": str(item.run_id),
        "item_id": str(item.id),
        "window": [_iso(item.window.start), _iso(item.window.end)] if item.window else None,
    }


def item_loaded(
    item: Item, batch: Batch, topic: str, now: datetime, event_id: UUID, *, simulated: bool = False
) -> Event:
    """The event of a loaded item, with its rows."""
    columns = {name: list(values) for name, values in batch.columns.items()}
    columns["timestamp"] = [_iso(from_micros(stamp)) for stamp in columns["timestamp"]]
    fields = {**_of_item(item), "source": batch.source, "currency": batch.currency, "rows": len(batch), "data": columns}
    symbol = item.instrument.symbol
    return _event(_TYPES[item.kind], topic, symbol, now, event_id, item.run_id, fields, simulated=simulated)


def item_failed(
    item: Item, reason: str, detail: str, topic: str, now: datetime, event_id: UUID, *, simulated: bool = False
) -> Event:
    """The event of a failed item."""
    # A provider's JSON may hold half of a surrogate pair as an escape; UTF-8 cannot.
    text = detail[:2000].encode("utf-8", "replace").decode()
    fields = {**_of_item(item), "reason": reason, "detail": text}
    symbol = item.instrument.symbol
    return _event("item.failed", topic, symbol, now, event_id, item.run_id, fields, simulated=simulated)


def alert_raised(
    rule: str, subject: str, detail: str, topic: str, now: datetime, event_id: UUID, *, simulated: bool = False
) -> Event:
    """The event of an alert."""
    fields = {"rule": rule, "subject": subject, "detail": detail}
    return _event("alert.raised", topic, rule, now, event_id, None, fields, simulated=simulated)


def run_finished(
    *,
    run_id: UUID,
    job: str,
    state: str,
    counts: Mapping[str, int],
    topic: str,
    now: datetime,
    event_id: UUID,
    simulated: bool = False,
) -> Event:
    """The event of an ended run."""
    fields = {"run_id": str(run_id), "job": job, "state": state, "counts": dict(counts)}
    return _event("run.finished", topic, job, now, event_id, run_id, fields, simulated=simulated)


def decode(value: bytes) -> dict[str, Any]:
    """Parse an event, for consumers.

    :raises ValueError: when the bytes are not such an event.
    """
    try:
        event = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"an event is no JSON: {error.msg}") from None
    if not isinstance(event, dict) or not {"event_id", "type", "schema", "occurred_at"} <= event.keys():
        raise ValueError("an event without event_id, type, schema and occurred_at")
    if event["schema"] != SCHEMA:
        raise ValueError(f"an event of schema {event['schema']!r:.20}; this program knows {SCHEMA}")
    return event
