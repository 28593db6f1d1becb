"""``python -P -m fintrack_tasks.celery_command worker|beat|flower ...``: ``celery -A fintrack_tasks``, from any folder.

Celery's own command looks for the application in the working folder first. Here it is imported before Celery looks, and
with ``-P`` the interpreter looks there for nothing either.
"""

from __future__ import annotations

import sys

from celery.bin.celery import main as celery_main  # before the application, which guards the Flower that it brings

from fintrack_tasks.app import app

__all__ = ["main"]


def main() -> None:
    """Run Celery's command on this application."""
    if not {"-A", "--app"} & set(sys.argv):
        sys.argv[1:1] = ["-A", app.main]
    sys.exit(celery_main())


if __name__ == "__main__":
    main()
