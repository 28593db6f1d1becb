"""The peer of ``quotes.py``: four empty Celery tasks per symbol under the same settings, queues and pools.

What this app reaches is what Celery, Redis and this machine allow; the pipeline is measured against it.
"""

from celery import Celery
from kombu import Queue

from fintrack_tasks import celeryconfig

app = Celery("empty_chain")
app.config_from_object(
    {
        **{name: value for name, value in vars(celeryconfig).items() if name.islower() and not name.startswith("_")},
        "task_queues": [Queue("empty.fetch"), Queue("empty.etl")],
        "task_routes": {"empty.fetch": {"queue": "empty.fetch"}, "empty.*": {"queue": "empty.etl"}},
        "task_annotations": {},
        "beat_schedule": {},
        "task_default_queue": "empty.etl",
    }
)

DONE = "fintrack:bench:empty-chain-done"


@app.task(name="empty.fetch")
def fetch(message):
    return message


@app.task(name="empty.validate")
def validate(message):
    return message


@app.task(name="empty.transform")
def transform(message):
    return message


@app.task(name="empty.load")
def load(message):
    """The last one counts, so that the end is seen."""
    with app.pool_acquire() if hasattr(app, "pool_acquire") else app.pool.acquire(block=True) as connection:
        connection.default_channel.client.incr(DONE)
