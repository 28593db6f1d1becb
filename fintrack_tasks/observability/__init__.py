"""What can be seen from outside: logs, metrics, health."""

from fintrack_tasks.observability.health import HealthChecker, HealthStatus
from fintrack_tasks.observability.performance import performance_monitor

__all__ = ["HealthChecker", "HealthStatus", "performance_monitor"]
