"""``fintrack db``: the schema."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fintrack_tasks.cli.context import opened
from fintrack_tasks.cli.groups import group
from fintrack_tasks.cli.output import console, print_json
from fintrack_tasks.domain import Instrument
from fintrack_tasks.planning import DEFAULT_INSTRUMENTS
from fintrack_tasks.settings import Settings, load_settings
from fintrack_tasks.store import instruments
from fintrack_tasks.store.mode import admit

__all__ = ["app", "earlier_database", "prepare"]

_EARLIER: Final = "financial_tracker"
"""The one database of a local stack before each mode had its own."""

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
    """Migrate, say whose prices it will hold, and register the default instruments where none ever was; returns the
    schema's revision.

    :raises ConfigurationError: the database holds prices of the other kind.
    """
    from fintrack_tasks.store.migrate import upgrade as migrate  # noqa: PLC0415  Alembic, a third of a second

    with opened(settings) as connections:
        with connections.database.connection():
            pass  # a server that is down is named here, in one line, before Alembic meets it
        revision = migrate(settings.sqlalchemy_url)
        admit(connections.database, simulated=settings.simulated)
        with connections.database.connection() as conn:
            if instruments.none_known(conn):
                instruments.add(conn, [Instrument.of(symbol) for symbol in DEFAULT_INSTRUMENTS])
    return revision


def earlier_database(settings: Settings) -> str | None:
    """What to say of the one database that a local stack had before each mode got its own."""
    if settings.db_name == _EARLIER:
        return None
    with opened(settings) as connections, connections.database.connection() as conn:
        if not conn.execute("SELECT FROM pg_database WHERE datname = %s", (_EARLIER,)).fetchone():
            return None
    return (
        f"the database {_EARLIER} of an earlier version stays as it is and is not used: whether its prices are real"
        f" is not written down; read it with DB_NAME={_EARLIER}"
    )
