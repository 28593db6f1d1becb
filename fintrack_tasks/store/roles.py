"""The database roles: groups without a login, and the logins that are their members.

``fintrack_writer`` has the rights of workers, beat and the command line, ``fintrack_reader`` those to read, and
``fintrack_admin`` owns the tables and migrates. ``fintrack_audit``, which has no members, owns the schema and the audit
log, so that not even a login that migrates can change the log.
"""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import sql

from fintrack_tasks.errors import ConfigurationError

__all__ = ["ADMIN", "AUDIT", "READER", "WRITER", "ensure_groups", "ensure_login"]

READER: Final = "fintrack_reader"
WRITER: Final = "fintrack_writer"
ADMIN: Final = "fintrack_admin"
AUDIT: Final = "fintrack_audit"

_PLAIN: Final = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"

_TAKEN: Final = (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation, psycopg.errors.InternalError)
"""Somebody else makes the same role at this moment: roles belong to the server, not to one of its databases."""


def ensure_groups(conn: psycopg.Connection) -> None:
    """Make the groups that are missing; the connection must be in autocommit mode."""
    for name in (READER, WRITER, ADMIN, AUDIT):
        if not _exists(conn, name):
            try:
                conn.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
            except _TAKEN:
                if not _exists(conn, name):
                    raise


def ensure_login(conn: psycopg.Connection, user: str, password: str, group: str) -> None:
    """Create a login with the rights of its group alone, or change the password of an existing one.

    The password is sent as its SCRAM verifier, so that it cannot appear in the server's log.

    :param conn: that of a superuser or of a role with CREATEROLE, in autocommit mode.
    :raises ConfigurationError: when ``conn`` may not do that; the text has the statement for a superuser.
    """
    try:
        if not _exists(conn, user):
            _create(conn, user)
        if not _is_member(conn, user, group):
            conn.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(user)))
        # Last: who can log in has its group.
        verifier = conn.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()
        conn.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(user), sql.Literal(verifier)))
    except psycopg.errors.InsufficientPrivilege:
        raise ConfigurationError(
            f"DB_OWNER_USER: {conn.info.user} may not make the login {user}; as a superuser run:"
            f' CREATE ROLE "{user}" LOGIN PASSWORD \'...\'; GRANT {group} TO "{user}"'
        ) from None


def _create(conn: psycopg.Connection, user: str) -> None:
    try:
        conn.execute(sql.SQL("CREATE ROLE {} " + _PLAIN).format(sql.Identifier(user)))
    except _TAKEN:
        if not _exists(conn, user):
            raise


def _exists(conn: psycopg.Connection, name: str) -> bool:
    return conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is not None


def _is_member(conn: psycopg.Connection, user: str, group: str) -> bool:
    """By itself, not through another group, and not as a superuser, who counts as a member of everything."""
    found = conn.execute(
        "SELECT 1 FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles u ON u.oid = m.member"
        " WHERE g.rolname = %s AND u.rolname = %s AND m.inherit_option",
        (group, user),
    )
    return found.fetchone() is not None
