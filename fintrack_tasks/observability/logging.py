"""Structured log lines, one form for our own events and for the libraries', with secrets masked in all of them."""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.observability.masking import Masker, secrets_of
from fintrack_tasks.settings import Settings

__all__ = ["configure_logging"]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What moves a terminal's cursor, ends a line or turns the direction of writing: a text from outside that holds it
could forge a line. Tracebacks keep their line breaks, but every line of theirs is indented."""
_TRACES: Final = ("exception", "stack")
_FILE_BYTES: Final = 20_000_000
_FILES: Final = 5


def configure_logging(settings: Settings) -> None:
    """Send every log line, ours and the libraries', through one formatter. Calling it again replaces the former."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    if settings.simulated:
        shared.append(_simulated)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(settings)],
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _handler(settings.log_file)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(settings.log_level)
    for name in ("urllib3", "kombu", "amqp", "redis"):  # their lines below a warning are about every request
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    for name in ("celery.worker.strategy", "celery.app.trace"):  # our own tasks say what became of each item
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _renderers(settings: Settings) -> list[Processor]:
    """What makes text of an event: secrets masked, then JSON, or one line for a console."""
    masker = Masker(secrets_of(settings))

    def mask(_: Any, __: str, event: EventDict) -> EventDict:
        # Names that structlog itself uses begin with an underscore; they are removed before rendering.
        return {k: v if k.startswith("_") else masker.value(v, k) for k, v in event.items()}

    if settings.log_format == "json":  # JSON has escapes of its own
        return [mask, structlog.processors.JSONRenderer(default=str)]
    colors = sys.stderr.isatty() and settings.log_file is None
    return [mask, _on_one_line, structlog.dev.ConsoleRenderer(colors=colors)]


def _simulated(_: Any, __: str, event: EventDict) -> EventDict:
    """A line of a process that works on the local market's prices, wherever lines are collected, says so."""
    event["simulated"] = True
    return event


def _on_one_line(_: Any, __: str, event: EventDict) -> EventDict:
    """Every control character spelled out, and tracebacks indented: no text can pass for a line of its own."""
    for name, value in event.items():
        if isinstance(value, str) and not name.startswith("_"):
            indented = name in _TRACES
            lines = [_CONTROL.sub(_spelled, line) for line in (value.split("\n") if indented else [value])]
            event[name] = "\n".join(f"    {line}" for line in lines) if indented else lines[0]
    return event


def _spelled(control: re.Match[str]) -> str:
    return control[0].encode("unicode_escape").decode("ascii")


class _PrivateFileHandler(logging.handlers.RotatingFileHandler):
    """Files that nobody else on the machine can read: they name symbols, hosts and what went wrong."""

    def _open(self) -> Any:
        file = open(self.baseFilename, self.mode, encoding=self.encoding, opener=_private)  # noqa: SIM115  kept open
        mode = os.fstat(file.fileno()).st_mode
        if mode & 0o007:  # an operator may let a group read what an earlier version left; the rest of the world not
            os.fchmod(file.fileno(), mode & 0o770)
        return file


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _handler(path: Path | None) -> logging.Handler:
    if path is None:
        return logging.StreamHandler(sys.stderr)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _PrivateFileHandler(path, maxBytes=_FILE_BYTES, backupCount=_FILES, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"LOG_FILE: cannot write {path}: {error.strerror}") from None
