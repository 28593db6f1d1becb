"""What can be seen from outside: logs, metrics, health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fintrack_tasks.observability.performance import performance_monitor

if TYPE_CHECKING:
    from fintrack_tasks.observability.health import HealthChecker, HealthStatus

__all__ = ["HealthChecker", "HealthStatus", "performance_monitor"]


def __getattr__(name: str) -> Any:
    # The health checks bring every server's client along; a command that only logs need not wait for them.
    if name not in ("HealthChecker", "HealthStatus"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fintrack_tasks.observability import health  # noqa: PLC0415  see above

    return getattr(health, name)
