"""A whole pipeline of its own: servers, sandbox, worker processes, beat and Flower, started by the command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.harness import Pipeline, fintrack, parse_env

QUICK = {"FINTRACK_ITEM_DEADLINE_SECONDS": "20", "FLOWER_PORT": "0"}
"""What the pipeline is started with."""


@pytest.fixture(scope="package")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    home = tmp_path_factory.mktemp("pipeline")
    fintrack(home, "up", "--detach", environment=QUICK)
    try:
        yield Pipeline(home, {**QUICK, **parse_env(fintrack(home, "env").stdout)})
    finally:
        fintrack(home, "down", check=False)
