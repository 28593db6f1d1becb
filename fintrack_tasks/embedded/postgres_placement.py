"""Where PostgreSQL's program and data lie, so that the account it runs as can reach them.

Normally the program stays in its wheel and the data below the stack's folder. Only where root runs the stack below a
folder that others cannot traverse, both move to the folder of
:func:`~fintrack_tasks.embedded.postgres_account.shared_folder`, and a link in the stack's folder points there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from fintrack_tasks.embedded.postgres_account import Account, shared_folder
from fintrack_tasks.embedded.state import locked
from fintrack_tasks.errors import ConfigurationError

__all__ = ["DataPlace", "program_folder"]


class DataPlace:
    """The data folder ``home/name``, or what the link of that name points to."""

    def __init__(self, home: Path, name: str) -> None:
        self._home = home
        self._link = home / name

    @property
    def folder(self) -> Path:
        """The folder itself; it need not exist."""
        return self._link.resolve()

    def set_aside(self) -> Path:
        """Rename an unusable folder, so that a new one can be made and nothing is lost."""
        folder = self.folder
        number = 1
        while (aside := folder.with_name(f"{folder.name}.unusable-{number}")).exists():
            number += 1
        folder.rename(aside)
        return aside

    @contextmanager
    def creating(self, account: Account | None) -> Iterator[Path]:
        """A folder to fill, empty and the account's own, which becomes the data folder when the block ends well."""
        target = self._target(account)
        for left in target.parent.glob(f".{target.name}.new-*"):
            _remove(left)  # by a start that was killed; its processes have been ended
        fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.new-"))
        try:
            if account:
                os.chown(fresh, account.uid, account.gid)
            yield fresh
            fresh.rename(target)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        _sync(target.parent)
        if target != self._link:
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(target)

    def _target(self, account: Account | None) -> Path:
        if account is None or account.can("x", self._home):
            if self._link.is_symlink():
                self._link.unlink()  # it pointed to a folder that is gone
            return self._link
        shared = shared_folder(self._home)
        _clean(shared)
        place = shared / f"{_short_hash(self._home)}-{os.urandom(4).hex()}"
        place.mkdir(mode=0o711)
        (place / "home").write_text(f"{self._home}\n", encoding="utf-8")
        return place / self._link.name


def _clean(shared: Path) -> None:
    """Remove from a temporary folder the data of stacks whose own folder is gone; elsewhere data is never removed."""
    if not shared.is_relative_to(Path(tempfile.gettempdir()).resolve()):
        return
    for note in shared.glob("*/home"):
        with suppress(FileNotFoundError):  # another start cleans at the same moment
            if Path(note.read_text(encoding="utf-8").strip()).exists() or any(map(_is_locked, note.parent.iterdir())):
                continue
            shutil.rmtree(note.parent)


def _is_locked(data: Path) -> bool:
    """Whether the postmaster that wrote its id here may still run."""
    try:
        return bool(psutil.pid_exists(int((data / "postmaster.pid").read_text(encoding="ascii").split()[0])))
    except (OSError, ValueError, IndexError):
        return False


def program_folder(found: Path, version: str, account: Account | None, home: Path) -> Path:
    """The folder of PostgreSQL's programs: the wheel's own, or a copy that the account can reach.

    :raises ConfigurationError: when even the copy cannot be run.
    """
    if account is None or _runs(found, account):
        return found
    package = found.parents[1]
    shared = shared_folder(home)
    copy = shared / f"postgres-{version}-{_short_hash(package)}" / package.name / "pginstall" / "bin"
    with locked(shared):  # other stacks use the same copy
        if not _runs(copy, account):
            _copy(package, copy.parents[2])
    if not _runs(copy, account):
        raise ConfigurationError(f"PostgreSQL cannot be run as user {account.uid} in {copy}; start it as a plain user")
    return copy


def _runs(programs: Path, account: Account) -> bool:
    """Whether the account can execute the programs with their libraries, and read what they share."""
    try:
        for program in ("initdb", "postgres"):
            subprocess.run(  # noqa: S603  a wheel's program, no shell
                [str(programs / program), "--version"],
                check=True,
                capture_output=True,
                cwd="/",
                env={},
                **account.popen_arguments(),
            )
    except (OSError, subprocess.CalledProcessError):
        return False
    return account.can("r", programs.parent / "share" / "postgres.bki")


def _copy(package: Path, target: Path) -> None:
    """Copy the installation beside its libraries, readable by all, in one step."""
    half = Path(tempfile.mkdtemp(dir=target.parent, prefix=".copy-"))
    try:
        skipped = shutil.ignore_patterns("include", "doc", "*.a", "__pycache__")
        shutil.copytree(package / "pginstall", half / package.name / "pginstall", ignore=skipped)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, half / libraries.name)
        for folder in (half, *(path for path in half.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        if target.exists():
            _remove(target)  # a copy that does not run: part of it was cleaned away
        half.rename(target)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _sync(folder: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _short_hash(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:12]
