"""FinTrack tasks: a market-data ETL on Celery workers.

``from fintrack_tasks import app`` is the Celery application; ``celery -A fintrack_tasks worker`` finds it here.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fintrack_tasks.app import app as app

__all__ = ["app"]


class _Package(ModuleType):
    """The package, with the Celery application made when somebody asks for it.

    Celery takes a fifth of a second to import, and most commands and readers do without it. A module's ``__getattr__``
    would not do: the module of the same name takes the attribute over as soon as anything imports it.
    """

    @property
    def app(self) -> object:
        from fintrack_tasks.app import app as application  # noqa: PLC0415  see above

        return application

    @app.setter
    def app(self, module: ModuleType) -> None:
        """The import system hands the module ``fintrack_tasks.app`` over, which stays in ``sys.modules``."""


sys.modules[__name__].__class__ = _Package
