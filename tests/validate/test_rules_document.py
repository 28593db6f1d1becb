"""The catalogue and its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.validate.rules import CHECKS, FLAG, REJECT, RULES, Layer, Limits, Thresholds, unstorable
from fintrack_tasks.validate.rules_document import page

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_the_catalogue_says() -> None:
    """Else: python -m fintrack_tasks.validate.rules_document > docs/rules.md"""
    assert (ROOT / "docs" / "rules.md").read_text(encoding="utf-8") == page()


def test_every_rule_has_a_layer_a_severity_a_demand_and_thresholds_that_exist() -> None:
    for name, rule in RULES.items():
        assert name == rule.name
        assert rule.severity in (REJECT, FLAG)
        assert rule.demand
        for threshold in rule.thresholds:
            assert hasattr(Limits(), threshold) or hasattr(Thresholds(), threshold), (name, threshold)
    assert {rule.layer for rule in RULES.values()} == set(Layer)
    assert set(CHECKS) < set(RULES)


def test_every_asset_class_has_its_thresholds() -> None:
    assert set(Limits().by_class) == set(AssetClass)


@pytest.mark.parametrize(
    ("rules", "timestamp", "obstacle"),
    [
        (["ohlc"], 0, None),
        (["unit_error", "duplicates"], 0, None),
        (["ohlc", "value_ranges"], 0, "value_ranges"),
        (["data_types"], 0, "data_types"),
        (["timestamps"], -2_300_000_000_000_000, None),  # 1897: too early to be true, and a time
        (["ohlc", "timestamps"], 10**18, "timestamps"),
        (["timestamps"], -(10**18), "timestamps"),
        (["timestamps"], None, "timestamps"),
        (["timestamps"], "0", "timestamps"),
        (["timestamps"], True, "timestamps"),
    ],
)
def test_a_row_without_its_numbers_or_a_time_cannot_be_stored_whatever_a_person_says(
    rules: list[str], timestamp: object, obstacle: str | None
) -> None:
    assert unstorable(rules, timestamp) == obstacle
