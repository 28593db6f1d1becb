"""The stack on the real servers."""

from __future__ import annotations

import psycopg
import pytest

pytestmark = pytest.mark.integration


def test_the_shared_stack_answers(stack: dict[str, str]) -> None:
    with psycopg.connect(
        host=stack["DB_HOST"],
        port=stack["DB_PORT"],
        dbname=stack["DB_NAME"],
        user=stack["DB_USER"],
        password=stack["DB_PASSWORD"],
        sslmode=stack["DB_SSLMODE"],
    ) as connection:
        assert connection.info.dbname == "financial_tracker"
