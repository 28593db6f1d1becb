"""``fintrack quarantine``: the rows that a check kept out, and what a person decides on them."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fintrack_tasks.cli import completion
from fintrack_tasks.cli.arguments import parse_instrument
from fintrack_tasks.cli.command_groups import group
from fintrack_tasks.cli.context import open_connections, utc_now
from fintrack_tasks.cli.output import console, print_json, table
from fintrack_tasks.connections import Connections
from fintrack_tasks.domain import from_micros
from fintrack_tasks.errors import UsageError
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.printable import printable
from fintrack_tasks.queries.quality import flagged_rows
from fintrack_tasks.queries.quarantine import newest_rows
from fintrack_tasks.store import quarantine
from fintrack_tasks.store.quarantine import Row
from fintrack_tasks.validate import RULES

if TYPE_CHECKING:
    from fintrack_tasks.pipeline.quarantine import Decision

__all__ = ["app"]

app = group("Rows that a check kept out, and the marks on those it let in.")


class Status(StrEnum):
    """Which rows to list."""

    HELD = "held"
    RELEASED = "released"
    DISCARDED = "discarded"
    ALL = "all"


_REFUSED: Final = "refused"
"""As :data:`fintrack_tasks.pipeline.quarantine.REFUSED`, held equal by a test."""

_APART: Final = ("rules", "details", "content", "meta")
"""What ``show`` tells in tables of its own, or in JSON alone."""

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")]
Symbol = Annotated[str | None, typer.Option(help="Only of this instrument.", autocompletion=completion.instrument)]
RuleName = Annotated[
    str | None,
    typer.Option("--rule", help="Only what this rule found; docs/rules.md lists them.", autocompletion=completion.rule),
]
Limit = Annotated[int, typer.Option(help="How many, newest first.", min=1, max=10_000)]
Numbers = Annotated[list[int], typer.Argument(help="Numbers of the list of held rows.", metavar="ID...", min=1)]
Actor = Annotated[str | None, typer.Option("--by", help="Who decides, for the audit log; default: your user name.")]


@app.command("list")
def list_rows(
    status: Annotated[Status, typer.Option(help="held, released, discarded or all.")] = Status.HELD,
    symbol: Symbol = None,
    rule: RuleName = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """The rows in quarantine, each with the rules that it broke."""
    _known_rule(rule)
    with open_connections(reading=True) as connections, connections.database.connection() as conn:
        found = newest_rows(conn, None if status is Status.ALL else status.value, _symbol(symbol), rule, limit)
    if as_json:
        print_json({"rows": [_as_json(row) for row in found]})
        return
    columns = ["id", "symbol", "interval", "time (UTC)", "rules", "why", "source", "status"]
    shown = [
        [str(r.id), r.symbol, r.interval, _time(r), ", ".join(r.rules), r.details[0], r.content.get("source"), r.status]
        for r in found
    ]
    console.print(table("quarantine", columns, shown))


@app.command("show")
def show(
    number: Annotated[int, typer.Argument(help="A number of the list of held rows.", metavar="ID")],
    as_json: AsJson = False,
) -> None:
    """One row: its content, every rule that it broke, where it came from, and what was decided."""
    with open_connections(reading=True) as connections, connections.database.connection() as conn:
        row = quarantine.get(conn, number)
    if row is None:
        raise UsageError(f"nothing in quarantine has the number {number}; see: fintrack quarantine list")
    if as_json:
        print_json(_as_json(row))
        return
    told = _as_json(row)
    facts = [[name, str(told[name])] for name in told if name not in _APART and told[name]]
    console.print(table(f"quarantine {row.id}", ["what", "is"], facts))
    console.print(table("broke", ["rule", "why"], list(zip(row.rules, row.details, strict=True))))
    console.print(table("content", ["column", "value"], [[k, str(v)] for k, v in row.content.items()]))


@app.command("release")
def release(numbers: Numbers, actor: Actor = None, as_json: AsJson = False) -> None:
    """Load rows after all: what you vouch for. They keep their source and item, and are marked as released by you."""
    from fintrack_tasks.pipeline.quarantine import release_row  # noqa: PLC0415  the pipeline, for a decision alone

    def decide(connections: Connections, number: int, who: str) -> Decision:
        settings = connections.settings
        return release_row(number, context=StageContext(connections.database, settings, utc_now()), actor=who)

    decisions = _decided(numbers, actor, decide)
    if any(one.outcome == quarantine.RELEASED for one in decisions):
        from fintrack_tasks.tasks.publish import publish_soon  # noqa: PLC0415  Celery, for a release alone

        publish_soon()
    _show(decisions, as_json)


@app.command("discard")
def discard(numbers: Numbers, actor: Actor = None, as_json: AsJson = False) -> None:
    """Keep rows out for good."""
    from fintrack_tasks.pipeline.quarantine import discard_row  # noqa: PLC0415  see release

    def decide(connections: Connections, number: int, who: str) -> Decision:
        return discard_row(
            number, context=StageContext(connections.database, connections.settings, utc_now()), actor=who
        )

    _show(_decided(numbers, actor, decide), as_json)


@app.command("flags")
def list_flags(symbol: Symbol = None, rule: RuleName = None, limit: Limit = 50, as_json: AsJson = False) -> None:
    """The rows that were loaded although a rule marked them."""
    _known_rule(rule)
    with open_connections(reading=True) as connections, connections.database.connection() as conn:
        found = flagged_rows(conn, _symbol(symbol), rule, limit)
    if as_json:
        print_json({"flags": found})
        return
    names = ["symbol", "interval", "timestamp", "rule", "detail", "source"]
    shown = [[f"{each[n]:%Y-%m-%d %H:%M:%S}" if n == "timestamp" else each[n] for n in names] for each in found]
    console.print(table("flags", names, shown))


def _decided(
    numbers: Sequence[int], actor: str | None, decide: Callable[[Connections, int, str], Decision]
) -> list[Decision]:
    """The decisions, each taken by itself.

    :raises UsageError: when one of the numbers is unknown; then nothing is decided.
    """
    who = printable(actor or _user())  # it goes into the audit log
    with open_connections() as connections:
        with connections.database.connection() as conn:
            unknown = [str(number) for number in numbers if quarantine.get(conn, number) is None]
        if unknown:
            raise UsageError(f"nothing in quarantine has the number {', '.join(unknown)}; nothing was decided")
        return [decide(connections, number, who) for number in dict.fromkeys(numbers)]


def _show(decisions: Sequence[Decision], as_json: bool) -> None:
    """Tell what was decided.

    :raises typer.Exit: with 3 when a release was refused.
    """
    if as_json:
        print_json({"decisions": [asdict(one) for one in decisions]})
    else:
        for one in decisions:
            console.print(f"{one.id}: {one.outcome}: {one.detail}", markup=False, highlight=False, soft_wrap=True)
    if any(one.outcome == _REFUSED for one in decisions):
        raise typer.Exit(3)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        raise UsageError("who decides? name yourself with --by NAME") from None


def _known_rule(rule: str | None) -> None:
    if rule is not None and rule not in RULES:
        raise UsageError(f"no rule {rule!r:.40}; the rules are {', '.join(RULES)}")


def _symbol(text: str | None) -> str | None:
    return None if text is None else parse_instrument(text).symbol


def _time(row: Row) -> str | None:
    stamp = row.content.get("timestamp")
    try:
        return f"{from_micros(stamp):%Y-%m-%d %H:%M:%S}" if type(stamp) is int else None
    except OverflowError:  # beyond the calendar: that is why it is here
        return None


def _as_json(row: Row) -> dict[str, Any]:
    return {**asdict(row), "timestamp": _time(row), "source": row.content.get("source")}
