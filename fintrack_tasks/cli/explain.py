"""``fintrack explain``: shows the lineage of a stored value, which :mod:`fintrack_tasks.queries.explain` reads."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import psycopg
import typer

from fintrack_tasks.calendars import calendar_name
from fintrack_tasks.cli import completion
from fintrack_tasks.cli.arguments import AsJson, calendar_text, find_instrument, parse_instrument, parse_time
from fintrack_tasks.cli.context import open_connections
from fintrack_tasks.cli.output import console, print_json, table
from fintrack_tasks.domain import Interval
from fintrack_tasks.errors import UsageError
from fintrack_tasks.queries.explain import explain_values, nearest_time
from fintrack_tasks.store.connection import require_schema

__all__ = ["explain"]

_PRICES: Final = ("price", "open", "high", "low", "close", "adj_close", "volume", "currency")


def explain(
    symbol: Annotated[str, typer.Argument(help="Such as AAPL.", autocompletion=completion.instrument)],
    timestamp: Annotated[str, typer.Argument(help="A bar's or quote's time: 2005-02-25, 2024-05-06T15:00:00Z.")],
    interval: Annotated[Interval | None, typer.Option(help="Only the bar of this length.")] = None,
    as_json: AsJson = False,
) -> None:
    """Where a stored value is from, what it was before, and the actions that adjust it."""
    at = parse_time("the timestamp", timestamp)
    parse_instrument(symbol)  # refused before a server is asked
    with open_connections(reading=True) as connections, connections.database.connection() as conn:
        require_schema(conn)
        instrument_id, instrument = find_instrument(conn, symbol)
        found = explain_values(conn, instrument_id, instrument, at, interval)
        if not any(found.values()):
            raise UsageError(_nothing_stored(conn, instrument_id, instrument.symbol, at))
    if as_json:
        print_json({"symbol": instrument.symbol, "timestamp": at, "calendar": calendar_name(instrument), **found})
        return
    for name, values in found.items():
        for value in values:
            _show(
                f"{instrument.symbol} {value.get('interval', 'quote')} {value['timestamp']:%Y-%m-%d %H:%M:%S}Z", value
            )
            _show_history(name, value)
    console.print(f"sessions by: {calendar_text(instrument)}", markup=False, soft_wrap=True)


def _nothing_stored(conn: psycopg.Connection, instrument_id: int, symbol: str, at: datetime) -> str:
    nearest = nearest_time(conn, instrument_id, at)
    if nearest is None:
        return f"nothing of {symbol} is stored; see: fintrack run historical --symbols {symbol}"
    return f"nothing of {symbol} is stored at {at.isoformat()}; the nearest is at {nearest.isoformat()}"


def _show(title: str, value: dict[str, Any]) -> None:
    item, payload, provider_row = value["item"] or {}, value["payload"] or {}, value["provider_row"] or {}
    rows = [[name, value[name], provider_row.get(name)] for name in _PRICES if name in value]
    console.print(table(title, ["", "stored", "in the provider's answer"], rows))
    facts = {
        "source": value["source"],
        "origin": payload.get("origin"),
        "known since": value.get("valid_from") or value.get("known_since"),
        "restated for splits up to": value.get("adjusted_to"),
        "item": item.get("item_id"),
        "run": item.get("run_id") and f"{item['run_id']} ({item['job']})",
        "raw answer": payload.get("sha256") or "no longer kept",
        "asked": payload.get("path"),
        "received": payload.get("received_at"),
        "in dollars": _dollars(value) if "usd_rate" in value else None,
    }
    console.print(table("behind it", ["", ""], [[name, fact] for name, fact in facts.items() if fact is not None]))


def _dollars(value: dict[str, Any]) -> str:
    if value["usd_rate"] is None:
        return "no rate is known"
    if value["usd_rate_as_of"] is None:
        return str(value["price_usd"])
    at = f"{value['usd_rate_as_of']:%Y-%m-%d %H:%M}Z"
    return (
        f"{value['price_usd']:f} at {value['usd_rate']:f} ({value['usd_rate_path']}, {value['usd_rate_source']}, {at})"
    )


def _show_history(name: str, value: dict[str, Any]) -> None:
    if name != "bars":
        return
    if value["revisions"]:
        columns = ["valid_from", "valid_to", "close", "volume", "source", "item_id"]
        console.print(table("what it was before", columns, [[row[c] for c in columns] for row in value["revisions"]]))
    adjusted = value["adjusted"] or {}
    if value["actions"]:
        columns = [
            "ex_date",
            "kind",
            "numerator",
            "denominator",
            "amount",
            "currency",
            "split_factor",
            "dividend_factor",
            "applied",
        ]
        console.print(table("later actions", columns, [[row[c] for c in columns] for row in value["actions"]]))
    if adjusted:
        columns = ["split_factor", "dividend_factor", "split_close", "total_close"]
        console.print(table("adjusted", columns, [[adjusted[column] for column in columns]]))
