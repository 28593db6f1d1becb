"""The Celery application. What runs is in :mod:`fintrack_tasks.tasks`; how, in ``celeryconfig.py``."""

from __future__ import annotations

from typing import Any

from celery import Celery, signals

from fintrack_tasks.observability.logging import configure_logging
from fintrack_tasks.settings import drop_injected_ports, settings

__all__ = ["app"]

drop_injected_ports()
app = Celery("fintrack_tasks", include=["fintrack_tasks.tasks"])
app.config_from_object("celeryconfig")


@signals.setup_logging.connect
def _configure_logging(**_: Any) -> None:
    """One form of log lines for the tasks, Celery and the libraries; secrets are masked in all of them."""
    configure_logging(settings())
