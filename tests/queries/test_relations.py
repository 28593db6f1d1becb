"""The declarations of the read side are the migrated schema's own relations, column by column."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from fintrack_tasks.queries import relations, views

PARTLY = {"index_indicators"}
"""Declared by its key alone."""


@pytest.mark.integration
@pytest.mark.parametrize("name", [table.name for table in relations.METADATA.sorted_tables])
def test_a_relation_is_declared_as_the_migrations_made_it(name: str, reader: psycopg.Connection) -> None:
    table = relations.METADATA.tables[f"fintrack.{name}"]
    dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]

    declared = [(column.name, column.type.compile(dialect).lower()) for column in table.columns]

    found = reader.execute(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a"
        " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        (f"fintrack.{name}",),
    ).fetchall()
    migrated = [(column, "float" if kind == "double precision" else kind) for column, kind in found]
    if name in PARTLY:
        migrated = migrated[: len(declared)]
    assert sorted(declared) == sorted(migrated)


@pytest.mark.parametrize("module", ["fintrack_tasks.pipeline", "fintrack_tasks.tasks.ingest", "fintrack_tasks.cli"])
def test_who_reads_nothing_for_a_person_loads_no_sqlalchemy(module: str) -> None:
    told = f"import sys, {module}; sys.exit('sqlalchemy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", told], check=False).returncode == 0


@pytest.mark.integration
def test_every_public_view_is_declared(reader: psycopg.Connection) -> None:
    migrated = reader.execute("SELECT viewname FROM pg_views WHERE schemaname = 'fintrack'").fetchall()

    assert sorted(views.__all__) == sorted(name for (name,) in migrated)
    assert all(getattr(views, name).name == name for name in views.__all__)
