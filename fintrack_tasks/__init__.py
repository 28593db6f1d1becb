"""FinTrack tasks: a market-data ETL on Celery workers.

``from fintrack_tasks import app`` is the Celery application; ``celery -A fintrack_tasks worker`` finds it here.
"""

from fintrack_tasks.app import app

__all__ = ["app"]
