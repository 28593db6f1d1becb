"""``fintrack instruments add|list|import``: the instruments that the schedule fetches."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import psycopg
import typer

from fintrack_tasks.calendars import calendar_name
from fintrack_tasks.cli.command_groups import group
from fintrack_tasks.cli.context import open_connections
from fintrack_tasks.cli.instrument_arguments import checked_instrument
from fintrack_tasks.cli.instruments_describe import describe
from fintrack_tasks.cli.instruments_edit import edit, pause, remove, resume
from fintrack_tasks.cli.output import console, errors, print_json, table
from fintrack_tasks.cli.quota_warnings import overcommitted_quotas
from fintrack_tasks.domain import AssetClass, Instrument
from fintrack_tasks.errors import ProviderError, UsageError
from fintrack_tasks.fetch import constituents
from fintrack_tasks.store import instruments
from fintrack_tasks.store.database_mode import admit

if TYPE_CHECKING:
    from fintrack_tasks.connections import Connections

app = group("Registered instruments.")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")]
app.command("describe")(describe)
app.command("remove")(remove)
app.command("pause")(pause)
app.command("resume")(resume)
app.command("edit")(edit)

_SHOWN: Final = 5
_BY_FILE: Final = "fintrack instruments import FILE.csv"
"""Wrong lines of a file that are told at once."""

Calendar = Annotated[str | None, typer.Option("--calendar", help="Of exchange_calendars, such as XNYS or XLON.")]
Currency = Annotated[str | None, typer.Option("--currency", help="Of the prices, such as USD.")]
Class = Annotated[AssetClass | None, typer.Option("--asset-class", help="Overrules what the symbol's form says.")]


@app.command("add")
def add(
    symbols: Annotated[list[str], typer.Argument(help="Such as AAPL BTC-USD ^GSPC EUR/USD GC=F.")],
    asset_class: Class = None,
    calendar: Calendar = None,
    currency: Currency = None,
    as_json: AsJson = False,
) -> None:
    """Register instruments: the schedule fetches them from now on."""
    made = [checked_instrument(symbol, asset_class, currency, calendar) for symbol in symbols]
    chosen = list(dict.fromkeys(made))  # tsla is TSLA
    with open_connections() as connections, connections.database.connection() as conn:
        new = _register(conn, chosen)
    lacking = [i.symbol for i in chosen if calendar_name(i) is None]
    if as_json:
        told = {"registered": len(chosen), "new": new, "symbols": [i.symbol for i in chosen]}
        print_json(told | {"without_calendar": lacking})
        return
    console.print(f"registered: {', '.join(i.symbol for i in chosen)}", markup=False, soft_wrap=True)
    if lacking:
        console.print(
            f"no calendar known: {', '.join(lacking)}; rules of sessions are silent there, and nothing counts as"
            " missing; name one with --calendar",
            markup=False,
            soft_wrap=True,
        )


@app.command("list")
def list_instruments(as_json: AsJson = False) -> None:
    """The registered instruments, with their calendars; paused ones are not fetched."""
    with open_connections(reading=True) as connections, connections.database.connection() as conn:
        found = instruments.registered(conn)
    if as_json:
        print_json(
            {
                "instruments": [
                    {
                        "symbol": i.symbol,
                        "asset_class": i.asset_class,
                        "currency": i.currency,
                        "calendar": calendar_name(i),
                        "name": i.name,
                        "state": state,
                    }
                    for _, i, state in found
                ]
            }
        )
        return
    rows = [
        [i.symbol, i.asset_class, i.currency, calendar_name(i) or "not known", state, i.name] for _, i, state in found
    ]
    console.print(table("instruments", ["symbol", "class", "currency", "calendar", "state", "name"], rows))


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
    with open_connections() as connections:
        members = [] if index is None else _members(connections, index)
        stocks = [Instrument(member.symbol, AssetClass.STOCK, name=member.name) for member in members]
        chosen = stocks if file is None else _of_file(file)
        with connections.database.connection() as conn:
            new = _register(conn, chosen)
            notes = overcommitted_quotas((known for _, known in instruments.active(conn)), connections.settings)
    notes = [*_made_up(members), *notes] if connections.simulated else notes
    origin = str(file or index)
    if as_json:
        told = {"of": origin, "registered": len(chosen), "new": new, "symbols": [i.symbol for i in chosen]}
        print_json(told | ({"notes": notes} if notes else {}) | ({"members": members} if members else {}))
        return
    console.print(f"registered: {len(chosen)} instruments of {origin}, {new} of them new", markup=False)
    for note in notes:
        errors.print(note, soft_wrap=True)


def _made_up(members: Sequence[constituents.Constituent]) -> list[str]:
    """What to say of the members that the local market made up."""
    from fintrack_tasks.sandbox.fake_apis.wikipedia import MADE_UP  # noqa: PLC0415  the local market, for its list alone

    found = [member.symbol for member in members if member.name.startswith(MADE_UP)]
    return [f"{len(found)} of them are made up, {found[0]} to {found[-1]}: the local market's list"] if found else []


def _members(connections: Connections, index: str) -> list[constituents.Constituent]:
    from fintrack_tasks.fetch.interpret import interpret  # noqa: PLC0415  the structured log, for an import alone

    try:
        response = connections.http.get(constituents.FACTS, constituents.request(index))
        members = interpret(constituents.FACTS.name, lambda: constituents.parse(index, response, datetime.now(tz=UTC)))
    except ProviderError as error:
        told = f"{error}; nothing was registered; try again, or name a list of your own: {_BY_FILE}"
        raise type(error)(told) from None
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
            reader = csv.DictReader(lines)
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    if not rows or "symbol" not in rows[0][1]:
        raise UsageError(f"{file} has no column 'symbol' or no rows")
    chosen: dict[tuple[str, str], tuple[int, Instrument]] = {}
    wrong = []
    for number, row in rows:
        try:
            made = _of_line(row)
            first, known = chosen.setdefault((made.symbol, made.asset_class), (number, made))
            if known != made:
                wrong.append(f"line {number}: {made.symbol} stands in line {first} with other facts")
        except UsageError as error:
            wrong.append(f"line {number}: {error}")
    if wrong:
        more = f", and {len(wrong) - _SHOWN} lines more" if len(wrong) > _SHOWN else ""
        raise UsageError(f"{file}, {'; '.join(wrong[:_SHOWN])}{more}; nothing was imported")
    return [made for _, made in chosen.values()]


def _of_line(row: dict[str, str | None]) -> Instrument:
    if None in row:
        raise UsageError("more cells than the header has columns")
    facts = (row.get(name) for name in ("asset_class", "currency", "calendar", "name"))
    return checked_instrument(row["symbol"] or "", *facts)
