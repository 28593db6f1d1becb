"""Who may do what: tried by logins of each role, as the services are, and not read from a table of rights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from alembic.config import Config
from psycopg import sql

from fintrack_tasks.domain import Kind
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import audit, migrate, roles
from fintrack_tasks.store.migrate import head, upgrade
from fintrack_tasks.store.quotes import load_quote
from tests.store.items import NOW, event, make_run, quote

pytestmark = pytest.mark.integration

DENIED = psycopg.errors.InsufficientPrivilege

MakeLogin = Callable[[str], Settings]
Open = Callable[[Settings], psycopg.Connection]

NEXT = """
from alembic import op

revision, down_revision, branch_labels, depends_on = "next", {head!r}, None, None


def upgrade() -> None:
    op.execute("CREATE TABLE fintrack.kept (id bigint GENERATED ALWAYS AS IDENTITY, value text)")
    op.execute("ALTER TABLE fintrack.quotes ADD COLUMN later text")
    op.execute("CREATE OR REPLACE VIEW fintrack.exchange_rates AS"
               " SELECT base, quote, timestamp, rate, source, received_at FROM fintrack.fx_rates")
    op.execute("DROP VIEW fintrack.data_flags")
"""


@pytest.fixture
def connected() -> Iterator[Open]:
    opened: list[psycopg.Connection] = []

    def connect(settings: Settings) -> psycopg.Connection:
        opened.append(psycopg.connect(**settings.conninfo, autocommit=True))
        return opened[-1]

    yield connect
    for conn in opened:
        conn.close()


@pytest.fixture
def make_login(owner: psycopg.Connection, owner_settings: Settings) -> Iterator[MakeLogin]:
    """Makes a login of a group; it is dropped afterwards."""
    made: list[str] = []

    def make(group: str) -> Settings:
        user = f"test_{uuid4().hex[:12]}"
        made.append(user)
        roles.ensure_login(owner, user, "its-password", group)
        values = {**owner_settings.model_dump(), "db_user": user, "db_password": "its-password"}
        return Settings.model_validate(values)

    yield make
    for user in made:
        owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(user)))


@pytest.fixture
def admin(make_login: MakeLogin, connected: Open) -> psycopg.Connection:
    return connected(make_login(roles.ADMIN))


@pytest.fixture
def audited(conn: psycopg.Connection) -> psycopg.Connection:
    audit.add(conn, "somebody", "release", "quarantine 1", {}, NOW)
    return conn


ATTACKS = [
    "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'",
    "COPY fintrack.opinions (provider) FROM PROGRAM 'id'",
    "COPY fintrack.opinions (provider) FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "CREATE ROLE mine SUPERUSER",
    "CREATE DATABASE mine",
    "CREATE TABLE fintrack.mine (value text)",
    "CREATE TABLE public.mine (value text)",
    "CREATE FUNCTION fintrack.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION dblink",
    "ALTER TABLE fintrack.quotes DISABLE TRIGGER ALL",
    "ALTER ROLE fintrack_reader SUPERUSER",
    "ALTER SYSTEM SET log_statement = 'all'",
    "DROP TABLE fintrack.quotes CASCADE",
    "TRUNCATE fintrack.quotes",
    "SET ROLE fintrack_admin",
    "SET ROLE fintrack_audit",
    "SET session_replication_role = replica",
    "GRANT fintrack_admin TO CURRENT_USER",
    "UPDATE fintrack.alembic_version SET version_num = '0001'",
    "SELECT rolpassword FROM pg_authid",
]


def allowed(conn: psycopg.Connection, statements: Iterable[str]) -> list[str]:
    """Those of the statements that were not refused for want of a right."""
    done = []
    for statement in statements:
        with suppress(DENIED):
            conn.execute(statement)  # type: ignore[call-overload]
            done.append(statement)
    return done


@pytest.mark.parametrize("who", ["conn", "reader"])
def test_neither_writer_nor_reader_may_leave_the_tables(who: str, request: pytest.FixtureRequest) -> None:
    assert allowed(request.getfixturevalue(who), ATTACKS) == []


def test_a_writer_changes_no_key_no_past_of_a_bar_and_nothing_past_its_table(conn: psycopg.Connection) -> None:
    changes = [
        "INSERT INTO fintrack.message_keys DEFAULT VALUES",
        "UPDATE fintrack.message_keys SET secret = secret",
        "DELETE FROM fintrack.message_keys",
        "UPDATE fintrack.bar_versions SET close = 1",
        "DELETE FROM fintrack.bar_versions",
        "DELETE FROM fintrack.bars_2024",
        "INSERT INTO fintrack.exchange_rates (base) VALUES ('EUR')",
    ]
    assert allowed(conn, changes) == []


REWRITES = [
    "UPDATE fintrack.audit_log SET actor = 'nobody'",
    "DELETE FROM fintrack.audit_log",
    "TRUNCATE fintrack.audit_log",
    "DROP TABLE fintrack.audit_log",
    "DROP SCHEMA fintrack CASCADE",
    "ALTER TABLE fintrack.audit_log ADD COLUMN more text",
    "ALTER TABLE fintrack.audit_log RENAME TO mine",
    "ALTER TABLE fintrack.audit_log DISABLE TRIGGER ALL",
    "ALTER TABLE fintrack.audit_log OWNER TO CURRENT_USER",
    "DROP TRIGGER audit_log_is_append_only ON fintrack.audit_log",
    "CREATE OR REPLACE FUNCTION fintrack.refuse_change_of_audit_log() RETURNS trigger LANGUAGE plpgsql AS ''",
    "DROP FUNCTION fintrack.refuse_change_of_audit_log() CASCADE",
    "CREATE RULE no_more AS ON INSERT TO fintrack.audit_log DO INSTEAD NOTHING",
    "GRANT fintrack_audit TO CURRENT_USER",
    "SET ROLE fintrack_audit",
]


@pytest.mark.parametrize("who", ["conn", "reader", "admin"])
def test_nobody_rewrites_the_audit_log(who: str, audited: psycopg.Connection, request: pytest.FixtureRequest) -> None:
    assert allowed(request.getfixturevalue(who), REWRITES) == []
    found = audited.execute("SELECT actor, action FROM fintrack.audit_log").fetchall()
    assert found == [("somebody", "release")]


@pytest.mark.parametrize("who", ["conn", "admin"])
def test_nobody_gives_himself_rights_on_the_audit_log(who: str, request: pytest.FixtureRequest) -> None:
    """PostgreSQL only warns of a grant that grants nothing."""
    conn: psycopg.Connection = request.getfixturevalue(who)
    conn.execute("GRANT UPDATE, DELETE, TRUNCATE, TRIGGER ON fintrack.audit_log TO CURRENT_USER")
    held = "SELECT has_table_privilege('fintrack.audit_log', 'UPDATE, DELETE, TRUNCATE, TRIGGER')"
    assert conn.execute(held).fetchone() == (False,)


def test_not_even_a_superuser_rewrites_the_audit_log_by_accident(
    audited: psycopg.Connection, owner: psycopg.Connection
) -> None:
    assert allowed(owner, REWRITES[:3]) == []
    assert audited.execute("SELECT actor FROM fintrack.audit_log").fetchall() == [("somebody",)]


def test_writer_and_admin_add_to_the_audit_log_and_a_reader_does_not_see_it(
    audited: psycopg.Connection, admin: psycopg.Connection, reader: psycopg.Connection
) -> None:
    audit.add(admin, "an admin", "migrate", "schema", {}, NOW)
    assert audited.execute("SELECT count(*) FROM fintrack.audit_log").fetchone() == (2,)
    with pytest.raises(DENIED):
        reader.execute("SELECT * FROM fintrack.audit_log")


def test_a_reader_sees_what_reading_commands_ask_for_and_changes_nothing(
    reader: psycopg.Connection,
) -> None:
    hidden = ("outbox", "opinions", "audit_log", "alerts", "message_keys")
    assert allowed(reader, [f"SELECT * FROM fintrack.{table}" for table in hidden]) == []
    changes = ("INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}", "TRUNCATE {}")
    tables = ("quotes", "bars", "instruments", "runs", "quarantine", "fx_rates", "database_mode", "alembic_version")
    assert allowed(reader, [change.format(f"fintrack.{table}") for table in tables for change in changes]) == []


def test_a_reader_reads_every_view(conn: psycopg.Connection, reader: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["AAPL"], Kind.QUOTE)
    load_quote(conn, item, quote(item), event(item), NOW)
    views = [name for (name,) in conn.execute("SELECT viewname FROM pg_views WHERE schemaname = 'fintrack'")]
    assert {"market_data", "historical_market_data", "market_index_data"} <= set(views)
    for view in views:
        reader.execute(sql.SQL("SELECT * FROM fintrack.{}").format(sql.Identifier(view))).fetchall()
    assert reader.execute("SELECT symbol FROM market_data").fetchall() == [("AAPL",)]


def test_every_table_is_the_admins_and_the_audit_log_is_not(conn: psycopg.Connection) -> None:
    owners = dict(conn.execute("SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'fintrack'").fetchall())
    assert owners.pop("audit_log") == "fintrack_audit"
    assert set(owners.values()) == {"fintrack_admin"}
    members = "SELECT member::regrole::text FROM pg_auth_members WHERE roleid = 'fintrack_audit'::regrole"
    assert conn.execute(members).fetchall() == []


# --- Migrating ---------------------------------------------------------------------------------------------------


@pytest.fixture
def next_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that comes after the newest."""
    (tmp_path / "next.py").write_text(NEXT.format(head=head()), encoding="utf-8")

    def config() -> Config:
        made = Config()
        made.set_main_option("script_location", "fintrack_tasks.store:migrations")
        made.set_main_option("path_separator", "newline")
        made.set_main_option("version_locations", f"fintrack_tasks.store:migrations/versions\n{tmp_path}")
        return made

    monkeypatch.setattr(migrate, "_config", config)


@pytest.mark.usefixtures("next_migration")
@pytest.mark.parametrize("who", ["a member of fintrack_admin", "the owner"])
def test_the_next_migration_makes_tables_that_writers_may_use_and_readers_may_not(
    who: str,
    make_login: MakeLogin,
    owner_settings: Settings,
    conn: psycopg.Connection,
    reader: psycopg.Connection,
) -> None:
    settings = owner_settings if who == "the owner" else make_login(roles.ADMIN)
    assert upgrade(settings.sqlalchemy_url) == "next"
    conn.execute("INSERT INTO fintrack.kept (value) VALUES ('row')")
    conn.execute("DELETE FROM fintrack.kept")
    with pytest.raises(DENIED):
        reader.execute("SELECT * FROM fintrack.kept")
    owned = conn.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'kept'").fetchone()
    assert owned == ("fintrack_admin",)


@pytest.mark.usefixtures("next_migration")
def test_who_may_not_migrate_is_told_which_login_does(database_settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="set DB_OWNER_USER and DB_OWNER_PASSWORD") as caught:
        upgrade(database_settings.sqlalchemy_url)
    assert "\n" not in str(caught.value)
    assert database_settings.db_password.get_secret_value() not in str(caught.value)


def test_whoever_logs_in_may_ask_whether_there_is_anything_to_migrate(database_settings: Settings) -> None:
    assert upgrade(database_settings.sqlalchemy_url) == head()
    assert upgrade(database_settings.as_reader().sqlalchemy_url) == head()


def test_a_database_of_before_is_handed_over_with_all_that_is_in_it(
    server_owner: Settings, make_empty: Callable[..., Settings], connected: Open, make_login: MakeLogin
) -> None:
    """It was made by a superuser, as all were: tables, and a view of the operator's own in the same schema."""
    settings = make_empty()
    upgrade(settings.sqlalchemy_url, "0013")
    superuser = connected(settings)
    superuser.execute("CREATE VIEW fintrack.symbols AS SELECT symbol FROM fintrack.instruments")
    superuser.execute("INSERT INTO fintrack.instruments (symbol, asset_class) VALUES ('AAPL', 'stock')")
    superuser.execute(
        "INSERT INTO fintrack.audit_log (actor, action, subject, created_at) VALUES ('somebody', 'x', 'y', now())"
    )
    for _ in range(2):
        assert upgrade(settings.sqlalchemy_url) == head()
    writer = connected(make_login(roles.WRITER).model_copy(update={"db_name": settings.db_name}))
    assert writer.execute("SELECT symbol FROM fintrack.symbols").fetchall() == [("AAPL",)]
    with pytest.raises(DENIED):
        writer.execute("DELETE FROM fintrack.audit_log")
    assert writer.execute("SELECT actor FROM fintrack.audit_log").fetchall() == [("somebody",)]


def test_a_databases_owner_with_createrole_migrates_from_nothing_and_lets_go_of_the_audit_log(
    server_owner: Settings,
    owner: psycopg.Connection,
    owner_settings: Settings,
    make_login: MakeLogin,
    make_empty: Callable[..., Settings],
    connected: Open,
) -> None:
    """As where the server is rented and nobody is a superuser: the groups are there, he may give them out."""
    login = make_login(roles.ADMIN)
    user = sql.Identifier(login.db_user)
    owner.execute(sql.SQL("ALTER ROLE {} CREATEROLE").format(user))
    owner.execute(sql.SQL("GRANT fintrack_audit TO {} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE").format(user))
    empty = make_empty(login.db_user)
    settings = login.model_copy(update={"db_name": empty.db_name})
    assert upgrade(settings.sqlalchemy_url) == head()
    with pytest.raises(DENIED):
        connected(settings).execute("DELETE FROM fintrack.audit_log")
    assert upgrade(settings.sqlalchemy_url) == head()


def test_a_databases_owner_who_may_not_hand_over_is_told_so_and_nothing_is_changed(
    make_login: MakeLogin, make_empty: Callable[..., Settings], connected: Open
) -> None:
    login = make_login(roles.ADMIN)
    settings = login.model_copy(update={"db_name": make_empty(login.db_user).db_name})
    with pytest.raises(ConfigurationError, match="once as a superuser"):
        upgrade(settings.sqlalchemy_url)
    assert connected(settings).execute("SELECT version_num FROM fintrack.alembic_version").fetchone() == ("0013",)


# --- Logins ------------------------------------------------------------------------------------------------------


def test_a_login_is_made_without_any_right_of_its_own_and_gets_a_new_password(
    make_login: MakeLogin, owner: psycopg.Connection, connected: Open
) -> None:
    settings = make_login(roles.READER)
    found = owner.execute(
        "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolcanlogin, rolpassword"
        " FROM pg_authid WHERE rolname = %s",
        (settings.db_user,),
    ).fetchone()
    assert found is not None
    assert found[:6] == (False, False, False, False, False, True)
    assert found[6].startswith("SCRAM-SHA-256$")
    roles.ensure_login(owner, settings.db_user, "another-one", roles.READER)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connected(settings)
    again = {**settings.model_dump(), "db_password": "another-one"}
    assert connected(Settings.model_validate(again)).info.parameter_status("is_superuser") == "off"


def test_who_may_not_make_logins_is_told_what_a_superuser_has_to_run(make_login: MakeLogin, connected: Open) -> None:
    conn = connected(make_login(roles.ADMIN))
    with pytest.raises(ConfigurationError, match=r'as a superuser run: CREATE ROLE "somebody" LOGIN') as caught:
        roles.ensure_login(conn, "somebody", "its-password", roles.WRITER)
    assert "its-password" not in str(caught.value)
