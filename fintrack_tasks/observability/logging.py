"""Structured log lines, one form for our own events and for the libraries', with secrets masked in all of them."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.observability.masking import Masker, secrets_of
from fintrack_tasks.settings import Settings

__all__ = ["configure_logging"]

_FILE_BYTES: Final = 20_000_000
_FILES: Final = 5


def configure_logging(settings: Settings) -> None:
    """Send every log line, ours and the libraries', through one formatter. Calling it again replaces the former."""
    masker = Masker(secrets_of(settings))
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]

    def mask(_: Any, __: str, event: EventDict) -> EventDict:
        # Names that structlog itself uses begin with an underscore; they are removed before rendering.
        return {k: v if k.startswith("_") else masker.value(v, k) for k, v in event.items()}

    renderer: Processor = (
        structlog.processors.JSONRenderer(default=str)
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty() and settings.log_file is None)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, mask, renderer],
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


def _handler(path: Path | None) -> logging.Handler:
    if path is None:
        return logging.StreamHandler(sys.stderr)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return logging.handlers.RotatingFileHandler(path, maxBytes=_FILE_BYTES, backupCount=_FILES, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"LOG_FILE: cannot write {path}: {error.strerror}") from None
