"""The screening of many rows with numpy finds what the check of one row finds."""

from __future__ import annotations

from hypothesis import given

from fintrack_tasks.domain import Batch, Finding
from fintrack_tasks.validate import check_batch
from tests.validate.batches import NOW, batches


@given(batches())
def test_one_row_and_many_rows_get_equal_verdicts(batch: Batch) -> None:
    """The path for many rows says of each row by itself exactly what the path for one row says; it never raises."""
    together = [one for one in check_batch(batch, NOW) if one.row is not None]
    by_itself = [one for one in together if one.rule not in ("duplicates", "timestamp_order")]
    alone = []
    for row in range(len(batch)):
        alone += [
            Finding(one.rule, one.severity, row, one.detail)
            for one in check_batch(batch.take([row]), NOW)
            if one.row is not None
        ]
    assert by_itself == alone
