"""What several commands say of an instrument."""

from __future__ import annotations

import pytest

from fintrack_tasks.cli.arguments import calendar_text
from fintrack_tasks.domain import AssetClass, Instrument


@pytest.mark.parametrize(
    ("instrument", "said"),
    [
        (Instrument.of("VOD.L"), "XLON"),
        (Instrument.of("GC=F"), "futures"),
        (Instrument("NBK.KW", AssetClass.STOCK, calendar="XSAU"), "XSAU"),
    ],
)
def test_a_calendar_is_named(instrument: Instrument, said: str) -> None:
    assert calendar_text(instrument) == said


def test_where_none_is_known_that_is_said_with_the_way_out() -> None:
    said = calendar_text(Instrument.of("NBK.KW"))
    assert said.startswith("no calendar known")
    assert "fintrack instruments edit NBK.KW --calendar NAME" in said
