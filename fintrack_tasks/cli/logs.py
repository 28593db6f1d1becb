"""``fintrack logs``: what the servers and processes of the local stack have said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from fintrack_tasks.cli.output import console
from fintrack_tasks.cli.stack_hints import start_or_hint
from fintrack_tasks.embedded.logs import files, follow, last_lines
from fintrack_tasks.embedded.stack import Stack
from fintrack_tasks.errors import UsageError
from fintrack_tasks.settings import load_settings

__all__ = ["logs"]


def _names(incomplete: str) -> list[str]:
    return [name for name in files(Stack(load_settings().fintrack_home).home) if name.startswith(incomplete)]


def logs(
    name: Annotated[
        str | None, typer.Argument(help="Such as etl1, ops, beat or postgres; default: all.", autocompletion=_names)
    ] = None,
    followed: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last ones of each.", min=0)] = 50,
) -> None:
    """Show what the servers and processes of the local stack have said."""
    home = Stack(load_settings().fintrack_home).home
    found = files(home)
    if not found:
        raise UsageError(f"there are no logs in {home / 'logs'}; {start_or_hint()}")
    if name is not None and name not in found:
        raise UsageError(f"no log {name!r:.40}; there are {', '.join(found)}")
    chosen = found if name is None else {name: found[name]}
    width = max(map(len, chosen)) if name is None else 0
    for each, path in chosen.items():
        _print(each, last_lines(path, lines), width)
    if followed:
        for each, new in follow(chosen):
            _print(each, new, width)


def _print(name: str, lines: Sequence[str], width: int) -> None:
    before = f"{name:<{width}} | " if width else ""
    for line in lines:
        console.print(f"{before}{line}", highlight=False, soft_wrap=True)
