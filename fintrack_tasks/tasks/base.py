"""The base class of every task (timing, log context, retries on outages) and the connections of its process."""

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
"""PostgreSQL, Redis or Kafka does not answer. Work is delayed then, never failed: the ledger has it."""


def is_outage(error: BaseException) -> bool:
    """Whether PostgreSQL, Redis or Kafka does not answer, or refuses work for now (full disk, full memory)."""
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
    """The context of a stage that begins now."""
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
    """Retries on outages with growing pauses; what is not done then is left to reconcile.

    Tasks that run every few seconds set ``send_events=False``: they would crowd the rest out of Flower's list.
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
        """Run the body, timed and counted by outcome; its log lines carry the task, its id and :meth:`subject`."""
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
        """What log lines carry beside the task: run, item, symbol and provider, for a task about one item."""
        return {}

    def stop_chain(self) -> None:
        """Drop the rest of the chain: the item has ended or continues with another message."""
        self.request.chain = None

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Log the failure, then :meth:`settle` it. Never raises: the message would stay unacknowledged for ever."""
        with bound_contextvars(task=self.name, task_id=task_id, **self.subject(args)):
            log.error("task_failed", error=type(exc).__name__, detail=str(exc))
            try:
                self.settle(exc, args, kwargs)
            except Exception as error:  # noqa: BLE001  an outage mostly: the ledger knows of the item
                log.error("left_to_reconcile", error=type(error).__name__)  # noqa: TRY400  one line

    def settle(self, exc: BaseException, args: Any, kwargs: Any) -> None:
        """Handle a failed task's message: one that no worker could run becomes a dead letter."""
        if isinstance(exc, UsageError) or not self._fits(args, kwargs):
            self.refuse(exc, args, kwargs)

    def refuse(self, exc: BaseException, args: Any, kwargs: Any) -> None:
        """Write the message to the dead letters."""
        from fintrack_tasks.tasks import foreign_messages  # noqa: PLC0415  it imports this module

        foreign_messages.keep(self.name, "wrong_arguments", f"{type(exc).__name__}: {exc}", [args, kwargs])

    def _fits(self, args: Any, kwargs: Any) -> bool:
        try:
            inspect.signature(self.run).bind(*args, **kwargs)
        except TypeError:
            return False
        return True
