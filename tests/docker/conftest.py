"""The engine, the image and the compose file, each looked at once for all tests of this folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.conftest import missing_service
from tests.docker.engine import PASSWORDS, ROOT, compose, docker


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine that answers; where there is none, a skip, in CI a failure."""
    if shutil.which("docker") is None or docker("info", check=False).returncode:
        missing_service("no Docker engine answers; bash .ci/docker-engine start FOLDER starts one")


@pytest.fixture(scope="session")
def image(engine: None) -> Iterator[str]:
    """The image of this checkout's Dockerfile."""
    tag = f"fintrack-tasks:test-{os.getpid()}"
    # The host's network: an engine without a bridge builds as well, and nothing of it stays in the image.
    built = docker("build", "--network", "host", "--tag", tag, str(ROOT), check=False)
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    yield tag
    docker("image", "rm", "--force", tag, check=False)


@pytest.fixture(scope="session")
def image_config(image: str) -> dict[str, Any]:
    """What the image declares: user, health check, command, environment."""
    [inspected] = json.loads(docker("image", "inspect", image).stdout)
    config: dict[str, Any] = inspected["Config"]
    return config


@pytest.fixture(scope="session")
def services() -> dict[str, Any]:
    """The services of docker-compose.yml as compose itself reads them."""
    told = compose("config", environment=PASSWORDS)
    assert told.returncode == 0, told.stderr
    found: dict[str, Any] = yaml.safe_load(told.stdout)["services"]
    return found
