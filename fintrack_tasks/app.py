"""The Celery application. What runs is in :mod:`fintrack_tasks.tasks`; how, in ``celeryconfig.py``."""

from __future__ import annotations

import sys
from typing import Any

from celery import Celery, signals
from celery.loaders.app import AppLoader

from fintrack_tasks.observability.logging import configure_logging
from fintrack_tasks.settings import drop_injected_ports, settings

__all__ = ["app"]


class _Loader(AppLoader):
    """Imports the application's own modules by their names alone: Celery's looks in the working folder first."""

    def import_from_cwd(self, module: str, imp: Any = None, package: str | None = None) -> Any:
        return self.import_module(module, package=package)

    def import_default_modules(self) -> Any:
        """As Celery's, in a process of this application: worker, beat, Flower, ``celery inspect``."""
        from fintrack_tasks import plain_messages  # noqa: PLC0415  a program that only sends does not need it

        plain_messages.install()
        if "flower.app" in sys.modules:
            _guard().install()
        return super().import_default_modules()


drop_injected_ports()
app = Celery("fintrack_tasks", include=["fintrack_tasks.tasks"], loader=_Loader)
# The file beside the package in a checkout, of which the package holds a link, and a wheel a copy.
app.config_from_object("fintrack_tasks.celeryconfig")


@signals.setup_logging.connect
def _configure_logging(**_: Any) -> None:
    """One form of log lines for the tasks, Celery and the libraries; secrets are masked in all of them."""
    configure_logging(settings())


def _guard() -> Any:
    from fintrack_tasks import flower_guard  # noqa: PLC0415  it needs Flower and Tornado, which few processes load

    return flower_guard


if "flower.app" in sys.modules:  # Celery's command loads it before it imports the application
    _guard().install()
    _guard().set_defaults()
