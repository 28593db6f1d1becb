"""The control endpoint: health, the count of requests, faults and quotas, below ``/_control``; and a client for it.

==========================  ===========================================================================================
``GET health``              ``{"healthy": true, "now": ..., "seed": ...}``
``GET requests``            see :meth:`RequestLog.report`; ``?windows=1,60`` adds the most requests in any window
                            of so many seconds, ``&list=0`` leaves out the single requests
``DELETE requests``         counts from zero; the quotas' windows begin anew
``GET POST DELETE faults``  what is on; switch one on (a JSON object, see :class:`Fault`); switch all off
``GET POST quotas``         what holds; change it (``{"coinbase": "10/s"}``, ``unlimited`` lifts it)
==========================  ===========================================================================================

A wrong request is answered with 400, an unknown path with 404, another method with 405.
"""

from __future__ import annotations

import json
import math
import urllib.request
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import orjson

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.fetch.quota.limits import parse_quotas
from fintrack_tasks.sandbox.fake_apis.base import Reply, json_reply
from fintrack_tasks.sandbox.faults import Fault, Faults
from fintrack_tasks.sandbox.market import Market
from fintrack_tasks.sandbox.quotas import RequestLog

__all__ = ["Control", "ControlEndpoint"]

_MOST_BYTES: Final = 64 * 1024
_MOST_WINDOWS: Final = 20


class ControlEndpoint:
    """The server's side of the endpoint.

    :param providers: the names that quotas and faults may be given for.
    """

    def __init__(self, market: Market, request_log: RequestLog, faults: Faults, providers: Collection[str]) -> None:
        self._market, self._request_log, self._faults, self._providers = market, request_log, faults, providers
        self._answers: Mapping[tuple[str, str], Callable[[bytes, Mapping[str, str]], Any]] = {
            ("health", "GET"): lambda _body, _params: self._health(),
            ("requests", "GET"): lambda _body, params: self._requests(params),
            ("requests", "DELETE"): lambda _body, _params: self._reset(),
            ("faults", "GET"): lambda _body, _params: self._faults_on(),
            ("faults", "POST"): lambda body, _params: self._add_fault(body),
            ("faults", "DELETE"): lambda _body, _params: self._clear_faults(),
            ("quotas", "GET"): lambda _body, _params: self._quotas(),
            ("quotas", "POST"): lambda body, _params: self._set_quotas(body),
        }

    def answer(self, method: str, path: str, body: bytes, params: Mapping[str, str]) -> Reply:
        """The reply; for a wrong request one that says what is wrong with it. Nothing is raised."""
        found = self._answers.get((path, method))
        if found is None:
            methods = [known for place, known in self._answers if place == path]
            if methods:
                return json_reply({"message": f"only {', '.join(methods)}"}, 405)
            return json_reply({"message": "there are health, requests, faults and quotas"}, 404)
        try:
            return json_reply(found(body, params))
        except (ValueError, ConfigurationError) as error:
            return json_reply({"message": str(error)}, 400)

    def _health(self) -> dict[str, Any]:
        return {"healthy": True, "now": self._market.now().isoformat(), "seed": self._market.seed}

    def _requests(self, params: Mapping[str, str]) -> dict[str, Any]:
        windows = [float(text) for text in params.get("windows", "").split(",") if text]
        if len(windows) > _MOST_WINDOWS or not all(math.isfinite(seconds) and seconds > 0 for seconds in windows):
            raise ValueError(f"windows are at most {_MOST_WINDOWS} numbers of seconds above 0")
        return self._request_log.report(windows, listed=params.get("list", "1") != "0")

    def _reset(self) -> dict[str, Any]:
        self._request_log.clear()
        return {}

    def _clear_faults(self) -> dict[str, Any]:
        self._faults.clear()
        return self._faults_on()

    def _faults_on(self) -> dict[str, Any]:
        return {"faults": self._faults.report()}

    def _add_fault(self, body: bytes) -> dict[str, Any]:
        self._faults.add(Fault.of(_object(body)))
        return self._faults_on()

    def _quotas(self) -> dict[str, Any]:
        return {name: [[q.limit, q.seconds] for q in quotas] for name, quotas in self._request_log.quotas.items()}

    def _set_quotas(self, body: bytes) -> dict[str, Any]:
        made = {}
        for name, text in _object(body).items():
            if name not in self._providers or not isinstance(text, str):
                raise ValueError(f"quotas are given as text for one of {', '.join(self._providers)}")
            made[name] = parse_quotas(text, name)
        self._request_log.quotas.update(made)
        return self._quotas()


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > _MOST_BYTES:
        raise ValueError("the body is too large")
    value = orjson.loads(body)
    if not isinstance(value, dict):
        raise ValueError("the body is no JSON object")  # noqa: TRY004  it becomes a 400 like every wrong body
    return value


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
"""It asks the address that it is given and no other: no proxy of the environment, no redirect."""
_LONGEST_ANSWER: Final = 256 * 1024 * 1024


class Control:
    """A client of the endpoint, for tests, benchmarks and demonstrations.

    :param url: the sandbox's address, such as ``http://127.0.0.1:8080``.
    """

    def __init__(self, url: str, seconds: float = 30.0) -> None:
        self._url, self._seconds = f"{url.rstrip('/')}/_control", seconds

    def health(self) -> dict[str, Any]:
        """Whether it runs, its time and its seed."""
        return self._ask("GET", "health")

    def requests(self, windows: Sequence[float] = (), *, listed: bool = True) -> dict[str, Any]:
        """The count; see :meth:`fintrack_tasks.sandbox.quotas.RequestLog.report`."""
        text = ",".join(f"{seconds:g}" for seconds in windows)
        return self._ask("GET", f"requests?windows={text}&list={int(listed)}")

    def reset(self) -> None:
        """Count from zero."""
        self._ask("DELETE", "requests")

    def add_fault(self, kind: str, **fields: object) -> list[dict[str, Any]]:
        """Switch a fault on; the fields are those of :class:`fintrack_tasks.sandbox.faults.Fault`. What is on now."""
        faults: list[dict[str, Any]] = self._ask("POST", "faults", {"kind": kind, **fields})["faults"]
        return faults

    def clear_faults(self) -> None:
        """Switch all faults off; their random numbers begin anew."""
        self._ask("DELETE", "faults")

    def set_quotas(self, **quotas: str) -> None:
        """Change what holds for a provider: ``set_quotas(coinbase="10/s")``; ``unlimited`` lifts it."""
        self._ask("POST", "quotas", quotas)

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}/{path}", data, method=method)  # noqa: S310  http, as given
        with _OPENER.open(request, timeout=self._seconds) as answer:
            found: dict[str, Any] = json.loads(answer.read(_LONGEST_ANSWER))  # of a longer one the end is missing
            return found
