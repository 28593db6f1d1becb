"""Faults of the local market (time-outs, errors, cut or malformed bodies): switched on by request, seeded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Final

import orjson

from fintrack_tasks.sandbox.fake_apis.base import FakeApi, Reply

__all__ = ["KINDS", "Fault", "Faults"]

KINDS: Final = ("latency", "status", "timeout", "cut", "malformed", "html", "storm429", "nulls")

_HTML: Final = (
    b"<!DOCTYPE html><html><head><title>Service</title></head><body><h1>Will be right back</h1></body></html>"
)
_JSON: Final = "application/json"
_LONGEST: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault, the requests that it applies to, and how often.

    :param kind: one of :data:`KINDS`.
    :param provider: a shell pattern of provider names.
    :param symbol: a shell pattern of symbols, as the provider writes them.
    :param probability: of each request that fits.
    :param count: how many requests are left to spoil; ``None`` for all.
    :param seconds: how long ``latency`` waits before it answers, and ``timeout`` before it hangs up.
    :param status: what ``status`` answers with.
    :param retry_after: seconds that ``storm429`` gives as ``Retry-After``; ``None`` for no such header.
    """

    kind: str
    provider: str = "*"
    symbol: str = "*"
    probability: float = 1.0
    count: int | None = None
    seconds: float | None = None
    status: int = 500
    retry_after: int | None = None

    @property
    def wait(self) -> float:
        """Seconds: 1 for a latency, 300 for a time-out, where nothing else was said."""
        return self.seconds if self.seconds is not None else {"latency": 1.0, "timeout": 300.0}.get(self.kind, 0.0)

    @classmethod
    def of(cls, wanted: object) -> Fault:
        """A fault from a request's JSON object.

        :raises ValueError: says what is wrong with it.
        """
        if not isinstance(wanted, dict) or wanted.get("kind") not in KINDS:
            raise ValueError(f"a fault is an object whose kind is one of {', '.join(KINDS)}")
        for name, value in wanted.items():
            if name not in _TYPES or isinstance(value, bool) or not isinstance(value, _TYPES[name]):
                raise ValueError(f"{str(name)[:40]!r} is no part of a fault, or not of the right type")
        fault = cls(**wanted)
        if not 0 <= fault.probability <= 1 or not 0 <= fault.wait <= _LONGEST:
            raise ValueError(f"probability lies in 0..1, seconds in 0..{_LONGEST:.0f}")
        if (
            not 400 <= fault.status <= 599
            or (fault.count is not None and fault.count < 1)
            or (fault.retry_after or 0) < 0
        ):
            raise ValueError("status lies in 400..599, count is at least 1, retry_after at least 0")
        return fault


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "kind": (str,),
    "provider": (str,),
    "symbol": (str,),
    "probability": (int, float),
    "count": (int,),
    "seconds": (int, float),
    "status": (int,),
    "retry_after": (int,),
}


class Faults:
    """The faults that are on. For one thread."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = Random(seed)  # noqa: S311  reproducible on purpose
        self._on: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Switch a fault on."""
        self._on.append(fault)

    def clear(self) -> None:
        """Switch everything off and begin the random numbers anew."""
        self._on.clear()
        self._random = Random(self._seed)  # noqa: S311

    def next_fault(self, provider: str, symbol: str) -> Fault | None:
        """The fault that befalls this request, used up by one: the first that was switched on, of those that fit."""
        for index, fault in enumerate(self._on):
            if not fnmatchcase(provider, fault.provider) or not fnmatchcase(symbol, fault.symbol):
                continue
            if self._random.random() >= fault.probability:
                continue
            if fault.count == 1:
                del self._on[index]
            elif fault.count is not None:
                self._on[index] = replace(fault, count=fault.count - 1)
            return fault
        return None

    def spoil(self, fault: Fault, reply: Reply, api: FakeApi) -> Reply:
        """The reply with its body damaged, for the kinds that damage bodies; only JSON can have nulls."""
        if fault.kind == "malformed":
            return replace(reply, body=reply.body[: len(reply.body) // 2] + b'"}{')
        if fault.kind == "html":
            return Reply(200, _HTML, "text/html; charset=utf-8")
        if fault.kind == "nulls" and reply.status == 200 and reply.content_type.startswith(_JSON):
            return replace(reply, body=orjson.dumps(api.with_nulls(orjson.loads(reply.body), self._random)))
        return reply

    def report(self) -> list[Mapping[str, Any]]:
        """The faults that are on."""
        return [{name: getattr(fault, name) for name in Fault.__slots__} for fault in self._on]
