"""What every task has in common: timing, counters, retries on outages, and the connections of its process."""

from __future__ import annotations

import inspect
import time
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import kombu.exceptions
import redis.exceptions
import structlog
from celery import Task, signals
from structlog.contextvars import bound_contextvars

from fintrack_tasks.connections import Connections
from fintrack_tasks.errors import OutageError, ProviderError, UsageError
from fintrack_tasks.observability import metrics
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.refusals import remedy_of
from fintrack_tasks.settings import Settings
from fintrack_tasks.settings import settings as settings_of_environment

__all__ = ["OUTAGES", "BaseTask", "connections", "is_outage", "settings", "stage_context", "use", "utc_now"]

log = structlog.get_logger("fintrack.tasks")

OUTAGES: Final = (
    OutageError,
    kombu.exceptions.OperationalError,
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
)
"""A server of ours does not answer. What was to be done is delayed, never failed: the ledger knows of it."""


def is_outage(error: BaseException) -> bool:
    """Whether a server of ours does not answer, or answers that it can take nothing now."""
    return isinstance(error, OUTAGES) or remedy_of(error) is not None


_process: dict[str, Connections] = {}


def connections() -> Connections:
    """The connections of this process, made on first use."""
    if "connections" not in _process:
        _process.setdefault("connections", Connections(settings_of_environment()))
    return _process["connections"]


def use(opened: Connections | None) -> Connections | None:
    """Give the tasks of this process their connections and settings; returns those that they had.

    ``None``: the environment's, made on first use. A program that runs tasks in its own process may choose others.
    """
    before = _process.pop("connections", None)
    if opened is not None:
        _process["connections"] = opened
    return before


def settings() -> Settings:
    """The settings that the connections of this process were made of."""
    return connections().settings


def utc_now() -> datetime:
    """The tasks' clock: below them, time is an argument."""
    return datetime.now(tz=UTC)


def stage_context() -> StageContext:
    """What a stage that begins now works with."""
    return StageContext(connections().database, settings(), utc_now())


@signals.worker_process_init.connect
def _forget_inherited(**_: Any) -> None:
    """A prefork child opens its own connections; those it inherited belong to its parent."""
    _process.clear()


@signals.worker_process_shutdown.connect
@signals.worker_shutdown.connect
def _close(**_: Any) -> None:
    if opened := _process.pop("connections", None):
        opened.close()


class BaseTask(Task):
    """A server of ours that is down is waited for with growing pauses; what is left then belongs to reconcile.

    Those that run every few seconds say ``send_events=False``: they would bury the rest in Flower's list.
    """

    abstract = True
    autoretry_for: ClassVar[tuple[type[Exception], ...]] = (OutageError,)
    dont_autoretry_for: ClassVar[tuple[type[Exception], ...]] = (UsageError, ProviderError)
    max_retries = 6
    retry_backoff = 2
    retry_backoff_max = 60
    retry_jitter = True
    default_retry_delay = 10
    """Seconds; for a child of a prefork pool that was lost with its task."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body, timed and counted by outcome; every log line of it, whoever writes it, names the task."""
        started = time.perf_counter()
        outcome = "success"
        try:
            with bound_contextvars(task=self.name, task_id=self.request.id, **self.subject(args)):
                return super().__call__(*args, **kwargs)
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            metrics.task_finished(self.name, outcome, time.perf_counter() - started)

    def subject(self, args: Any) -> dict[str, str]:
        """What the log lines of a call name beside the task: nothing for a task that is about no single item."""
        return {}

    def stop_chain(self) -> None:
        """Nothing behind this task runs: its item has ended or goes on under another message."""
        self.request.chain = None

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """One line for the log, and what :meth:`settle` does. Never raises: the message would stay for ever."""
        with bound_contextvars(task=self.name, task_id=task_id, **self.subject(args)):
            log.error("task_failed", error=type(exc).__name__, detail=str(exc))
            try:
                self.settle(exc, args, kwargs)
            except Exception as error:  # noqa: BLE001  an outage mostly: the ledger knows of the item
                log.error("left_to_reconcile", error=type(error).__name__)  # noqa: TRY400  one line

    def settle(self, exc: BaseException, args: Any, kwargs: Any) -> None:
        """What becomes of the message of a task that failed: one that no worker could run is kept as a dead letter."""
        if isinstance(exc, UsageError) or not self._fits(args, kwargs):
            self.refuse(exc, args, kwargs)

    def refuse(self, exc: BaseException, args: Any, kwargs: Any) -> None:
        """Keep the message among the dead letters."""
        from fintrack_tasks.tasks import foreign_messages  # noqa: PLC0415  it knows the connections, which are in this file

        foreign_messages.keep(self.name, "wrong_arguments", f"{type(exc).__name__}: {exc}", [args, kwargs])

    def _fits(self, args: Any, kwargs: Any) -> bool:
        try:
            inspect.signature(self.run).bind(*args, **kwargs)
        except TypeError:
            return False
        return True
