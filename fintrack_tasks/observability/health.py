"""``HealthChecker``: concurrent checks of servers, providers, disk and memory, each bounded in time."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
import redis
import redis.exceptions
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from fintrack_tasks import outages
from fintrack_tasks.errors import FinTrackError, OutageError, ProviderError
from fintrack_tasks.settings import Settings, load_settings, redact_url

__all__ = ["HealthChecker", "HealthStatus"]

_SECONDS: Final = 3.0
_DISK_FREE: Final = 500 * 1024 * 1024
_MEMORY_USED: Final = 95.0

Check = Callable[[], str]
"""Returns one line about what is well, or raises an error of ours about what is not."""


@dataclass(frozen=True, slots=True)
class HealthStatus:
    """``checks`` maps a name to ``{"healthy": bool, "detail": str, "seconds": float}``; ``timestamp`` is aware UTC."""

    healthy: bool
    checks: Mapping[str, Mapping[str, Any]]
    timestamp: datetime


class HealthChecker:
    """Asks PostgreSQL, Redis, Kafka, the providers' addresses, the disk and the memory, and what else it is given.

    :param checks: further checks by name; one of the built-in names replaces it.
    :param settings: where the servers are; the environment's by default.
    """

    def __init__(self, checks: Mapping[str, Check] | None = None, settings: Settings | None = None) -> None:
        self._settings = settings or load_settings()
        self._checks: dict[str, Check] = {
            "database": self._check_database_connection,
            "redis": self._check_redis_connection,
            "kafka": self._check_kafka_connection,
            "api_endpoints": self._check_api_endpoints,
            "disk_space": self._check_disk_space,
            "memory_usage": self._check_memory_usage,
            **(checks or {}),
        }

    def check_system_health(self) -> HealthStatus:
        """Run every check, all at once; a check that fails is unhealthy and never an exception."""
        with ThreadPoolExecutor(len(self._checks)) as pool:
            results = dict(zip(self._checks, pool.map(_run, self._checks.values()), strict=True))
        return HealthStatus(all(r["healthy"] for r in results.values()), results, datetime.now(tz=UTC))

    def _check_database_connection(self) -> str:
        address = f"{self._settings.db_host}:{self._settings.db_port}"
        try:
            for login in (self._settings.as_reader(), self._settings):
                with psycopg.connect(**{**login.conninfo, "connect_timeout": int(_SECONDS)}) as conn:
                    version = conn.info.parameter_status("server_version")
                    superuser = conn.info.parameter_status("is_superuser") == "on"
        except psycopg.OperationalError as error:
            told = outages.of_postgres(str(error), address, login.login_variables)
            raise told or outages.gone("PostgreSQL", address, "DB_HOST and DB_PORT") from None
        hint = "; DB_USER is a superuser, a login of fintrack_writer would do: see docs/operations.md"
        return f"PostgreSQL {version} at {address}{hint if superuser else ''}"

    def _check_redis_connection(self) -> str:
        url = self._settings.redis_url.get_secret_value()
        client = redis.Redis.from_url(
            url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS, **self._settings.redis_tls or {}
        )
        try:
            client.ping()
            client.set("fintrack:health", 1, ex=60)  # one that is full, or cannot write to its disk, answers a ping
        except redis.exceptions.RedisError as error:
            raise outages.of_redis(error, redact_url(url)) from None
        finally:
            client.close()
        return f"answers at {redact_url(url)}"

    def _check_kafka_connection(self) -> str:
        address = self._settings.kafka_bootstrap_servers
        quiet: dict[str, Any] = {"bootstrap.servers": address, "log_level": 0, "error_cb": lambda _: None}
        quiet |= self._settings.kafka_security
        try:
            brokers = AdminClient(quiet).list_topics(timeout=_SECONDS).brokers
        except KafkaException:
            raise outages.of_kafka(address) from None
        return f"{len(brokers)} broker(s) at {address}"

    def _check_api_endpoints(self) -> str:
        urls = sorted(self._settings.provider_base_urls.items())
        if not urls:
            # Without an override the real providers are asked by the jobs alone: a health check costs no quota.
            return "the providers' own addresses, not asked"
        # The one client for all HTTP to providers, with its bounds; its room lies above this one, which only asks here.
        from fintrack_tasks.fetch.http.client import HttpClient  # noqa: PLC0415  for this check alone

        client = HttpClient(timeout=_SECONDS)
        with closing(client) as http, ThreadPoolExecutor(len(urls)) as pool:
            market = self._settings.fintrack_sandbox_url
            reached = list(pool.map(lambda each: _reached(http, each[0], each[1], market), urls))
        return f"reached: {', '.join(reached)}"

    def _check_disk_space(self) -> str:
        folder = self._settings.fintrack_home.resolve()
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        if free < _DISK_FREE:
            raise OutageError("the disk", str(folder), "make room", f"has only {free // 1024 // 1024} MB free")
        return f"{free // 1024 // 1024} MB free at {folder if folder != Path.cwd() else 'the working folder'}"

    def _check_memory_usage(self) -> str:
        used = psutil.virtual_memory().percent
        if used > _MEMORY_USED:
            raise OutageError("the memory", "this machine", "run fewer workers here", f"is {used:.0f}% used")
        return f"{used:.0f}% used"


def _reached(http: Any, name: str, url: str, market: str) -> str:
    """The name, when the address answers; the local market plays it where it is asked there."""
    try:
        http.reach(name, url)
    except ProviderError:
        if market and url.startswith(f"{market}/"):
            raise OutageError("the local market", market) from None
        raise OutageError(name, redact_url(url), "check its address and the network") from None
    return name


def _run(check: Check) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        healthy, detail = True, check()
    except FinTrackError as error:
        healthy, detail = False, str(error)
    except Exception as error:  # noqa: BLE001  a broken check is a finding, and its text may hold a secret
        healthy, detail = False, f"the check itself failed: {type(error).__name__}"
    return {"healthy": healthy, "detail": detail, "seconds": round(time.perf_counter() - began, 4)}
