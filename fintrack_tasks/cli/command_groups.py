"""Typer groups: one with plain help, and one whose commands are imported only when they are called.

Every command brings its own libraries along (PostgreSQL's client, Celery, NumPy); the list of commands needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["Commands", "LazyGroup", "group"]

SETTINGS: Final = {"help_option_names": ["-h", "--help"]}


class _PlainFlags:
    """A flag is shown by its name alone, without the type of a value that it does not take."""

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]  # the command beside which this is inherited
        for param in params:
            if getattr(param, "is_flag", False) and param.metavar is None:
                param.metavar = ""
        return params


class PlainCommand(_PlainFlags, TyperCommand):
    """A command."""


class PlainGroup(_PlainFlags, TyperGroup):
    """A group of commands."""


class Commands(typer.Typer):
    """A Typer application whose commands show plain flags."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """As Typer's."""
        options.setdefault("cls", PlainCommand)
        return super().command(name, **options)


def group(text: str) -> Commands:
    """A group of commands that shows its help when none of them is named."""
    return Commands(help=text, cls=PlainGroup, no_args_is_help=True, add_completion=False)


class _LazyCommands(Mapping[str, Any]):
    """Commands by name, each imported when it is looked up. The names alone import nothing."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            module, _, attribute = self._places[name].partition(":")
            self._known[name] = _made(name, getattr(import_module(f"fintrack_tasks.cli.{module}"), attribute))
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _made(name: str, found: Any) -> Any:
    """Typer's command of a function, or its group of an application of its own."""
    if isinstance(found, typer.Typer):
        made: Any = typer.main.get_group(found)
    else:
        app = Commands(add_completion=False)
        app.command(name)(found)
        made = typer.main.get_command(app)
    made.name = name
    return made


class LazyGroup(PlainGroup):
    """A group of commands that are imported when they are called, or looked at one by one.

    :cvar places: command to ``module:attribute`` below ``fintrack_tasks.cli``, in the order of the list.
    :cvar lines: command to its line in the list: the first of its own help, held equal by a test.
    """

    places: Mapping[str, str]
    lines: Mapping[str, str]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands: Any = _LazyCommands(self.places)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in their order."""
        return list(self.commands)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """As Typer's, from the lines alone."""
        with self._listed():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """As Typer's, from the lines alone."""
        with self._listed():
            return super().shell_complete(ctx, incomplete)

    @contextmanager
    def _listed(self) -> Iterator[None]:
        whole = self.commands
        self.commands = {name: TyperCommand(name, help=line) for name, line in self.lines.items()}
        try:
            yield
        finally:
            self.commands = whole
