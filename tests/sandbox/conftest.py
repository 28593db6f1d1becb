"""Sandboxes that really serve, with a clock that stands still: Tuesday 2026-11-24, 11:20:17 in New York."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

import fintrack_tasks.sandbox as package
from fintrack_tasks.sandbox import Running, running

NOW = datetime(2026, 11, 24, 16, 20, 17, 250_000, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]
DATA = Path(package.__file__).parent / "data"

Get = Callable[..., requests.Response]


@pytest.fixture(scope="session")
def now() -> datetime:
    return NOW


@pytest.fixture(scope="package")
def market_server() -> Iterator[Running]:
    """For reading only: no test may switch a fault on, or reset the count, of this one."""
    with running(seed=7, clock=lambda: NOW) as server:
        yield server


@pytest.fixture
def fresh() -> Iterator[Running]:
    """A sandbox of the test's own."""
    with running(seed=7, clock=lambda: NOW) as server:
        yield server


@pytest.fixture(scope="package")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def get(market_server: Running, session: requests.Session) -> Get:
    """GET a path of the shared sandbox."""

    def ask(path: str, **params: object) -> requests.Response:
        return session.get(f"{market_server.url}/{path}", params=params, timeout=30)

    return ask


@pytest.fixture(scope="session")
def bundled() -> Callable[[str], list[dict[str, str]]]:
    """The rows of a bundled file as its text, read without the code under test."""

    def rows(name: str) -> list[dict[str, str]]:
        with gzip.open(DATA / name, "rt", newline="") as lines:
            return list(csv.DictReader(lines))

    return rows


@pytest.fixture(scope="session")
def samples() -> Path:
    """The recorded answers of the real providers, which lie beside a developer's checkout."""
    folder = ROOT.parent / "shared" / "provider-samples"
    if not folder.is_dir():
        pytest.skip(f"no recorded answers at ../shared/provider-samples beside {ROOT.name}")
    return folder


@pytest.fixture
def chart(get: Get) -> Callable[..., dict[str, Any]]:
    """The one result of a chart."""

    def ask(symbol: str, **params: object) -> dict[str, Any]:
        answer = get(f"yahoo_finance/v8/finance/chart/{symbol}", **params)
        assert answer.status_code == 200, answer.text[:300]
        body = answer.json()["chart"]
        assert body["error"] is None
        found: dict[str, Any] = body["result"][0]
        return found

    return ask
