"""``fintrack db``: the schema."""

from __future__ import annotations

from typing import Annotated

import typer

from fintrack_tasks.cli.context import opened
from fintrack_tasks.cli.groups import group
from fintrack_tasks.cli.output import console, print_json
from fintrack_tasks.domain import Instrument
from fintrack_tasks.planning import DEFAULT_INSTRUMENTS
from fintrack_tasks.settings import Settings, load_settings
from fintrack_tasks.store import instruments

__all__ = ["app", "prepare"]

app = group("The database's schema.")


@app.command("upgrade")
def upgrade(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Bring the schema to the newest migration; safe to run at any time and by several at once."""
    settings = load_settings()
    revision = prepare(settings)
    if as_json:
        where = {"host": settings.db_host, "port": settings.db_port, "database": settings.db_name}
        print_json({"revision": revision, **where})
        return
    console.print(f"schema is at {revision} on {settings.db_host}:{settings.db_port}/{settings.db_name}")


def prepare(settings: Settings) -> str:
    """Migrate, and register the default instruments where none is registered; returns the schema's revision."""
    from fintrack_tasks.store.migrate import upgrade as migrate  # noqa: PLC0415  Alembic, a third of a second

    with opened(settings) as connections:
        with connections.database.connection():
            pass  # a server that is down is named here, in one line, before Alembic meets it
        revision = migrate(settings.sqlalchemy_url)
        with connections.database.connection() as conn:
            if not instruments.active(conn):
                instruments.add(conn, [Instrument.of(symbol) for symbol in DEFAULT_INSTRUMENTS])
    return revision
