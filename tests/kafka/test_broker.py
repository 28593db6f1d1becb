"""The real Kafka of these tests: which one it is, and what happens where it cannot run."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.kafka.broker import POM, ROOT, find_jars, find_java

OLD = 'echo "openjdk version \\"11.0.2\\" 2019-01-15" >&2'
STUB = "echo 'Unable to locate a Java Runtime.' >&2; exit 1"  # what macOS has in the place of a Java
OFFLINE = "echo '[ERROR] Non-resolvable import'; exit 1"


def test_the_tested_version_is_the_one_that_compose_runs() -> None:
    names = {"m": "http://maven.apache.org/POM/4.0.0"}
    found = ET.parse(POM).findall("m:dependencies/m:dependency", names)
    versions = {d.findtext("m:artifactId", "", names): d.findtext("m:version", "", names) for d in found}
    image = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]["kafka"]["image"]

    assert image == f"apache/kafka:{versions['kafka_2.13']}"


@pytest.fixture(params=["", "true"], ids=["on a laptop", "in CI"])
def refusal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[BaseException]:
    """What ends a test for want of a service."""
    monkeypatch.setenv("CI", request.param)
    return pytest.fail.Exception if request.param else pytest.skip.Exception


def put(folder: Path, name: str, script: str | None) -> None:
    if script is not None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("script", "reason"),
    [(None, "no java was found"), (OLD, "says: openjdk version .11.0.2"), (STUB, "says: Unable to locate")],
)
def test_without_a_java_that_is_new_enough_such_tests_skip_and_fail_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: type[BaseException], script: str | None, reason: str
) -> None:
    put(tmp_path, "java", script)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(refusal, match=f"a real Kafka needs Java 17 or later.*{reason}"):
        find_java()


@pytest.mark.parametrize(
    ("script", "reason"), [(None, "no mvn was found"), (OFFLINE, "did not bring Kafka: .ERROR. Non-resolvable import")]
)
def test_without_a_maven_that_brings_the_jars_such_tests_skip_and_fail_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: type[BaseException], script: str | None, reason: str
) -> None:
    """And nothing is kept that a later run would take for the jars."""
    put(tmp_path, "mvn", script)
    monkeypatch.setenv("PATH", str(tmp_path))
    for _ in range(2):
        with pytest.raises(refusal, match=reason):
            find_jars(tmp_path / "cache")


def test_jars_that_are_there_need_no_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "mvn", 'for word; do case $word in -DoutputDirectory=*) mkdir "${word#*=}";; esac; done')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    brought = find_jars(tmp_path / "cache")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))

    assert brought.is_dir()
    assert find_jars(tmp_path / "cache") == brought
