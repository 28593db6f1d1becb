"""``fintrack instruments remove|pause|resume|edit``: what is registered, changed by hand and written to the audit log.

Nothing that is stored of an instrument is touched: a removed one is neither fetched nor listed, its prices can be read
as before, and ``add`` brings it back.
"""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import Annotated

import psycopg
import typer

from fintrack_tasks.cli.context import open_connections, utc_now
from fintrack_tasks.cli.instrument_arguments import checked_instrument, parse_calendar, parse_currency, parse_name
from fintrack_tasks.cli.output import console, print_json
from fintrack_tasks.domain import AssetClass
from fintrack_tasks.errors import UsageError
from fintrack_tasks.store import audit, instruments
from fintrack_tasks.store.instruments import Registered, State

__all__ = ["edit", "pause", "remove", "resume"]

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")]
Symbols = Annotated[list[str], typer.Argument(help="Registered symbols; all of them are changed, or none.")]
Class = Annotated[
    AssetClass | None, typer.Option("--asset-class", help="Of a symbol that is registered in several classes.")
]


def remove(symbols: Symbols, asset_class: Class = None, as_json: AsJson = False) -> None:
    """Take instruments out of the schedule and the list; what is stored of them stays."""
    _to_state(symbols, asset_class, State.KNOWN, "removed", as_json)


def pause(symbols: Symbols, asset_class: Class = None, as_json: AsJson = False) -> None:
    """Keep instruments registered, but fetch them no more until they are resumed."""
    _to_state(symbols, asset_class, State.PAUSED, "paused", as_json)


def resume(symbols: Symbols, asset_class: Class = None, as_json: AsJson = False) -> None:
    """Fetch paused instruments again."""
    _to_state(symbols, asset_class, State.ACTIVE, "resumed", as_json)


def edit(
    symbols: Symbols,
    currency: Annotated[
        str | None, typer.Option("--currency", help="Of the prices, such as USD; '' forgets it.")
    ] = None,
    calendar: Annotated[
        str | None, typer.Option("--calendar", help="Such as XNYS; '' goes back to that of the symbol's form.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="For people; '' forgets it.")] = None,
    asset_class: Class = None,
    as_json: AsJson = False,
) -> None:
    """Change what is known of instruments: currency, calendar, name."""
    given = {"currency": (currency, parse_currency), "calendar": (calendar, parse_calendar), "name": (name, parse_name)}
    facts = {what: check(text) for what, (text, check) in given.items() if text is not None}
    if not facts:
        raise UsageError("nothing to change: give --currency, --calendar or --name")
    with open_connections() as connections, connections.database.connection() as conn, conn.transaction():
        chosen = _registered(conn, symbols, asset_class)
        instruments.edit(conn, [one.number for one in chosen], facts)
        _audit(conn, "instruments.edit", chosen, facts)
    _show("edited", chosen, [], as_json, facts)


def _to_state(symbols: list[str], asset_class: AssetClass | None, state: State, done: str, as_json: bool) -> None:
    with open_connections() as connections, connections.database.connection() as conn, conn.transaction():
        chosen = _registered(conn, symbols, asset_class)
        changed = [one for one in chosen if one.state is not state]
        instruments.set_state(conn, [one.number for one in changed], state)
        _audit(conn, f"instruments.{done}", changed, {})
    _show(done, changed, [one for one in chosen if one.state is state], as_json, {})


def _registered(conn: psycopg.Connection, symbols: Sequence[str], asset_class: AssetClass | None) -> list[Registered]:
    """The registered instruments under these symbols.

    :raises UsageError: names those that are not registered.
    """
    named = list(dict.fromkeys(checked_instrument(symbol, asset_class).symbol for symbol in symbols))
    found = [one for one in instruments.known_as(conn, named, asset_class) if one.state is not State.KNOWN]
    there = {one.instrument.symbol for one in found}
    if missing := [symbol for symbol in named if symbol not in there]:
        raise UsageError(f"not registered: {', '.join(missing)}; nothing was changed; see: fintrack instruments list")
    return found


def _audit(conn: psycopg.Connection, action: str, chosen: Sequence[Registered], facts: dict[str, str | None]) -> None:
    try:
        actor = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        actor = "unknown"
    for one in chosen:
        before = {name: getattr(one.instrument, name) for name in facts}
        detail = {"asset_class": one.instrument.asset_class, "state": one.state, "before": before, "after": facts}
        audit.add(conn, actor, action, one.instrument.symbol, detail, utc_now())


def _show(
    done: str, changed: Sequence[Registered], same: Sequence[Registered], as_json: bool, facts: dict[str, str | None]
) -> None:
    names, unchanged = ([one.instrument.symbol for one in group] for group in (changed, same))
    if as_json:
        print_json({done: names, "unchanged": unchanged} | facts)
        return
    if names:
        said = ", ".join(f"{name} {value or 'forgotten'}" for name, value in facts.items())
        console.print(f"{done}: {', '.join(names)}{f' ({said})' if said else ''}", markup=False, soft_wrap=True)
    if unchanged:
        console.print(f"unchanged: {', '.join(unchanged)}", markup=False, soft_wrap=True)
