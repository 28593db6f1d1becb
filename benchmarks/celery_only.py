"""The baseline of ``quota.py``: the same requests under Celery's own ``rate_limit`` and nothing else."""

import os

import requests
from celery import Celery
from kombu import Queue

from fintrack_tasks import celeryconfig

app = Celery("celery_only")
app.config_from_object(
    {
        **{name: value for name, value in vars(celeryconfig).items() if name.islower() and not name.startswith("_")},
        "task_queues": [Queue("celery_only")],
        "task_routes": {"celery_only.*": {"queue": "celery_only"}},
        "task_annotations": {"celery_only.fetch": {"rate_limit": os.environ.get("CELERY_ONLY_RATE", "20/s")}},
        "task_default_queue": "celery_only",
        "beat_schedule": {},
    }
)

session = requests.Session()


@app.task(name="celery_only.fetch")
def fetch(symbol):
    session.get(f"{os.environ['YAHOO_FINANCE_BASE_URL']}/v8/finance/chart/{symbol}", timeout=15).close()
