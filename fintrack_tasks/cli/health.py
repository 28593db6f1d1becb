"""``fintrack health`` and ``fintrack providers``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fintrack_tasks.cli.context import open_connections
from fintrack_tasks.cli.health_checks import check_beat, check_local_stack, check_outbox, check_workers
from fintrack_tasks.cli.output import console, errors, print_json, table
from fintrack_tasks.errors import OutageError
from fintrack_tasks.fetch import providers, route
from fintrack_tasks.fetch.providers.base import Facts
from fintrack_tasks.fetch.quota.limits import quotas_of
from fintrack_tasks.settings import Settings, load_settings, redact_url

if TYPE_CHECKING:
    from fintrack_tasks.fetch.quota.gate import Gate

__all__ = ["health", "list_providers"]

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")]


def health(as_json: AsJson = False) -> None:
    """Ask servers, workers and beat whether they are well; exit code 4 when one is not."""
    from fintrack_tasks.observability import HealthChecker  # noqa: PLC0415  every server's client, for this alone

    checks = {"workers": check_workers, "beat": check_beat, "outbox": check_outbox, "local_stack": check_local_stack}
    settings = load_settings()
    status = HealthChecker(settings=settings, checks=checks).check_system_health()
    with open_connections(settings) as connections:
        standing = [_facts(name, settings, connections.gate) for name in providers.names()]
    found: dict[str, Any] = {**status.checks, "api_endpoints": _with_standing(status.checks["api_endpoints"], standing)}
    healthy = all(check["healthy"] for check in found.values())
    elsewhere = None if found["database"]["healthy"] else _hint()
    if elsewhere:
        found = {name: _with_hint(check, "detail", elsewhere) for name, check in found.items()}
        standing = [_with_hint(row, "note", elsewhere) for row in standing]
    if as_json:
        told = {"healthy": healthy, "checks": found, "timestamp": status.timestamp}
        print_json(told | {"providers": [{name: row.get(name) for name in _STANDING} for row in standing]})
    else:
        once = f"; {elsewhere}"  # it stands below the table
        rows = [
            [name, "ok" if check["healthy"] else "down", check["detail"].removesuffix(once)]
            for name, check in found.items()
        ]
        console.print(table("health", ["what", "state", "detail"], rows))
    if not healthy:
        if elsewhere:
            errors.print(elsewhere, markup=False, soft_wrap=True)
        raise typer.Exit(4)


def _hint() -> str | None:
    from fintrack_tasks.cli.stack_hints import hint  # noqa: PLC0415  the stack's libraries, where they are needed

    return hint()


def _with_hint(told: dict[str, Any], field: str, elsewhere: str) -> dict[str, Any]:
    """What would have a stack started, where another one was meant, names that one."""
    from fintrack_tasks.cli.stack_hints import replace_remedy  # noqa: PLC0415  see _hint

    said = str(told.get(field))
    return {**told, field: replace_remedy(said, elsewhere)} if OutageError.START in said else told


_STANDING: Final = ("name", "key", "circuit", "circuit_until", "keys", "note")
"""What ``health --json`` tells of a provider; the rest is in ``providers --json``."""


def _with_standing(check: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The check of the providers' addresses, and what the fleet has learnt of each of them; nobody is asked for it.

    A provider that is barred is not well: its circuit is open, or no probe has closed it yet, or each key is refused.
    A quota that is used up is no fault: it is told, and comes back by itself.
    """
    known = [row for row in rows if row["keys"]]
    barred = [row for row in known if _is_barred(row)]
    said = [f"{row['name']}: {_state(row)}" for row in known]
    detail = "; ".join([str(check["detail"]), *said])
    return {**check, "healthy": bool(check["healthy"]) and not barred, "detail": detail}


def _is_barred(row: Mapping[str, Any]) -> bool:
    return row["circuit"] in ("open", "half-open") or all(key["rejected_until"] for key in row["keys"])


def _state(row: Mapping[str, Any]) -> str:
    """One provider in words: its circuit where it is not closed, its quotas, and what bars its keys."""
    circuit = row["circuit"]
    if row["circuit_until"] and circuit == "open":
        circuit = f"open until {row['circuit_until']:%H:%M:%S} UTC after failures"
    parts = [] if circuit == "closed" else [f"circuit {circuit}"]
    return ", ".join([*parts, f"{_quota(row)} used", *filter(None, [_bars(row)])])


def list_providers(as_json: AsJson = False) -> None:
    """Who serves what, routes, keys, what is used and left of the quotas, what bars them."""
    settings = load_settings()
    with open_connections(settings) as connections:
        rows = [_facts(name, settings, connections.gate) for name in providers.names()]
    if as_json:
        print_json({"providers": rows, "routes": route.table(settings)})
        return
    plain = ["name", "serves", "intervals", "key", "circuit", "address"]
    shown = [[*(row[c] for c in plain), _quota(row), _bars(row)] for row in rows]
    spare = ("address", "intervals", "serves", "circuit")
    console.print(table("providers", [*plain, "used of quota", "barred"], shown, spare))
    console.print()
    console.print(table("routes, first choice first", ["class", "kind", "providers"], map(_way, route.table(settings))))


def _way(row: dict[str, Any]) -> list[str]:
    without = f" (without a key: {', '.join(row['without_key'])})" if row["without_key"] else ""
    return [row["asset_class"], row["kind"], (" → ".join(row["providers"]) or "nobody") + without]


def _facts(name: str, settings: Settings, gate: Gate) -> dict[str, Any]:
    facts = providers.provider(name).facts
    key = "none needed"
    if facts.key:
        number = len(settings.api_keys(facts.key.variable))
        missing = "none needed" if facts.key.optional else f"missing: set {facts.key.variable}"
        key = f"{number} set" if number else missing
    return {
        "name": name,
        "serves": ", ".join(sorted(facts.asset_classes)),
        "intervals": ", ".join(i.value for i in sorted(facts.intervals, key=lambda i: -i.delta)),
        "quotas": [{"limit": q.limit, "seconds": q.seconds} for q in quotas_of(facts, settings)],
        "key": key,
        "address": redact_url(settings.provider_base_urls.get(name) or facts.base_url),
        **_standing(facts, settings, gate),
    }


def _standing(facts: Facts, settings: Settings, gate: Gate) -> dict[str, Any]:
    """What Redis knows of a provider; nothing of one that has no key, and none of it while Redis is away."""
    if not route.has_key(facts, settings):
        return {"circuit": None, "keys": []}
    try:
        found = gate.standing(facts)
    except OutageError as error:
        return {"circuit": "unknown", "keys": [], "note": str(error)}
    keys = [
        {
            "key": each.key,
            "used": [{"limit": n, "seconds": s, "used": u, "left": max(0, n - u)} for n, s, u in each.used],
            "waiting": each.waiting,
            "closed_until": each.closed_until,
            "rejected_until": each.rejected_until,
            "entitlements": each.entitlements,
        }
        for each in found
    ]
    return {"circuit": found[0].circuit, "circuit_until": found[0].circuit_until, "keys": keys}


def _quota(row: Mapping[str, Any]) -> str:
    used = [sum(key["used"][n]["used"] for key in row["keys"]) for n in range(len(row["quotas"]))]
    limits = [q["limit"] * max(1, len(row["keys"])) for q in row["quotas"]]
    parts = (f"{u} of {n} per {q['seconds']:g} s" for u, n, q in zip(used, limits, row["quotas"], strict=True))
    return ", ".join(parts) or "unlimited"


def _bars(row: Mapping[str, Any]) -> str:
    said = []
    for key in row["keys"]:
        for name, words in (("closed_until", "quota until"), ("rejected_until", "key refused until")):
            if key[name]:
                said.append(f"{key['key']}: {words} {key[name]:%H:%M:%S}")
        said += [f"{key['key']}: no {what} until {until:%m-%d %H:%M}" for what, until in key["entitlements"].items()]
    return "; ".join(said)
