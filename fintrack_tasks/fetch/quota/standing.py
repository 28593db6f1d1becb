"""The state of a provider's quotas as people are shown it: used slots, reservations, closed keys, the circuit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fintrack_tasks.fetch.providers.base import Quota

__all__ = ["Standing", "read_standings"]


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a provider's quota with one key; times are aware UTC, ``None`` where nothing bars it.

    :param used: for each quota ``(limit, seconds, used)``; ``used`` counts the requests inside the window now.
    :param waiting: reservations whose time has not come.
    :param entitlements: endpoint to the time until which it is not asked.
    """

    key: str
    used: tuple[tuple[int, float, int], ...]
    waiting: int
    closed_until: datetime | None
    rejected_until: datetime | None
    entitlements: dict[str, datetime]
    circuit: str
    circuit_until: datetime | None


def read_standings(answer: Sequence[Any], keys: Sequence[str], quotas: Sequence[Quota]) -> list[Standing]:
    """The answer of ``standing`` in ``lua/gate.lua``, one for each key in the order of ``keys``.

    The answer is the time, the circuit's end and failures; then for each key four values: until when it is closed,
    until when it is rejected, its entitlements, and two counts for each window, the first one empty for a spacing.
    """
    now, until, failures, *rest = answer
    circuit = _circuit(now, until, failures)
    found = []
    for i, key in enumerate(keys):
        closed, rejected, plans, counts = rest[4 * i : 4 * i + 4]
        granted = [int(used) for used in counts[::2] if used]
        with_reservations = [int(both) for used, both in zip(counts[::2], counts[1::2], strict=True) if used]
        found.append(
            Standing(
                key,
                tuple((q.limit, q.seconds, used) for q, used in zip(quotas, granted, strict=True)),
                max((both - used for both, used in zip(with_reservations, granted, strict=True)), default=0),
                _time(closed),
                _time(rejected),
                {plans[n]: ends for n in range(0, len(plans), 2) if (ends := _time(plans[n + 1]))},
                circuit,
                _time(until),
            )
        )
    return found


def _circuit(now: str, until: str, failures: str) -> str:
    if until:
        return "open" if int(until) > int(now) else "half-open"
    return f"closed, {failures} failures" if int(failures) else "closed"


def _time(micros: str) -> datetime | None:
    return datetime.fromtimestamp(int(micros) / 1_000_000, tz=UTC) if micros else None
