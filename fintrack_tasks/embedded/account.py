"""Whom PostgreSQL runs as. It refuses root, so that root hands it to an account without rights.

That account must reach the program and the data. What lies below a folder that it cannot pass (``/root`` is 0700) is
kept in a folder of the system instead: ``/var/lib/fintrack``, or the temporary folder when the stack's own folder is
temporary.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

__all__ = ["Account", "shared_folder"]

_NOBODY: Final = 65534
_SYSTEM_FOLDER: Final = Path("/var/lib/fintrack")


@dataclass(frozen=True)
class Account:
    """A user and group by number. Made only by root; a plain user runs everything as itself."""

    uid: int
    gid: int

    @classmethod
    def for_data(cls, data: Path) -> Self | None:
        """Whom the server over ``data`` runs as: its owner, ``nobody`` for new data; ``None`` unless we are root."""
        if os.geteuid() != 0:
            return None
        if data.is_dir() and (status := data.stat()).st_uid != 0:
            return cls(status.st_uid, status.st_gid)
        try:
            entry = pwd.getpwnam("nobody")
        except KeyError:
            return cls(_NOBODY, _NOBODY)
        return cls(entry.pw_uid, entry.pw_gid)

    def popen_arguments(self) -> dict[str, Any]:
        """The arguments of :class:`subprocess.Popen` that start a child as this account, in no other group."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can(self, how: str, path: Path) -> bool:
        """Whether the account may read (``r``), write (``w``) or pass or execute (``x``) what lies at ``path``.

        It is tried, not computed: access lists and mounts have their say as well.
        """
        program = shutil.which("test", path=os.defpath) or "/usr/bin/test"
        tried = subprocess.run([program, f"-{how}", str(path)], check=False, cwd="/", **self.popen_arguments())  # noqa: S603
        return tried.returncode == 0


def shared_folder(home: Path) -> Path:
    """A folder of root's own that every account may pass, for what cannot stay below ``home``.

    :raises OSError: when no such folder can be made.
    """
    temporary = Path(tempfile.gettempdir()).resolve()
    fallback = temporary / "fintrack-root"
    for folder in (fallback,) if home.is_relative_to(temporary) else (_SYSTEM_FOLDER, fallback):
        try:
            folder.mkdir(mode=0o711, exist_ok=True)
        except OSError:
            continue  # a read-only system: the temporary folder remains
        if _is_ours_alone(folder):
            folder.chmod(0o711)
            return folder
    made = Path(tempfile.mkdtemp(prefix="fintrack-root-"))
    made.chmod(0o711)
    return made


def _is_ours_alone(folder: Path) -> bool:
    """Nobody else may have laid the folder or may write to it, or they would choose the program that runs."""
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
