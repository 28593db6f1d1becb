"""The Celery tasks. ``from fintrack_tasks.tasks import fetch_market_data; fetch_market_data.delay(["AAPL"])``."""

from fintrack_tasks.tasks import heartbeats as heartbeats  # registers what each worker's main loop does
from fintrack_tasks.tasks import prefork_pool as prefork_pool  # lets the pool outlive a child that ends at a bad time
from fintrack_tasks.tasks import shutdown as shutdown  # bounds how long each worker takes to end
from fintrack_tasks.tasks.fx_rates import fetch_fx_rates
from fintrack_tasks.tasks.jobs import fetch_historical_market_data, fetch_market_data, fetch_market_index_data
from fintrack_tasks.tasks.maintenance import cleanup, reconcile
from fintrack_tasks.tasks.publish import publish
from fintrack_tasks.tasks.quality import measure_quality, train_anomaly_models

__all__ = [
    "cleanup",
    "fetch_fx_rates",
    "fetch_historical_market_data",
    "fetch_market_data",
    "fetch_market_index_data",
    "measure_quality",
    "publish",
    "reconcile",
    "train_anomaly_models",
]
