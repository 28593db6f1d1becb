"""docker-compose.yml is accepted by compose, and what it starts runs, is found healthy, and stops in its grace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from fintrack_tasks import celeryconfig
from tests.docker.engine import PASSWORDS, compose, docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

WORKERS = ("worker-fetch", "worker-etl", "worker-ops", "worker-publish")
ROLES = (*WORKERS, "beat", "flower")
SERVERS = ("postgres", "redis", "kafka")


def test_every_service_of_the_design_is_there(services: dict[str, Any]) -> None:
    assert set(services) == {*SERVERS, "migrate", *ROLES}


@pytest.mark.parametrize("left_out", sorted(PASSWORDS))
def test_without_a_password_compose_refuses_and_names_it(left_out: str) -> None:
    told = compose("config", environment={name: value for name, value in PASSWORDS.items() if name != left_out})
    assert told.returncode != 0
    assert "set it in .env" in told.stderr


def test_ports_are_published_on_loopback_only(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    for port in published:
        address = port["host_ip"] if isinstance(port, dict) else port
        assert str(address).startswith("127.0.0.1"), port


def test_every_service_can_be_scaled_or_named_by_compose(services: dict[str, Any]) -> None:
    assert not [name for name, service in services.items() if "container_name" in service]


def test_every_service_that_stays_has_a_health_check_and_restarts(services: dict[str, Any]) -> None:
    for name in (*SERVERS, *ROLES):
        assert services[name]["healthcheck"]["test"], name
        assert services[name]["restart"] == "unless-stopped", name


def test_nothing_of_ours_starts_before_the_schema_and_the_servers_are_ready(services: dict[str, Any]) -> None:
    for name in ROLES:
        needs = {server: need["condition"] for server, need in services[name]["depends_on"].items()}
        assert needs == {
            "migrate": "service_completed_successfully",
            "redis": "service_healthy",
            "kafka": "service_healthy",
        }
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_the_owner_of_the_database_is_known_to_who_migrates_alone(services: dict[str, Any]) -> None:
    told = {name for name, service in services.items() if "db-owner-password" in str(service.get("environment"))}
    assert told == {"postgres", "migrate"}
    for name in ("migrate", *ROLES):
        environment = services[name]["environment"]
        assert environment["DB_USER"] == "fintrack_writer_login"
        assert environment["DB_READER_USER"] == "fintrack_reader_login"


def test_the_workers_serve_every_queue(services: dict[str, Any]) -> None:
    served: set[str] = set()
    for name in WORKERS:
        words = _words(services[name]["command"])
        served.update(words[words.index("-Q") + 1].split(","))
    assert served == {queue.name for queue in celeryconfig.task_queues}


def test_the_grace_is_longer_than_a_soft_shutdown(services: dict[str, Any]) -> None:
    for name in WORKERS:
        assert services[name]["stop_grace_period"] == "40s"
    assert celeryconfig.worker_soft_shutdown_timeout < 40


@pytest.fixture(scope="module")
def prepared(image: str, stack: dict[str, str], owner_variables: dict[str, str]) -> dict[str, str]:
    """The embedded servers, with the schema as the image's own ``fintrack db upgrade`` makes it."""
    run = ["run", "--rm", "--network", "host", *_options(owner_variables)]
    done = docker(*run, image, "fintrack", "db", "upgrade", check=False)
    assert "schema is at" in done.stdout, done.stderr
    return stack


@pytest.fixture
def container(
    request: pytest.FixtureRequest, image: str, prepared: dict[str, str], services: dict[str, Any]
) -> Iterator[tuple[str, list[str]]]:
    """A container with a service's own command against the embedded servers, and the service's health command."""
    role: str = request.param
    environment = dict(prepared)
    if role == "flower":
        environment |= {"FLOWER_BASIC_AUTH": "user:password"}
    command = _words(services[role]["command"])
    started = docker("run", "--detach", "--init", "--network", "host", *_options(environment), image, *command)
    identity = started.stdout.strip()
    check = [str(word).replace("$$", "$") for word in services[role]["healthcheck"]["test"]]
    yield identity, ["sh", "-c", check[1]] if check[0] == "CMD-SHELL" else check[1:]
    docker("rm", "--force", identity, check=False)


@pytest.mark.integration
@pytest.mark.parametrize("container", ROLES, indirect=True)
def test_a_service_becomes_healthy_and_stops_in_its_grace(container: tuple[str, list[str]]) -> None:
    identity, health = container
    deadline = time.monotonic() + 90
    while (asked := docker("exec", identity, *health, check=False)).returncode:
        logs = docker("logs", identity, check=False)
        assert docker("inspect", "--format", "{{.State.Running}}", identity).stdout.strip() == "true", logs.stderr[
            -3000:
        ]
        assert time.monotonic() < deadline, asked.stdout + asked.stderr + logs.stderr[-3000:]
    docker("stop", "--time", "40", identity)
    code = int(docker("inspect", "--format", "{{.State.ExitCode}}", identity).stdout)
    assert code != 137, "it had to be killed"


def _options(environment: dict[str, str]) -> list[str]:
    return [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]


def _words(command: str | list[str]) -> list[str]:
    return command.split() if isinstance(command, str) else command
