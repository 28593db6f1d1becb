"""``fintrack db upgrade``: the owner migrates and makes the logins, which the settings name with their passwords."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from fintrack_tasks.settings import Settings
from fintrack_tasks.store.migrate import head
from tests.e2e.harness import fintrack

pytestmark = pytest.mark.integration


@pytest.fixture
def variables(
    make_empty: Callable[..., Settings], server_owner: Settings, owner_variables: dict[str, str]
) -> Iterator[dict[str, str]]:
    """A database in which nothing is yet, and logins that nobody knows yet."""
    named = f"test_{uuid4().hex[:12]}"
    logins = {"DB_USER": f"{named}_writer", "DB_READER_USER": f"{named}_reader"}
    yield {
        **owner_variables,
        **logins,
        "DB_NAME": make_empty().db_name,
        "DB_PASSWORD": "of the writer's: 'quoted'",
        "DB_READER_PASSWORD": "of the reader",
    }
    with psycopg.connect(**server_owner.conninfo, autocommit=True) as conn:
        for user in logins.values():
            conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(user)))


def groups(settings: Settings) -> tuple[str, list[str]]:
    """As whom the settings log in, and of what that is a member."""
    with psycopg.connect(**settings.conninfo) as conn:
        found = conn.execute("SELECT roleid::regrole::text FROM pg_auth_members WHERE member = current_user::regrole")
        return conn.info.user, [name for (name,) in found]


def test_an_upgrade_makes_the_logins_and_a_second_one_changes_a_password(
    variables: dict[str, str], tmp_path: Path
) -> None:
    told = json.loads(fintrack(tmp_path, "db", "upgrade", "--json", environment=variables).stdout.splitlines()[-1])
    assert told["revision"] == head()
    settings = Settings.from_mapping(variables)
    assert groups(settings) == (variables["DB_USER"], ["fintrack_writer"])
    assert groups(settings.as_reader()) == (variables["DB_READER_USER"], ["fintrack_reader"])
    changed = {**variables, "DB_PASSWORD": "another one"}
    fintrack(tmp_path, "db", "upgrade", environment=changed)
    assert groups(Settings.from_mapping(changed))[1] == ["fintrack_writer"]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        groups(settings)


def test_one_login_that_owns_the_database_is_enough_and_health_says_that_it_is_a_superuser(
    variables: dict[str, str], tmp_path: Path
) -> None:
    """As before there were others: DB_USER and DB_PASSWORD alone."""
    alone = {name: value for name, value in variables.items() if "OWNER" not in name and "READER" not in name}
    alone |= {"DB_USER": variables["DB_OWNER_USER"], "DB_PASSWORD": variables["DB_OWNER_PASSWORD"]}
    assert "schema is at" in fintrack(tmp_path, "db", "upgrade", environment=alone).stdout
    assert "AAPL" in fintrack(tmp_path, "instruments", "list", environment=alone).stdout
    for values, hinted in ((alone, True), (variables, False)):
        if not hinted:
            fintrack(tmp_path, "db", "upgrade", environment=values)
        shown = fintrack(tmp_path, "health", "--json", environment=values, check=False).stdout
        database = json.loads(shown.splitlines()[-1])["checks"]["database"]
        assert database["healthy"]
        assert ("DB_USER is a superuser" in database["detail"]) is hinted


def test_a_login_that_may_not_migrate_is_told_what_to_set(variables: dict[str, str], tmp_path: Path) -> None:
    fintrack(tmp_path, "db", "upgrade", environment=variables)
    alone = {name: value for name, value in variables.items() if "OWNER" not in name}
    assert "schema is at" in fintrack(tmp_path, "db", "upgrade", environment=alone).stdout, "nothing is to be done"
    empty = {**alone, "DB_NAME": "postgres"}
    refused = fintrack(tmp_path, "db", "upgrade", environment=empty, check=False)
    assert refused.returncode == 2
    assert "set DB_OWNER_USER and DB_OWNER_PASSWORD" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
