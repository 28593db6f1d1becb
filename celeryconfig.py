"""Broker, queues, routes, rate limits, acknowledgements and the beat schedule: declarations only.

Each number has its reason beside it. Values of a deployment (addresses, keys, quotas) come from the environment by
way of :mod:`fintrack_tasks.settings`; see ``.env.example``.
"""

from celery.schedules import crontab
from kombu.entity import Queue

from fintrack_tasks.fetch import providers
from fintrack_tasks.fetch.quota import limits
from fintrack_tasks.settings import settings

_settings = settings()

# --- Broker: Redis -------------------------------------------------------------------------------------------------
broker_url = _settings.redis_url.get_secret_value()
broker_connection_retry_on_startup = True
# A worker waits for its broker however long it is away, and survives what a full or read-only one refuses.
broker_connection_max_retries = None
broker_channel_error_retry = True
# Longer than the longest task and the longest countdown, or a message that is still held would be delivered twice.
_VISIBILITY_SECONDS = 1800
broker_transport_options = {
    "visibility_timeout": _VISIBILITY_SECONDS,
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 30,
    "global_keyprefix": "fintrack:",
    # Two lists for each queue: what goes on (tasks/ingest.py) before what is new.
    "priority_steps": [0, 5],
}
task_default_priority = 5
result_backend = broker_url
# With rediss:// all clients of Redis verify the server in the same way: Celery's two, RedBeat's and Flower's.
broker_use_ssl = redis_backend_use_ssl = redbeat_redis_use_ssl = _settings.redis_tls
result_backend_transport_options = {
    "visibility_timeout": _VISIBILITY_SECONDS,
    "global_keyprefix": "fintrack:",
}
# The ledger in PostgreSQL keeps outcomes; a result is stored only for a caller who waits (the dispatch tasks).
task_ignore_result = True
result_expires = 600

# --- Messages: JSON only -------------------------------------------------------------------------------------------
task_serializer = "json"
result_serializer = "json"
event_serializer = "json"
accept_content = ["json"]
result_accept_content = ["json"]
timezone = "UTC"
enable_utc = True

# --- Nothing is lost -----------------------------------------------------------------------------------------------
task_acks_late = True
# A child that was killed (out of memory, SIGKILL) gives its task back, a bounded number of times: the bound is the
# task's max_retries (tasks/base.py). What exceeds it is picked up by reconcile from the ledger.
task_retry_on_worker_lost = True
task_acks_on_failure = True
task_acks_on_timeout = True
# Small: a killed worker holds few messages back, and a rate-limited queue cannot fill it up for its neighbours.
worker_prefetch_multiplier = 4
# Below the container's grace of 40 s: what is running may end, the rest goes back to the queue.
worker_soft_shutdown_timeout = 20
worker_enable_soft_shutdown_on_idle = True
worker_cancel_long_running_tasks_on_connection_loss = True

# --- Bounds on every task ------------------------------------------------------------------------------------------
task_time_limit = 300
task_soft_time_limit = 240
# A worker process gives its memory back now and then (pandas and numpy fragment it).
worker_max_tasks_per_child = 20_000
worker_max_memory_per_child = 400_000  # kilobytes

# --- Queues: one per provider, for a rate-limited task holds prefetch slots and would starve its neighbours --------
task_default_queue = "ops"
task_queues = [
    *(Queue(f"fetch.{name}") for name in providers.names()),
    Queue("etl"),
    Queue("ops"),
    Queue("publish"),
]
task_create_missing_queues = False
task_routes = {
    **{f"fintrack.fetch.{name}": {"queue": f"fetch.{name}"} for name in providers.names()},
    "fintrack.validate": {"queue": "etl"},
    "fintrack.transform": {"queue": "etl"},
    "fintrack.load": {"queue": "etl"},
    # A place of its own: nothing else waits for Kafka.
    "fintrack.publish": {"queue": "publish"},
    "fintrack.*": {"queue": "ops"},
}

# Celery's own consumer keeps a limit far too low as soon as ten messages wait for it, lets one queue take all prefetch
# places, and leaves what a dead worker or a broken connection held lying until the visibility timeout; see the files.
worker_consumer = "fintrack_tasks.tasks.consumer:WorkerConsumer"

# --- Rate limits: one task per provider, because a Celery rate limit belongs to a task ------------------------------
# A worker's share for the time until it knows how many live; tasks/heartbeats.py divides it among them from then on.
task_annotations = {
    f"fintrack.fetch.{name}": {
        "rate_limit": limits.celery_rate_limit(limits.quotas_of(providers.provider(name).facts, _settings))
    }
    for name in providers.names()
}

# --- Monitoring ----------------------------------------------------------------------------------------------------
worker_send_task_events = _settings.monitoring_enabled
# Flower hears of a task when a worker has it. What only waits would fill its memory, and cost a call for each message.
task_send_sent_event = False
worker_hijack_root_logger = False

# --- The schedule, kept in Redis by RedBeat so that a second beat can stand by --------------------------------------
beat_scheduler = "fintrack_tasks.tasks.schedule:SteadyScheduler"
# Without its own options RedBeat's client has no time-out: a server that hangs would hang beat.
redbeat_redis_options = {"socket_timeout": 5, "socket_connect_timeout": 5, "socket_keepalive": True}
redbeat_key_prefix = "fintrack:redbeat:"
redbeat_lock_timeout = 30
beat_max_loop_interval = 5  # below the lock's time, or beat would lose its own lock
# A tick's message expires before the next tick: after an outage one run is started, not a pile of them.
beat_schedule = {
    "market-data": {
        "task": "fintrack.fetch_market_data",
        "schedule": crontab(minute="*/5"),
        "kwargs": {"scheduled": True},
        "options": {"expires": 290},
    },
    "historical": {
        "task": "fintrack.fetch_historical_market_data",
        "schedule": crontab(minute="0", hour="2"),
        "kwargs": {"scheduled": True, "intervals": ["1d", "1h", "15m"]},
        "options": {"expires": 6 * 3600},
    },
    "index-data": {
        "task": "fintrack.fetch_market_index_data",
        "schedule": crontab(minute="0"),
        "kwargs": {"scheduled": True, "intervals": ["1d", "1h"]},
        "options": {"expires": 3500},
    },
    # The ECB publishes at about 16:00 in Frankfurt, which is 14:00 UTC in summer and 15:00 in winter.
    "fx-rates": {
        "task": "fintrack.fetch_fx_rates",
        "schedule": crontab(minute="30", hour="15", day_of_week="mon-fri"),
        "options": {"expires": 6 * 3600},
    },
    "reconcile": {"task": "fintrack.reconcile", "schedule": 60.0, "options": {"expires": 55}},
    "publish": {"task": "fintrack.publish", "schedule": 15.0, "options": {"expires": 14}},
    "measure-quality": {"task": "fintrack.measure_quality", "schedule": 300.0, "options": {"expires": 290}},
    "anomaly-models": {
        "task": "fintrack.train_anomaly_models",
        "schedule": crontab(minute="0", hour="4", day_of_week="0"),
        "options": {"expires": 12 * 3600},
    },
    "cleanup": {
        "task": "fintrack.cleanup",
        "schedule": crontab(minute="0", hour="3", day_of_week="0"),
        "options": {"expires": 12 * 3600},
    },
}
