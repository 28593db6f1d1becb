"""Files that hold settings: a secret by itself (``NAME_FILE``), and lines of ``NAME=value`` (``.env``)."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from fintrack_tasks.errors import ConfigurationError

__all__ = ["read_dotenv", "read_secret"]

_LONGEST_FILE: Final = 1_000_000
"""Bytes of the longest file that is read."""


def read_secret(variable: str, path: str) -> str:
    try:
        return _short_text(Path(path), variable).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{variable}: cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}"
        ) from None


def read_dotenv(path: Path) -> dict[str, str]:
    """The variables of a dotenv file; empty where there is none.

    :raises ConfigurationError: it cannot be read, or is too long.
    """
    if not path.is_file():
        return {}
    try:
        text = _short_text(path, path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}") from None
    return {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value is not None}


def _short_text(path: Path, what: str) -> str:
    """The text of a file of settings, of bounded length: a device or an archive in its place is not read to its end.

    :raises ConfigurationError: the file is too long.
    """
    with path.open("rb") as file:
        text = file.read(_LONGEST_FILE + 1)
    if len(text) > _LONGEST_FILE:
        raise ConfigurationError(f"{what}: {path} is longer than {_LONGEST_FILE:,} bytes, no file of settings")
    return text.decode("utf-8")
