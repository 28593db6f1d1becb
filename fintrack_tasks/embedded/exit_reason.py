"""Why a process ended, by its exit status or the last lines that it wrote itself; older lines are never taken.

A log also holds errors that were got over long before, what others wrote to it (PostgreSQL's sessions, of which some
outlive their server by a moment), and what a farewell says. A process that was killed writes nothing, so that the end
of its log tells no cause: then none is told.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Final

from fintrack_tasks.embedded import process
from fintrack_tasks.embedded.process import ProcessState

__all__ = ["exit_reason", "log_size"]

_COMPLAINT: Final = re.compile(r"(?i)\b(critical|fatal|panic|unrecoverable|[a-z.]*error|exception)\b")
_FAREWELL: Final = re.compile(r"(?i)shut(ting)? ?down|aborting startup|warm shutdown|cold shutdown|bye bye|exiting")
_PID_PREFIX: Final = re.compile(r"\S+ \S+ \S+ \[(\d+)\] [A-Z]+:|(\d+):[A-Z] ")
"""PostgreSQL and Valkey sign each line with the process that wrote it."""
_BLOCK: Final = 8192
_SHOWN: Final = 200
_SILENT: Final = "without a word, as a killed process ends"


def log_size(one: ProcessState) -> int:
    """Bytes in the log of a process; 0 where there is none."""
    try:
        return Path(one.log).stat().st_size
    except OSError:
        return 0


def exit_reason(ended: ProcessState, since: int = 0) -> str:
    """Why a process ended: the signal that killed it, its exit code, what it complained of with its last words.

    :param since: where its log ended a moment before it did; what stands before is no last word.
    """
    status = process.exit_status(ended.pid)
    if status == -signal.SIGKILL:
        return f"killed by signal {-status}"  # nobody has a last word then: whatever its log ends with is older
    how = "" if status is None else f"killed by signal {-status}" if status < 0 else f"exit code {status}"
    records = _records(ended, since)
    said = _complaint(records[-1:]) or _complaint(_before_farewell(records))
    if not said and status:  # it ended by itself, so that what it complained of just then is the likeliest cause
        said = _complaint(records)
    return ", ".join(filter(None, (how, said))) or _SILENT


def _records(ended: ProcessState, since: int) -> list[list[str]]:
    """What the process wrote, lines that belong together in one; nothing that others wrote after its last line."""
    records: list[list[str]] = []
    for line in process.log_lines(ended.log, since, _BLOCK):
        if records and line[:1].isspace():
            records[-1].append(line.strip())
        else:
            records.append([line.strip()])
    while records and not _own(records[-1][0], ended.pid):
        records.pop()
    return records


def _own(line: str, pid: int) -> bool:
    signed = _PID_PREFIX.match(line)
    return signed is None or pid in (int(each) for each in signed.groups() if each)


def _before_farewell(records: Sequence[list[str]]) -> list[list[str]]:
    """The last record before the shutdown messages at the end; empty where the log does not end with any."""
    farewell = list(takewhile(lambda record: _FAREWELL.search(record[0]), reversed(records)))
    return list(records[: len(records) - len(farewell)][-1:]) if farewell else []


def _complaint(records: Sequence[list[str]]) -> str:
    lines = [line for record in records for line in record]
    return next((line for line in reversed(lines) if _COMPLAINT.search(line)), "")[:_SHOWN]
