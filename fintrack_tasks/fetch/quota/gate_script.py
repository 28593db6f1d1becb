"""The gate's calls of Redis: arguments and answers of ``lua/gate.lua``, which counts the quotas atomically."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson
import redis
from redis.commands.core import Script

from fintrack_tasks import outages
from fintrack_tasks.domain import Budget
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest
from fintrack_tasks.fetch.quota.limits import QuotaWindow, floors_of, longest_window, quotas_of, windows
from fintrack_tasks.refusals import remedy_of
from fintrack_tasks.settings import Settings, redact_url

__all__ = ["MICROSECONDS", "GateScript"]

MICROSECONDS: Final = 1_000_000
"""In a second: the script's times are whole microseconds."""
_LEASE: Final = 15.0
"""Seconds beyond the HTTP time-out after which a request without an answer is its killed worker's."""


@cache
def _source() -> str:
    return (files(__package__) / "lua" / "gate.lua").read_text(encoding="utf-8")


class GateScript:
    """The script with what each of its calls has in common.

    :param clock: seconds; replaces Redis' own clock in tests.
    :param prefix: of the keys in Redis.
    """

    def __init__(self, client: redis.Redis, settings: Settings, clock: Callable[[], float] | None, prefix: str) -> None:
        self._script: Script = client.register_script(_source())
        self._settings = settings
        self._clock = clock
        self._prefix = prefix
        self.calls = 0
        """So far; threads may miscount it by a few."""

    def call(self, facts: Facts, request: HttpRequest, budget: Budget, ask: dict[str, Any]) -> list[Any]:
        """Run the operation ``ask["op"]`` on the provider's quotas; texts and lists of them, as Redis returns them.

        :raises ConfigurationError: the request weighs more than a quota allows.
        :raises OutageError: Redis does not answer, or refuses for now.
        """
        quotas, lease = quotas_of(facts, self._settings), self._settings.fintrack_http_timeout_seconds + _LEASE
        ask |= {
            "class": int(budget),
            "weight": request.weight,
            "endpoint": request.endpoint or request.path,
            "windows": [_as_json(window) for window in windows(quotas, floors_of(self._settings), request.weight)],
            "lease": int(lease * MICROSECONDS),
            "keep": int((longest_window(quotas) + lease + 90) * 1000),
        }
        if self._clock:
            ask["now"] = int(self._clock() * MICROSECONDS)
        self.calls += 1
        try:
            answer = self._script(keys=[f"{self._prefix}:{{{facts.name}}}"], args=[orjson.dumps(ask)])
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
            raise outages.of_redis(error, redact_url(self._settings.redis_url.get_secret_value())) from error
        except redis.exceptions.ResponseError as error:
            if remedy_of(error):
                raise outages.of_redis(error, redact_url(self._settings.redis_url.get_secret_value())) from error
            raise
        return _texts(answer)


def _texts(answer: Sequence[Any]) -> list[Any]:
    return [each.decode() if isinstance(each, bytes) else _texts(each) for each in answer]


def _as_json(window: QuotaWindow) -> dict[str, Any]:
    return {
        # What it is and not its place in the list, which depends on the request's weight and on the quotas of today.
        "name": f"{window.seconds:g}" if window.hold else f"{window.seconds:g}/{window.of}",
        "us": int(window.seconds * MICROSECONDS),
        "limit": window.limit,
        "of": window.of,
        "hold": window.hold,
        "caps": list(window.caps),
    }
