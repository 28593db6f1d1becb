"""``fintrack status``: what of the local stack runs, since when and where, and when the schedule last ticked."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import orjson
import psutil
import typer

from fintrack_tasks.cli.context import open_connections, utc_now
from fintrack_tasks.cli.output import console, print_json, table
from fintrack_tasks.cli.stack import flower_address
from fintrack_tasks.cli.stack_hints import start_or_hint
from fintrack_tasks.embedded.logs import files
from fintrack_tasks.embedded.stack import Stack
from fintrack_tasks.embedded.supervise import UNWATCHED, is_unwatched, restarts
from fintrack_tasks.errors import OutageError
from fintrack_tasks.settings import Settings, load_settings

__all__ = ["status"]

_TICKS: Final = "fintrack:redbeat:"
"""RedBeat's prefix, as ``celeryconfig.py`` has it."""
_DOWN: Final = 4


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """What of the local stack runs, since when and where; exit code 4 when a part of it does not."""
    settings = load_settings()
    stack = Stack(settings.fintrack_home)
    told = _collect(stack)
    if told["running"]:
        told["ticks"] = _ticks(settings)
    if as_json:
        print_json(told)
    elif not told["servers"] and not told["processes"]:
        console.print(f"nothing runs in {stack.home}; {start_or_hint()}", markup=False, soft_wrap=True)
    else:
        _show(told)
    if not told["healthy"]:
        raise typer.Exit(_DOWN)


def _collect(stack: Stack) -> dict[str, Any]:
    known = {one.process.pid for one in stack.servers().values()} | {one.pid for one in stack.processes()}
    asked = stack.health()
    servers = [
        {
            **_process(name, one.process.pid, known, running=asked[name].running),
            "address": asked[name].address,
            "detail": asked[name].detail,
        }
        for name, one in stack.servers().items()
    ]
    processes = [_process(one.name, one.pid, known, running=one.running) for one in stack.processes()]
    parts = [*servers, *processes]
    unwatched = is_unwatched(stack)
    begun = [part["since"] for part in parts if part["since"]]
    return {
        "running": any(part["running"] for part in parts),
        "healthy": bool(parts) and all(part["running"] for part in parts) and not unwatched,
        "unwatched": unwatched,
        "home": str(stack.home),
        "mode": stack.mode,
        "since": min(begun, default=None),
        "flower": flower_address(stack),
        "memory_mb": sum(part["memory_mb"] or 0 for part in parts),
        "servers": servers,
        "processes": processes,
        "logs": {name: str(path) for name, path in files(stack.home).items()},
        "restarts": [asdict(one) for one in restarts(stack)],
        "ticks": [],
    }


def _process(name: str, pid: int, parts: Collection[int], *, running: bool) -> dict[str, Any]:
    """A process with its children; memory that they share is counted once for each of them.

    :param parts: the processes that have rows of their own: the supervisor is the parent of what it started again.
    """
    found: dict[str, Any] = {"name": name, "pid": pid, "running": running, "since": None, "memory_mb": None}
    if running:
        try:
            own = psutil.Process(pid)
            found["since"] = datetime.fromtimestamp(own.create_time(), tz=UTC).replace(microsecond=0)
            found["memory_mb"] = sum(one.memory_info().rss for one in _family(own, parts)) >> 20
        except psutil.Error:
            pass  # it ended in this very moment
    return found


def _family(own: psutil.Process, parts: Collection[int]) -> list[psutil.Process]:
    """A process, its children and theirs, without those that are parts themselves and what these started."""
    children = [child for child in own.children() if child.pid not in parts]
    return [own, *(one for child in children for one in _family(child, parts))]


def _ticks(settings: Settings) -> list[dict[str, Any]]:
    """When each job of the schedule was last enqueued, the newest first; nothing while Redis does not answer."""
    try:
        with open_connections(settings) as connections:
            kept = [
                (key.decode().removeprefix(_TICKS), connections.redis.hget(key, "meta"))
                for key in connections.redis.scan_iter(f"{_TICKS}[a-z]*")
            ]
    except OutageError:
        return []
    found = [{"job": name, **_tick(orjson.loads(meta))} for name, meta in kept if meta]
    return sorted(found, key=lambda one: (one["last"] is None, one["last"] and -one["last"].timestamp(), one["job"]))


def _tick(meta: dict[str, Any]) -> dict[str, Any]:
    """A job that was never enqueued has the time at which its beat began, and no count."""
    count, at = meta.get("total_run_count", 0), meta.get("last_run_at") or {}
    if not count or not at:
        return {"last": None, "count": 0}
    last = datetime(at["year"], at["month"], at["day"], at["hour"], at["minute"], at["second"], tzinfo=UTC)
    return {"last": last, "count": count}


def _show(told: dict[str, Any]) -> None:
    now = utc_now()
    mode = f", {told['mode']} prices" if told["mode"] else ""
    since = f"up for {_ago(now, told['since'])}" if told["since"] else "not running"
    console.print(f"{told['home']}: {since}{mode}, {told['memory_mb']} MB", soft_wrap=True)
    if told["unwatched"]:
        console.print(UNWATCHED, soft_wrap=True)
    console.print()
    columns = ["what", "state", "pid", "up for", "MB", "where"]
    console.print(table("parts", columns, _rows(now, told), spare=("pid", "MB")))
    if told["restarts"]:
        console.print()
        rows = [[one["name"], one["count"], _ago(now, one["last"]), one["reason"]] for one in told["restarts"]]
        console.print(table("started again", ["what", "times", "last, ago", "reason"], rows))
    if told["ticks"]:
        console.print()
        rows = [[one["job"], _ago(now, one["last"]) if one["last"] else None] for one in told["ticks"]]
        console.print(table("schedule", ["job", "last enqueued, ago"], rows))


def _rows(now: datetime, told: dict[str, Any]) -> Iterable[list[Any]]:
    where = {"flower": told["flower"]}
    for part in (*told["servers"], *told["processes"]):
        said = part.get("address") or where.get(part["name"]) or told["logs"].get(part["name"])
        up = _ago(now, part["since"]) if part["since"] else None
        state = "runs" if part["running"] else "has ended"
        yield [part["name"], state, str(part["pid"]), up, part["memory_mb"], said]


def _ago(now: datetime, then: datetime) -> str:
    seconds = max(0, int((now - then).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            rest = seconds % length // {"d": 3_600, "h": 60, "min": 1}[unit]
            return f"{seconds // length} {unit} {rest} {({'d': 'h', 'h': 'min', 'min': 's'})[unit]}"
    return f"{seconds} s"
