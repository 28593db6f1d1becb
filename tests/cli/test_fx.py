"""``fintrack fx``, as a person types it, over a real database and the local market."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from fintrack_tasks.cli import fx
from fintrack_tasks.store import Database
from tests.cli.prices import told
from tests.e2e.harness import fintrack

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--max-age", "1e9"), "no date lies 1e+09 days (--max-age) before 2"),
        (("--max-age", "1000000"), "no date lies 1e+06 days (--max-age) before 2"),
        (("--max-age", "inf"), "no date lies inf days"),
        (("--at", "0001-01-01"), "no date lies 6 days (--max-age) before 0001-01-01"),
        (("--at", "0001-01-01T00:00+14:00"), "--at is no time"),
    ],
)
def test_a_rate_from_before_all_dates_is_refused_in_one_line(
    tmp_path: Path, where: dict[str, str], words: tuple[str, ...], said: str
) -> None:
    refused = fintrack(tmp_path, "fx", "show", "EUR/USD", *words, check=False, environment=where)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert len(refused.stderr.splitlines()) == 1
    assert said in refused.stderr


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("GBX/GBP", "5 GBX = 0.05 GBP, by definition"),
        ("KWF/KWD", "5 KWF = 0.005 KWD, by definition"),
        ("EUR/EUR", "5 EUR = 5 EUR, by definition"),
    ],
)
def test_a_minor_unit_needs_no_rate_and_is_told_in_one_line(
    tmp_path: Path, where: dict[str, str], database: Database, pair: str, said: str
) -> None:
    assert fintrack(tmp_path, "fx", "show", pair, "--amount", "5", environment=where).stdout.splitlines() == [said]


def test_rates_are_updated_and_shown_as_of_a_time(tmp_path: Path, where: dict[str, str]) -> None:
    first = told(tmp_path, where, "fx", "update")
    assert first["changed"] == first["rates"] > 80_000
    assert told(tmp_path, where, "fx", "update")["changed"] == 0
    # 2024-03-28 at 15:00 UTC: the ECB's 1.0811 dollars and 0.8551 pounds; Easter follows.
    found = told(tmp_path, where, "fx", "show", "eur/usd", "--at", "2024-04-01T12:00", "--amount", "250")
    assert (found["pair"], found["amount"], found["rate"]) == ("EUR/USD", "270.2750", "1.0811")
    assert (found["as_of"], found["source"], found["finding"]) == ("2024-03-28T15:00:00Z", "ecb", None)
    pence = told(tmp_path, where, "fx", "show", "GBp/USD", "--at", "2024-04-01T12:00", "--amount", "1259.5")
    assert pence["amount"].startswith("15.923815343")
    assert [leg["pair"] for leg in pence["legs"]] == ["1/(EUR/GBP)", "EUR/USD"]
    stale = told(tmp_path, where, "fx", "show", "EUR/USD", "--at", "2024-04-01", "--max-age", "1", code=3)
    assert (stale["amount"], stale["rate"]) == (None, None)
    assert "no rate from EUR to USD" in stale["finding"]
    assert told(tmp_path, where, "fx", "show", "EUR/USD", "--at", "1998-12-31", code=3)["rate"] is None
    refused = fintrack(tmp_path, "fx", "show", "EUR/USD", "--at", "1998-12-31", check=False, environment=where)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr == (
        "fintrack: no rate from EUR to USD at 1998-12-31T00:00:00+00:00, nor in the 6 days before; "
        "fintrack fx update brings them up to date, --max-age takes older ones\n"
    )
    for wrong in (("fx", "show", "EURUSD"), ("fx", "show", "EUR/USD", "--amount", "much")):
        assert fintrack(tmp_path, *wrong, check=False, environment=where).returncode == 2
    shown = fintrack(tmp_path, "fx", "show", "EUR/USD", "--max-age", "36500", environment=where).stdout
    assert re.search(r"^ *as of \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 *$", shown, re.MULTILINE)
    assert datetime.fromisoformat(first["newest"]) < datetime.now(tz=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("117.06", "117.06"),
        ("23.4138145199999999999998", "23.4138"),
        ("-1234567.891", "-1234567.891"),
        ("5", "5.00"),
        ("0", "0.00"),
        ("0.0064516129032258064516129", "0.00645161"),
        ("0.00000123456789", "0.00000123457"),
    ],
)
def test_an_amount_is_shown_with_as_many_decimals_as_anybody_can_use(value: str, shown: str) -> None:
    assert fx._amount_text(Decimal(value)) == shown


def test_a_machine_gets_fifteen_digits_of_what_a_division_left() -> None:
    assert fx._decimal_text(Decimal(1) / 155) == "0.00645161290322581"
    assert fx._decimal_text(Decimal("270.2750")) == "270.2750"
