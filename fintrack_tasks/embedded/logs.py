"""The logs of a local stack: one file for each server and process, kept within bounds, read and followed.

A process writes to its log by a descriptor of its own, which no other can exchange. So a log that has grown is copied
away and cut off where it stands: whoever writes goes on at its new end, for every log is opened to append.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

__all__ = ["KEPT", "LIMIT", "files", "follow", "last_lines", "rotate_oversized"]

LIMIT: Final = 10_000_000
"""Bytes of a log; what is longer becomes NAME.log.1."""
KEPT: Final = 2
"""Older parts that are kept of each log."""

_BLOCK: Final = 65_536


def files(home: Path) -> dict[str, Path]:
    """The logs by name, without their older parts."""
    return {path.stem: path for path in sorted((home / "logs").glob("*.log"))}


def rotate_oversized(home: Path, limit: int = LIMIT) -> list[str]:
    """Cut off what has grown beyond its limit; the names of those logs. A disk that is full takes the older parts."""
    return [name for name, path in files(home).items() if _is_long(path, limit) and _rotate(path)]


def _is_long(path: Path, limit: int) -> bool:
    try:
        return path.stat().st_size > limit
    except OSError:
        return False  # it has just been removed


def _rotate(path: Path) -> bool:
    older = [path.with_name(f"{path.name}.{number}") for number in range(1, KEPT + 1)]
    for part, following in reversed(list(pairwise(older))):
        if part.exists():
            part.replace(following)
    try:
        with (
            path.open("rb") as source,
            os.fdopen(os.open(older[0], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as to,
        ):
            shutil.copyfileobj(source, to, 1 << 20)
            to.flush()
            # What was written since, and then the cut at once: only a line of this very moment can be lost.
            shutil.copyfileobj(source, to, 1 << 20)
            os.truncate(path, 0)
    except OSError:  # no room for a copy: the log itself must not fill the disk
        older[0].unlink(missing_ok=True)
        os.truncate(path, 0)
    return True


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log, oldest first, what was cut off lately included."""
    lines: list[str] = []
    for part in (path, *(path.with_name(f"{path.name}.{number}") for number in range(1, KEPT + 1))):
        if len(lines) < count:
            lines = _tail(part, count - len(lines)) + lines
    return lines


def _tail(path: Path, count: int) -> list[str]:
    try:
        with path.open("rb") as file:
            size, found = file.seek(0, os.SEEK_END), b""
            while size and found.count(b"\n") <= count:
                step = min(_BLOCK, size)
                size -= step
                file.seek(size)
                found = file.read(step) + found
    except FileNotFoundError:
        return []
    return found.decode("utf-8", "replace").splitlines()[-count:] if count else []


def follow(
    paths: dict[str, Path], wait: Callable[[], object] = lambda: time.sleep(0.2)
) -> Iterator[tuple[str, Sequence[str]]]:
    """What is written from now on: the log's name and its new lines, whole ones only; without an end.

    :param wait: the pause between two looks: a file tells nobody that it has grown.
    """
    places = {name: path.stat().st_size for name, path in paths.items()}
    begun = dict.fromkeys(paths, b"")
    while True:
        for name, path in paths.items():
            try:
                with path.open("rb") as file:
                    if file.seek(0, os.SEEK_END) < places[name]:
                        places[name], begun[name] = 0, b""  # it was cut off
                    file.seek(places[name])
                    new = file.read()
                    places[name] += len(new)
            except FileNotFoundError:
                continue
            *whole, begun[name] = (begun[name] + new).split(b"\n")
            if whole:
                yield name, [line.decode("utf-8", "replace") for line in whole]
        wait()
