"""FinTrack tasks: a market-data ETL on Celery workers."""
