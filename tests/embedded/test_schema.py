"""The schema to be read is the one that the migrations make."""

from __future__ import annotations

from pathlib import Path

import pytest

from fintrack_tasks import store
from fintrack_tasks.embedded.schema import schema_of
from fintrack_tasks.settings import Settings

pytestmark = pytest.mark.integration


def test_the_schema_to_be_read_is_what_the_migrations_leave_behind(owner_settings: Settings) -> None:
    kept = (Path(str(store.__file__)).parent / "schema.sql").read_text(encoding="utf-8")
    assert schema_of(owner_settings) == kept, (
        "python -m fintrack_tasks.embedded.schema > fintrack_tasks/store/schema.sql"
    )
