"""The stages of the pipeline with a key of every provider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fintrack_tasks.sandbox import Running
from tests.fixtures_stages import Stages
from tests.pipeline.keyed import KEYS, UNHURRIED, Begin


@pytest.fixture
def begin(make_stages: Callable[..., Stages], market: Running, request: pytest.FixtureRequest) -> Begin:
    """The stages with every key set and no quota of our own, but for the variables that are given."""

    def made(variables: dict[str, str] | None = None, **gate: Any) -> Stages:
        return make_stages(request.module.NOW, {**KEYS, **UNHURRIED, **(variables or {})}, market, **gate)

    return made
