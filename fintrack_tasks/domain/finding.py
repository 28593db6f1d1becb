"""What a check found wrong with a row, and how severe that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["FLAG", "REJECT", "Finding"]


REJECT: Final = "reject"
FLAG: Final = "flag"
"""The severities of a finding: its row goes to quarantine, or is stored with a flag."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found wrong with one row.

    :param rule: a name of :data:`fintrack_tasks.validate.rules.RULES`.
    :param severity: :data:`REJECT` or :data:`FLAG`.
    :param row: the position in the batch or frame that was checked; ``None`` when all of it is meant, as by a missing
        column.
    :param detail: one line for a person.
    """

    rule: str
    severity: str
    row: int | None
    detail: str
