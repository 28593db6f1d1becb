"""The docker and compose commands, and what happens where they are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.conftest import missing_service

ROOT = Path(__file__).resolve().parents[2]
PASSWORDS = {
    "DB_PASSWORD": "db-password",
    "DB_READER_PASSWORD": "db-reader-password",
    "DB_OWNER_PASSWORD": "db-owner-password",
    "REDIS_PASSWORD": "redispassword",
    "FLOWER_BASIC_AUTH": "user:password",
}
"""What docker-compose.yml refuses to do without."""


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run docker to its end."""
    return subprocess.run(["docker", *arguments], check=check, capture_output=True, text=True, timeout=900)


def compose(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run whichever compose there is over this checkout's file, with no ``.env`` and none of our own settings."""
    command = ["docker", "compose"]
    if not shutil.which("docker") or subprocess.run([*command, "version"], check=False, capture_output=True).returncode:
        command = ["docker-compose"]
        if not shutil.which("docker-compose"):
            missing_service("neither docker compose nor docker-compose is installed")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
    file = str(ROOT / "docker-compose.yml")
    with tempfile.NamedTemporaryFile(suffix=".env") as empty:
        return subprocess.run(
            [*command, "--file", file, "--env-file", empty.name, *arguments],
            check=False,
            capture_output=True,
            text=True,
            env={**kept, **environment},
            timeout=120,
        )
