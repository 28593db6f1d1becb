"""Counters and times for Prometheus, with bounded sets of labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

__all__ = ["REGISTRY", "message_refused", "serve", "task_finished"]

REGISTRY = CollectorRegistry()
"""Ours alone, so that a program that imports FinTrack keeps its own."""

_TASKS = Counter("fintrack_tasks_total", "Tasks that ran, by name and outcome", ["task", "outcome"], registry=REGISTRY)
_SECONDS = Histogram(
    "fintrack_task_seconds",
    "How long a task's body took",
    ["task"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 240),
    registry=REGISTRY,
)
_REFUSED = Counter(
    "fintrack_messages_refused_total", "Messages that no task could take, by reason", ["reason"], registry=REGISTRY
)


def task_finished(task: str, outcome: str, seconds: float) -> None:
    """Count a task that ran."""
    _TASKS.labels(task, outcome).inc()
    _SECONDS.labels(task).observe(seconds)


def message_refused(reason: str) -> None:
    """Count a message that no task could take."""
    _REFUSED.labels(reason).inc()


def serve(port: int, address: str = "127.0.0.1") -> int:
    """Answer Prometheus' requests from a thread of this process; returns the port."""
    server, _ = start_http_server(port, address, registry=REGISTRY)
    return int(server.server_port)
