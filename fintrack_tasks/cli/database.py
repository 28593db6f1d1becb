"""``fintrack db``: the schema."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fintrack_tasks.cli.command_groups import group
from fintrack_tasks.cli.context import open_connections
from fintrack_tasks.cli.output import console, print_json
from fintrack_tasks.domain import Instrument
from fintrack_tasks.errors import OutageError
from fintrack_tasks.pipeline.plan import DEFAULT_INSTRUMENTS
from fintrack_tasks.settings import Settings, environment, load_settings
from fintrack_tasks.store import instruments, roles
from fintrack_tasks.store.database_mode import admit

__all__ = ["app", "earlier_database", "prepare"]

_EARLIER: Final = "financial_tracker"
"""The one database of a local stack before each mode had its own."""

app = group("The database's schema.")


@app.command("upgrade")
def upgrade(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Bring the schema to the newest migration; safe to run at any time and by several at once."""
    settings = _with_owner(load_settings())
    revision = prepare(settings)
    if as_json:
        where = {"host": settings.db_host, "port": settings.db_port, "database": settings.db_name}
        print_json({"revision": revision, **where})
        return
    console.print(f"schema is at {revision} on {settings.db_host}:{settings.db_port}/{settings.db_name}")


def _with_owner(settings: Settings) -> Settings:
    """The local stack keeps its owner's password to itself: it is in no process' environment."""
    from fintrack_tasks.embedded import Stack  # noqa: PLC0415  the servers' clients, for this command alone

    stack = Stack(settings.fintrack_home)
    known = stack.environment()
    if (known.get("DB_HOST"), known.get("DB_PORT")) != (settings.db_host, str(settings.db_port)):
        return settings
    return Settings.from_mapping({**environment(), **stack.owner_environment()})


def prepare(settings: Settings) -> str:
    """Migrate and make the logins, as the owner; say whose prices it will hold, and register the default instruments
    where none ever was. Returns the schema's revision.

    :raises ConfigurationError: the database holds prices of the other kind, or the owner may not migrate.
    """
    from fintrack_tasks.store.migrate import upgrade as migrate  # noqa: PLC0415  Alembic, a third of a second

    owner = settings.as_owner()
    with open_connections(owner) as connections:
        with connections.database.connection():
            pass  # a server that is down is named here, in one line, before Alembic meets it
        if connections.database.mode:  # one of the other kind is left as it is
            admit(connections.database, simulated=settings.simulated)
    revision = migrate(owner.sqlalchemy_url)
    _make_logins(settings, owner)
    with open_connections(settings) as connections:
        admit(connections.database, simulated=settings.simulated)
        with connections.database.connection() as conn:
            if instruments.none_known(conn):
                instruments.add(conn, [Instrument.of(symbol) for symbol in DEFAULT_INSTRUMENTS])
    return revision


def _make_logins(settings: Settings, owner: Settings) -> None:
    """The logins that the settings name beside the owner, each with its password and its group and nothing else."""
    logins = {settings.db_user: (settings, roles.WRITER)}
    logins.setdefault(settings.as_reader().db_user, (settings.as_reader(), roles.READER))
    logins.pop(owner.db_user, None)
    for user, (login, role) in logins.items():
        try:
            with open_connections(login) as connections, connections.database.connection():
                continue  # it is there, with this password
        except OutageError:
            with open_connections(owner) as connections, connections.database.connection() as conn:
                roles.ensure_login(conn, user, login.db_password.get_secret_value(), role)


def earlier_database(settings: Settings) -> str | None:
    """What to say of the one database that a local stack had before each mode got its own."""
    if settings.db_name == _EARLIER:
        return None
    with open_connections(settings) as connections, connections.database.connection() as conn:
        if not conn.execute("SELECT FROM pg_database WHERE datname = %s", (_EARLIER,)).fetchone():
            return None
    return (
        f"the database {_EARLIER} of an earlier version stays as it is and is not used: whether its prices are real"
        f" is not written down; read it with DB_NAME={_EARLIER}"
    )
