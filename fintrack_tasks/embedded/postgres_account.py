"""The system account that PostgreSQL runs as where we are root: PostgreSQL refuses to run as root.

It is a system account that is made when it is first needed, since ``nobody`` is shared: whoever else runs as that could
read the data and stop the server. Only where no account can be made (a read-only system, no ``useradd``) it is
``nobody`` after all; ``initdb`` refuses a number without a name.

The account must reach the program and the data. What lies below a folder that it cannot pass (``/root`` is 0700) is
kept in a folder of the system instead: ``/var/lib/fintrack``, or the temporary folder when the stack's own folder is
temporary.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

__all__ = ["Account", "shared_folder"]

_NAME: Final = "fintrack-postgres"
_NOBODY: Final = 65534
_SYSTEM_PATH: Final = "/usr/sbin:/sbin:/usr/bin:/bin"
_SYSTEM_FOLDER: Final = Path("/var/lib/fintrack")


@dataclass(frozen=True)
class Account:
    """A user and group by number. Made only by root; a plain user runs everything as itself."""

    uid: int
    gid: int

    @classmethod
    def for_data(cls, data: Path) -> Self | None:
        """Whom the server over ``data`` runs as: its owner, our own for new data; ``None`` unless we are root."""
        if os.geteuid() != 0:
            return None
        if data.is_dir() and (status := data.stat()).st_uid != 0:
            return cls(status.st_uid, status.st_gid)
        return cls.own()

    @classmethod
    def own(cls) -> Self:
        """The system account of our name, made where there is none; ``nobody`` where none can be made."""
        entry = _entry(_NAME) or _added(_NAME) or _entry("nobody")
        return cls(entry.pw_uid, entry.pw_gid) if entry else cls(_NOBODY, _NOBODY)

    @property
    def is_shared(self) -> bool:
        """Whether it is ``nobody``, as whom anything may run."""
        entry = _entry("nobody")
        return self.uid == (entry.pw_uid if entry else _NOBODY)

    def adopt(self, folder: Path) -> None:
        """Make the folder and all in it the account's own. What it links to elsewhere stays as it is, also where a link
        is put there meanwhile."""
        for _, folders, files, place in os.fwalk(folder, topdown=False):
            for name in (*folders, *files):
                os.chown(name, self.uid, self.gid, dir_fd=place, follow_symlinks=False)
        os.chown(folder, self.uid, self.gid)  # last: until then the next start does it again

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


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _added(name: str) -> pwd.struct_passwd | None:
    """Add a system account that cannot log in, with a group of its own; ``None`` where that cannot be done."""
    useradd, adduser, addgroup = (
        shutil.which(program, path=_SYSTEM_PATH) for program in ("useradd", "adduser", "addgroup")
    )
    if useradd:
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        commands = [[useradd, *options, "--shell", "/usr/sbin/nologin", name]]
    elif adduser and addgroup:  # BusyBox
        options = ["-S", "-D", "-H", "-h", "/nonexistent", "-s", "/sbin/nologin"]
        commands = [[addgroup, "-S", name], [adduser, *options, "-G", name, name]]
    else:
        return None
    with _alone():
        for command in commands if _entry(name) is None else ():
            subprocess.run(command, check=False, capture_output=True, cwd="/", env={"PATH": _SYSTEM_PATH})  # noqa: S603
        return _entry(name)


@contextmanager
def _alone() -> Iterator[None]:
    """Two ``useradd`` of one name at once make it twice, one over the other: only one start of ours may try."""
    folder = os.open("/etc", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


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
