"""Faults that are switched on by request, reproducible under the seed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Final

from fintrack_tasks.sandbox.venues.base import Reply

__all__ = ["KINDS", "Fault", "Faults", "spoil"]

KINDS: Final = ("latency", "status", "timeout", "cut", "malformed", "html", "storm429", "nulls")

_NUMBER: Final = re.compile(rb"(?<=[\[,:])\s*-?\d+(\.\d+)?([eE][-+]?\d+)?(?=[,\]}])")


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, for whom, how often. ``count`` is how many requests are left to spoil; ``None`` for all."""

    kind: str
    provider: str = "*"
    symbol: str = "*"
    probability: float = 1.0
    count: int | None = None
    seconds: float = 1.0
    status: int = 500

    @classmethod
    def of(cls, wanted: object) -> Fault:
        """A fault from a request's JSON object.

        :raises ValueError: says what is wrong with it.
        """
        if not isinstance(wanted, dict) or wanted.get("kind") not in KINDS:
            raise ValueError(f"a fault is an object whose kind is one of {', '.join(KINDS)}")
        types: dict[str, type | tuple[type, ...]] = {
            "kind": str,
            "provider": str,
            "symbol": str,
            "probability": (int, float),
            "count": int,
            "seconds": (int, float),
            "status": int,
        }
        for name, value in wanted.items():
            if name not in types or isinstance(value, bool) or not isinstance(value, types[name]):
                raise ValueError(f"{str(name)[:40]} is no part of a fault, or not of the right type")
        fault = cls(**wanted)
        if not 0 <= fault.probability <= 1 or fault.seconds < 0 or not 400 <= fault.status <= 599:
            raise ValueError("probability lies in 0..1, seconds are not negative, status lies in 400..599")
        return fault


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

    def take(self, provider: str, symbol: str) -> Fault | None:
        """The fault that befalls this request, used up by one."""
        for index, fault in enumerate(self._on):
            if not fnmatchcase(provider, fault.provider) or not fnmatchcase(symbol, fault.symbol):
                continue
            if fault.count == 0 or self._random.random() >= fault.probability:
                continue
            if fault.count is not None:
                self._on[index] = replace(fault, count=fault.count - 1)
            return fault
        return None

    def report(self) -> list[Mapping[str, Any]]:
        """The faults that are on."""
        return [{name: getattr(fault, name) for name in Fault.__slots__} for fault in self._on]


def spoil(fault: Fault, reply: Reply) -> Reply:
    """The reply with its body spoilt, for the kinds that spoil bodies."""
    if fault.kind == "malformed":
        return replace(reply, body=reply.body[: len(reply.body) // 2] + b'"}{')
    if fault.kind == "html":
        body = (
            b"<!DOCTYPE html><html><head><title>Service</title></head><body><h1>Will be right back</h1></body></html>"
        )
        return Reply(200, body, "text/html; charset=utf-8")
    if fault.kind == "nulls":
        return replace(reply, body=_NUMBER.sub(b"null", reply.body))
    return reply
