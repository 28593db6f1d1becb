"""``fintrack fx``: exchange rates, brought up to date and read as of a moment."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fintrack_tasks.cli.arguments import AsJson, parse_time
from fintrack_tasks.cli.command_groups import group
from fintrack_tasks.cli.context import open_connections, utc_now
from fintrack_tasks.cli.output import console, print_json, table
from fintrack_tasks.errors import FinTrackError, UsageError
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.store import fx_rates
from fintrack_tasks.store.connection import require_schema
from fintrack_tasks.transform.currency import BASES, MAX_AGE, Conversion, convert, main_unit

if TYPE_CHECKING:
    from fintrack_tasks.connections import Connections
    from fintrack_tasks.pipeline.fx_rates import Updated

app = group("Exchange rates.")

_PAIR: Final = re.compile(r"([A-Za-z]{3})/([A-Za-z]{3})")
_MACHINE: Final = Context(prec=15)
_LONGEST: Final = 120.0


class NoFxRateError(FinTrackError):
    """No stored rate is of that time, nor of shortly before it."""

    exit_code = 3


@app.command("update")
def update(as_json: AsJson = False) -> None:
    """Fetch the European Central Bank's reference rates that are missing: all days since 1999 on the first run."""
    with open_connections() as connections:
        with connections.database.connection() as conn:
            require_schema(conn)
        outcome = _updated(connections)
    if as_json:
        print_json({"rates": outcome.rates, "changed": outcome.changed, "newest": outcome.newest})
        return
    console.print(
        f"{outcome.changed:,} of {outcome.rates:,} rates are new; the newest are of {outcome.newest:%Y-%m-%d}"
    )


def _updated(connections: Connections) -> Updated:
    """After as long a wait for the quota as one window of it takes."""
    from fintrack_tasks.fetch.quota.permits import Wait  # noqa: PLC0415  the HTTP client, for this command alone
    from fintrack_tasks.pipeline.fx_rates import update_fx_rates  # noqa: PLC0415  see above

    reservation = None
    while isinstance(
        outcome := update_fx_rates(
            context=StageContext(connections.database, connections.settings, utc_now()),
            http=connections.http,
            gate=connections.gate,
            reservation=reservation,
            longest=_LONGEST,
        ),
        Wait,
    ):
        time.sleep(outcome.seconds)  # the slot's own time: nothing is asked before it
        reservation = outcome.reservation
    return outcome


@app.command("show")
def show(
    pair: Annotated[str, typer.Argument(help="Such as EUR/USD: what one euro is in dollars; GBp is a penny.")],
    at: Annotated[str | None, typer.Option("--at", help="As of this time; default now.")] = None,
    amount: Annotated[str, typer.Option(help="How much to convert.")] = "1",
    max_age: Annotated[float, typer.Option(help="Days after which a rate is too old.", min=0)] = MAX_AGE
    / timedelta(days=1),
    as_json: AsJson = False,
) -> None:
    """The rate as of a time, never a later one, with its own time and source; exit code 3 when none is known."""
    match = _PAIR.fullmatch(pair.strip())
    if match is None:
        raise UsageError(f"not a pair of currencies: {pair!r:.40}; write it as EUR/USD")
    # "GBp" means something else than "GBP": only what is no minor unit is put into upper case.
    given, wanted = (code if main_unit(code)[1] else code.upper() for code in match.groups())
    when, much = parse_time("--at", at) if at else utc_now(), _parse_amount(amount)
    oldest = _age(when, max_age)
    currencies = [main_unit(given)[0], main_unit(wanted)[0], *BASES]
    with open_connections(reading=True) as connections, connections.database.connection() as conn:
        require_schema(conn)
        rates = fx_rates.as_of(conn, currencies, when, oldest)
    found = convert(much, given, wanted, when, rates, oldest)
    told: dict[str, Any] = {"pair": f"{given}/{wanted}", "at": when, **_as_json(found)}
    if as_json:
        print_json(told)
    elif found.finding:
        raise NoFxRateError(
            f"{found.finding.detail}; fintrack fx update brings them up to date, --max-age takes older ones"
        )
    elif not found.legs:
        console.print(f"{amount} {given} = {_decimal_text(found.amount)} {wanted}, by definition", highlight=False)
    else:
        legs = [[leg["pair"], leg["rate"], leg["timestamp"], leg["source"]] for leg in told["legs"]]
        console.print(f"{amount} {given} = {_amount_text(found.amount or Decimal())} {wanted}", highlight=False)
        console.print(table(f"as of {when.isoformat(timespec='seconds')}", ["rate", "", "of", "source"], legs))
    if found.finding:
        raise typer.Exit(NoFxRateError.exit_code)


def _as_json(found: Conversion) -> dict[str, Any]:
    return {
        "amount": _decimal_text(found.amount),
        "rate": _decimal_text(found.rate),
        "as_of": found.as_of,
        "source": found.source,
        "legs": [
            {"pair": str(leg), "rate": leg.rate.rate, "timestamp": leg.rate.timestamp, "source": leg.rate.source}
            for leg in found.legs
        ],
        "finding": found.finding.detail if found.finding else None,
    }


def _age(when: datetime, days: float) -> timedelta:
    """How old a rate may be at that time.

    :raises UsageError: when so long before it there is no date.
    """
    try:
        return when - (when - timedelta(days=days))
    except OverflowError:
        raise UsageError(f"no date lies {days:g} days (--max-age) before {when.date()}") from None


def _decimal_text(value: Decimal | None) -> str | None:
    """Exact where it is short; what a division left has as many digits as anybody can use."""
    return None if value is None else format(_MACHINE.plus(value), "f")


def _amount_text(value: Decimal) -> str:
    """To a ten-thousandth, and of less than one unit six digits; two decimals at the least."""
    places = 4 if abs(value) >= 1 or not value else max(4, 5 - value.adjusted())
    text = format(value.quantize(Decimal(1).scaleb(-places), context=Context(prec=50)), "f")
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}"


def _parse_amount(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise UsageError(f"not a number: {text!r:.40}") from None
    if not found.is_finite():
        raise UsageError(f"not a number: {text!r:.40}")
    return found
