"""``fintrack aggregate``: longer bars of the stored ones."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from fintrack_tasks.cli import completion
from fintrack_tasks.cli.arguments import AsJson, find_instrument, nothing_stored, parse_instrument, parse_time
from fintrack_tasks.cli.context import open_connections, utc_now
from fintrack_tasks.cli.output import console, errors, print_json, table
from fintrack_tasks.domain import Interval, from_micros
from fintrack_tasks.errors import UsageError
from fintrack_tasks.queries.aggregate import Adjust, Aggregated, aggregate_bars
from fintrack_tasks.store.connection import require_schema

__all__ = ["aggregate"]

_SHOWN = 40


class To(StrEnum):
    """What stored bars can be put together to."""

    H1 = "1h"
    D1 = "1d"
    W1 = "1w"
    MO1 = "1mo"


def aggregate(
    symbol: Annotated[str, typer.Argument(help="Such as AAPL.", autocompletion=completion.instrument)],
    to: Annotated[To, typer.Option("--to", help="The length of the longer bars.")],
    source: Annotated[
        Interval | None, typer.Option("--from", help="The stored bars to make them of; default 15m for 1h, 1h for 1d.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="First date, such as 2024-01-31.")] = None,
    end: Annotated[str | None, typer.Option(help="The date after the last one.")] = None,
    adjust: Annotated[Adjust, typer.Option(help="Apply splits, or all: splits and dividends.")] = Adjust.NONE,
    as_json: AsJson = False,
) -> None:
    """Put stored bars together, each class by its own days: sessions, UTC, 17:00 New York."""
    from fintrack_tasks.transform.resample import BarLength  # noqa: PLC0415  numpy, for this command alone

    first, last = (parse_time(name, text) if text else None for name, text in (("--start", start), ("--end", end)))
    if first and last and last <= first:
        raise UsageError(f"the end ({end}) must be after the start ({start})")
    parse_instrument(symbol)  # refused before a server is asked
    with open_connections(reading=True) as connections, connections.database.connection() as conn:
        require_schema(conn)
        number, instrument = find_instrument(conn, symbol)
        made = aggregate_bars(
            conn, number, instrument, BarLength(to.value), now=utc_now(), source=source, start=first, end=last,
            adjust=adjust,
        )  # fmt: skip
    if not made.columns["timestamp"] and not made.outside:
        raise UsageError(nothing_stored(instrument, made.source, ranged=bool(start or end)))
    _show(instrument.symbol, to, adjust, made, as_json=as_json)


def _show(symbol: str, to: To, adjust: Adjust, made: Aggregated, *, as_json: bool) -> None:
    rows = [dict(zip(made.columns, cells, strict=True)) for cells in zip(*made.columns.values(), strict=True)]
    for row in rows:
        row["timestamp"] = from_micros(row["timestamp"])
    if as_json:
        told: dict[str, Any] = {"symbol": symbol, "interval": to.value, "from": made.source.value}
        print_json(told | {"adjust": adjust.value, "splits_inside": made.splits, "outside": made.outside, "bars": rows})
        return
    names = ["open", "high", "low", "close", "volume"]
    when = "%Y-%m-%d %H:%M" if to is To.H1 else "%Y-%m-%d"
    lines = [[f"{row['timestamp']:{when}}", *(row[name] for name in names), _note(row)] for row in rows[-_SHOWN:]]
    console.print(table(f"{symbol} {to.value} of {made.source.value}", ["opens", *names, ""], lines))
    if len(rows) > _SHOWN:
        errors.print(f"the newest {_SHOWN} of {len(rows)}; --json has them all", markup=False)
    if made.outside:
        opens = "opens" if made.outside == 1 else "open"
        errors.print(f"{made.outside} of the stored bars {opens} in no session: part of none of these", markup=False)
    if made.splits:
        days = ", ".join(day.isoformat() for day in made.splits)
        errors.print(f"raw prices across a split ({days}) are not alike: see --adjust splits", markup=False)


def _note(row: dict[str, Any]) -> str | None:
    if row["missing"]:
        return f"{row['missing']} missing"
    return None if row["is_final"] else "so far"
