"""``fintrack instruments describe``: names and currencies of instruments, fetched from a provider and stored."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fintrack_tasks.cli import completion
from fintrack_tasks.cli.context import open_connections, utc_now
from fintrack_tasks.cli.output import console, errors, print_json, table
from fintrack_tasks.domain import AssetClass, Budget, Instrument
from fintrack_tasks.errors import MissingKeyError, ProviderError, UsageError
from fintrack_tasks.fetch import providers, route
from fintrack_tasks.fetch.providers.base import Profiling, Provider
from fintrack_tasks.store import instruments
from fintrack_tasks.store.database_mode import admit

if TYPE_CHECKING:
    from fintrack_tasks.connections import Connections

__all__ = ["describe"]

_LONGEST: Final = 120.0


def describe(
    symbols: Annotated[
        list[str] | None,
        typer.Argument(help="Such as AAPL; default: all registered stocks.", autocompletion=completion.instrument),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Ask a provider for the names and currencies of stocks, and keep them; exit code 3 when some are not known."""
    try:
        given = [Instrument.of(symbol) for symbol in symbols or ()]
    except ValueError as error:
        raise UsageError(str(error)) from None
    with open_connections() as connections:
        provider = _profiler(connections)
        with connections.database.connection() as conn:
            chosen = given or [known for _, known in instruments.active(conn, [AssetClass.STOCK])]
        found, missing = _profiles(connections, provider, chosen)
        with connections.database.connection() as conn:
            known = instruments.ensure(conn, [*found])
            instruments.describe(conn, [(known[i.symbol][0], i) for i in found])
    if as_json:
        described: list[dict[str, Any]] = [{"symbol": i.symbol, "name": i.name, "currency": i.currency} for i in found]
        print_json({"instruments": described, "missing": missing})
    else:
        rows = [[i.symbol, i.name, i.currency] for i in found] + [
            [symbol, None, why] for symbol, why in missing.items()
        ]
        console.print(table("instruments", ["symbol", "name", "currency"], rows))
    if missing:
        raise typer.Exit(3)


def _profiler(connections: Connections) -> Provider:
    """The first provider with profiles that can be asked.

    :raises MissingKeyError: when each of them needs a key and none is set.
    """
    lacking = None
    for name in providers.names():
        provider = providers.provider(name)
        if isinstance(provider, Profiling):
            if route.has_key(provider.facts, connections.settings):
                return provider
            lacking = lacking or provider.facts
    if lacking and lacking.key:
        raise MissingKeyError(lacking.name, lacking.key.variable)
    raise UsageError("no provider has profiles of companies")


def _profiles(
    connections: Connections, provider: Any, chosen: list[Instrument]
) -> tuple[list[Instrument], dict[str, str]]:
    """The described instruments, and symbol to reason for the others."""
    from rich.progress import track  # noqa: PLC0415  for those alone who wait

    found, missing = [], {}
    for instrument in track(chosen, "asking", console=errors, disable=not errors.is_terminal):
        try:
            found.append(_profile(connections, provider, instrument))
        except ProviderError as error:
            missing[instrument.symbol] = f"{error.reason}: {error}"
    return found, missing


def _profile(connections: Connections, provider: Any, instrument: Instrument) -> Instrument:
    """One profile, after as long a wait for the quota as one window of it takes."""
    from fintrack_tasks.fetch.interpret import interpret  # noqa: PLC0415  see above
    from fintrack_tasks.fetch.quota.permits import Wait  # noqa: PLC0415  see above
    from fintrack_tasks.fetch.request import ask_provider  # noqa: PLC0415  the HTTP client, for this command alone

    request, reservation = provider.request_profile(instrument), None
    while isinstance(
        answer := ask_provider(
            provider.facts,
            request,
            gate=connections.gate,
            http=connections.http,
            budget=Budget.DEEP_BACKFILL,
            reservation=reservation,
            longest=_LONGEST,
        ),
        Wait,
    ):
        time.sleep(answer.seconds)  # the slot's own time: nothing is asked before it
        reservation = answer.reservation
    admit(connections.database, simulated=answer.response.simulated)
    try:
        described: Instrument = interpret(
            provider.facts.name, lambda: provider.parse_profile(instrument, answer.response, utc_now())
        )
    except ProviderError as error:
        connections.gate.learn(answer.permit, error)
        raise
    return described
