"""``fintrack instruments``: what the schedule fetches."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import psycopg
import typer

from fintrack_tasks.cli.context import opened
from fintrack_tasks.cli.describe import describe
from fintrack_tasks.cli.groups import group
from fintrack_tasks.cli.output import console, print_json, table
from fintrack_tasks.domain import AssetClass, Instrument
from fintrack_tasks.errors import UsageError
from fintrack_tasks.fetch import constituents
from fintrack_tasks.fetch.interpret import interpret
from fintrack_tasks.store import instruments
from fintrack_tasks.store.mode import admit

if TYPE_CHECKING:
    from fintrack_tasks.connections import Connections

app = group("Registered instruments.")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")]
app.command("describe")(describe)

Class = Annotated[AssetClass | None, typer.Option("--asset-class", help="Overrules what the symbol's form says.")]


def _instrument(symbol: str, asset_class: AssetClass | str | None) -> Instrument:
    try:
        return Instrument.of(symbol, asset_class)
    except ValueError as error:
        raise UsageError(str(error)) from None


@app.command("add")
def add(
    symbols: Annotated[list[str], typer.Argument(help="Such as AAPL BTC-USD ^GSPC EUR/USD.")],
    asset_class: Class = None,
    as_json: AsJson = False,
) -> None:
    """Register instruments: the schedule fetches them from now on."""
    chosen = [_instrument(symbol, asset_class) for symbol in symbols]
    with opened() as connections, connections.database.connection() as conn:
        new = _register(conn, chosen)
    if as_json:
        print_json({"registered": len(chosen), "new": new, "symbols": [i.symbol for i in chosen]})
        return
    console.print(f"registered: {', '.join(i.symbol for i in chosen)}", markup=False, soft_wrap=True)


@app.command("list")
def list_instruments(as_json: AsJson = False) -> None:
    """The registered instruments."""
    with opened() as connections, connections.database.connection() as conn:
        found = instruments.active(conn)
    if as_json:
        print_json(
            {
                "instruments": [
                    {"symbol": i.symbol, "asset_class": i.asset_class, "currency": i.currency, "name": i.name}
                    for _, i in found
                ]
            }
        )
        return
    console.print(
        table(
            "instruments",
            ["symbol", "class", "currency", "name"],
            [[i.symbol, i.asset_class, i.currency, i.name] for _, i in found],
        )
    )


@app.command("import")
def import_members(
    file: Annotated[
        Path | None, typer.Argument(help="CSV with a header: symbol[,asset_class,currency,calendar,name].")
    ] = None,
    index: Annotated[
        str | None, typer.Option("--index", help=f"The members of an index instead: {', '.join(constituents.INDICES)}.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Register every instrument of a CSV file, or every member of an index; or none of them when a line is wrong."""
    if (file is None) == (index is None):
        raise UsageError("give a FILE or --index NAME, one of the two")
    with opened() as connections:
        members = [] if index is None else _members(connections, index)
        stocks = [Instrument(member.symbol, AssetClass.STOCK, name=member.name) for member in members]
        chosen = stocks if file is None else _of_file(file)
        with connections.database.connection() as conn:
            new = _register(conn, chosen)
    origin = str(file or index)
    if as_json:
        told = {"of": origin, "registered": len(chosen), "new": new, "symbols": [i.symbol for i in chosen]}
        print_json(told | ({"members": members} if members else {}))
        return
    console.print(f"registered: {len(chosen)} instruments of {origin}, {new} of them new", markup=False)


def _members(connections: Connections, index: str) -> list[constituents.Constituent]:
    response = connections.http.get(constituents.FACTS, constituents.request(index))
    members = interpret(constituents.FACTS.name, lambda: constituents.parse(index, response, datetime.now(tz=UTC)))
    admit(connections.database, simulated=response.simulated)
    return members


def _register(conn: psycopg.Connection, chosen: Sequence[Instrument]) -> int:
    """How many of them the schedule did not fetch before."""
    with conn.transaction():
        before = {(i.symbol, i.asset_class) for _, i in instruments.active(conn)}
        instruments.add(conn, chosen)
    return len({(i.symbol, i.asset_class) for i in chosen} - before)


def _of_file(file: Path) -> list[Instrument]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    if not rows or "symbol" not in rows[0]:
        raise UsageError(f"{file} has no column 'symbol' or no rows")
    chosen = []
    for number, row in enumerate(rows, start=2):
        try:
            made = Instrument.of(row["symbol"] or "", row.get("asset_class") or None)
        except ValueError as error:
            raise UsageError(f"{file}, line {number}: {error}; nothing was imported") from None
        extra = {name: row.get(name) or None for name in ("currency", "calendar", "name")}
        chosen.append(Instrument(made.symbol, made.asset_class, **extra))
    return chosen
