"""Hints for a command that looked at another local stack, or other servers, than the one that runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fintrack_tasks.embedded import Stack
from fintrack_tasks.embedded.process import find_homes
from fintrack_tasks.errors import FinTrackError, OutageError, UsageError
from fintrack_tasks.settings import environment, load_settings

__all__ = ["hint", "message_with_hint", "refuse_second", "replace_remedy", "start_or_hint"]

_LOGINS: Final = ("DB_USER", "DB_PASSWORD", "DB_READER_USER", "DB_READER_PASSWORD")
_SERVERS: Final = ("DB_HOST", "DB_PORT", "DB_NAME", *_LOGINS, "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS")
_UNNAMED: Final = ".fintrack"


def message_with_hint(error: FinTrackError) -> str:
    """The error in one line. Where another stack runs, it says how to reach that one instead of starting one."""
    found = hint() if isinstance(error, OutageError) else None
    if found is None or not isinstance(error, OutageError):
        return str(error)
    return replace_remedy(str(error), found)


def replace_remedy(said: str, found: str) -> str:
    """A message about an outage, its remedy (start a stack) replaced by the hint ``found``."""
    return f"{said.partition(f'; {OutageError.START}')[0]}; {found}"


def start_or_hint() -> str:
    """The remedy where no stack runs in the configured folder."""
    return hint() or OutageError.START


def hint() -> str | None:
    """Where the stack is that a command did not reach; ``None`` where there is none, or that one was asked."""
    known = environment()
    home = Path(load_settings().fintrack_home)
    ours = Stack(home).environment()
    hidden = [name for name in _SERVERS if name in ours and known.get(name) != ours[name]]
    if hidden:
        by = "this shell" if any(os.environ.get(name) == known.get(name) for name in hidden) else ".env"
        return (
            f"{by} names other servers ({', '.join(hidden)}) than those of the local stack in {home}; point the shell"
            ' at it: eval "$(fintrack env)"'
        )
    if ours or known.get("FINTRACK_HOME"):
        return None
    return next((f"a stack runs in {other}; name it: export FINTRACK_HOME={other}" for other in _others(home)), None)


def refuse_second(home: Path) -> None:
    """Say that a stack runs in another folder, before a second one is started for want of a name. One whose folder was
    named when it was started is meant to stand beside others.

    :raises UsageError: no folder was named, none of a stack is here, and one runs elsewhere.
    """
    if environment().get("FINTRACK_HOME") or (home / "servers.json").exists():
        return
    for other in _others(home):
        if other.name != _UNNAMED:
            continue
        raise UsageError(
            f"a stack runs in {other}; name it: export FINTRACK_HOME={other}; or start a second one here:"
            f" FINTRACK_HOME={home} fintrack up"
        )


def _others(home: Path) -> list[Path]:
    """The folders in which a whole stack of this user runs, apart from one; those that nobody named come first."""
    found = [other for other in find_homes() if other != home.resolve() and Stack(other).mode]
    return sorted(found, key=lambda other: (other.name != _UNNAMED, other))
