"""``fintrack health`` and ``fintrack providers``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fintrack_tasks.app import app as celery
from fintrack_tasks.cli.context import redis_outage
from fintrack_tasks.cli.output import console, print_json, table
from fintrack_tasks.errors import OutageError
from fintrack_tasks.fetch import providers, quota, route
from fintrack_tasks.observability import HealthChecker
from fintrack_tasks.settings import Settings, load_settings, redact_url

__all__ = ["register"]

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("health")(health)
    app.command("providers")(list_providers)


def _workers() -> str:
    with redis_outage(load_settings()):
        replies = celery.control.broadcast("ping", reply=True, timeout=1.0)
    if not replies:
        raise OutageError("Celery workers", "the queues fetch.*, etl and ops")
    return f"{len(replies)} answer: {', '.join(sorted(name for reply in replies for name in reply))}"


def health(as_json: AsJson = False) -> None:
    """Ask every server and the workers whether they are well; exit code 4 when one is not."""
    status = HealthChecker(settings=load_settings(), checks={"workers": _workers}).check_system_health()
    if as_json:
        print_json({"healthy": status.healthy, "checks": status.checks, "timestamp": status.timestamp})
    else:
        rows = [[name, "ok" if check["healthy"] else "down", check["detail"]] for name, check in status.checks.items()]
        console.print(table("health", ["what", "state", "detail"], rows))
    if not status.healthy:
        raise typer.Exit(4)


def list_providers(as_json: AsJson = False) -> None:
    """The providers, what they serve, their quotas, and whether their key is set."""
    settings = load_settings()
    rows = [_facts(name, settings) for name in providers.names()]
    if as_json:
        print_json({"providers": rows, "routes": route.table()})
        return
    columns = ["name", "serves", "intervals", "quota", "key", "address"]
    console.print(table("providers", columns, [[row[c] for c in columns] for row in rows]))
    routes = [[r["asset_class"], r["kind"], " → ".join(r["providers"]) or "nobody"] for r in route.table()]
    console.print(table("routes, first choice first", ["class", "kind", "providers"], routes))


def _facts(name: str, settings: Settings) -> dict[str, Any]:
    facts = providers.provider(name).facts
    quotas = quota.effective_quotas(facts, settings.provider_quotas.get(name), settings.api_rate_limit)
    key = "none needed"
    if facts.key:
        key = "set" if settings.api_keys(facts.key.variable) else f"missing: set {facts.key.variable}"
    return {
        "name": name,
        "serves": ", ".join(sorted(facts.asset_classes)),
        "intervals": ", ".join(i.value for i in sorted(facts.intervals, key=lambda i: -i.delta)),
        "quota": ", ".join(f"{q.limit} per {q.seconds:g} s" for q in quotas) or "unlimited",
        "key": key,
        "address": redact_url(settings.provider_base_urls.get(name) or facts.base_url),
    }
