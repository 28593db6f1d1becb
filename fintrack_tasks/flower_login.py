"""Who may log in at Flower: what the operator chose, or else a user and a password that are made once and kept."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.settings import Settings

__all__ = ["checked", "generated", "login_file", "logins"]

_USER: Final = "fintrack"
_REMEDY: Final = "set FLOWER_BASIC_AUTH=user:password (or FLOWER_BASIC_AUTH_FILE)"


def login_file(home: Path) -> Path:
    """Where the made login is kept, readable by its owner alone."""
    return home / "flower.login"


def logins(settings: Settings) -> list[str]:
    """Each ``user:password`` that Flower lets in; never empty.

    :raises ConfigurationError: one is no ``user:password``, or none is set and none can be kept.
    """
    chosen = settings.flower_basic_auth.get_secret_value()
    return checked(chosen.split(",")) if chosen else [generated(settings.fintrack_home)]


def checked(chosen: list[str]) -> list[str]:
    """The logins as they are.

    :raises ConfigurationError: one has no user or no password, or a character that a browser would not send as it is.
    """
    for login in chosen:
        user, _, password = login.partition(":")
        if not (user and password and login.isascii() and login.isprintable()):
            raise ConfigurationError("FLOWER_BASIC_AUTH must be user:password, of ASCII characters")
    return chosen


def generated(home: Path) -> str:
    """The login of this folder, made on first use.

    :raises ConfigurationError: it cannot be read or kept there.
    """
    path = login_file(home)
    try:
        if not path.exists():
            _make(path)
        path.chmod(0o600)  # whatever a copy or an editor left
        return checked([path.read_text(encoding="utf-8").strip()])[0]
    except OSError as error:
        raise ConfigurationError(f"Flower's password cannot be kept in {path}: {error.strerror}; {_REMEDY}") from None
    except (ConfigurationError, UnicodeDecodeError):
        raise ConfigurationError(f"{path} holds no login: remove it, and another one is made; or {_REMEDY}") from None


def _make(path: Path) -> None:
    """Write a new login in one step; where another process was quicker, its own stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{_USER}:{secrets.token_urlsafe(24)}\n")
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
