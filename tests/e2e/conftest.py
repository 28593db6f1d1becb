"""A whole pipeline of its own: servers, sandbox, worker processes, beat and Flower, started by the command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.harness import Pipeline, fintrack, parse_env


@pytest.fixture(scope="package")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    home = tmp_path_factory.mktemp("pipeline")
    quick = {"FINTRACK_ITEM_DEADLINE_SECONDS": "20", "FLOWER_PORT": "0"}
    fintrack(home, "up", "--detach", environment=quick)
    try:
        yield Pipeline(home, {**quick, **parse_env(fintrack(home, "env").stdout)})
    finally:
        fintrack(home, "down", check=False)
