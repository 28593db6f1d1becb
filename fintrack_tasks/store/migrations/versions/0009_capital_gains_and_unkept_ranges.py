"""Capital gains of funds beside dividends, payments in another currency than the prices, and ranges nobody keeps.

A payment's amount is converted at the rate that was known at its ex-date; without one its factor is unknown. A capital
gain of the day of a dividend is taken of what the dividend left, so that both together are ``1 - (D + G) / P``.

``coverage.providers`` names who was found not to keep a range: a provider that is not among them is still to be asked.

Revision ID: 0009
Revises: 0008
"""

import runpy
from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ACTIONS = """
ALTER TABLE fintrack.corporate_actions
    DROP CONSTRAINT corporate_actions_kind_check,
    DROP CONSTRAINT corporate_actions_check,
    ADD CONSTRAINT corporate_actions_kind_check CHECK (kind IN ('split', 'dividend', 'capital_gain')),
    ADD CONSTRAINT corporate_actions_check CHECK (
        (kind = 'split') = (numerator IS NOT NULL) AND (kind = 'split') = (denominator IS NOT NULL)
        AND (kind <> 'split' OR amount IS NULL));
"""

_OWN = "CASE WHEN coalesce({0}.currency = p.currency, true) THEN {0}.amount"
_CONVERTED = "ELSE fintrack.convert_amount({0}.amount, {0}.currency, p.currency, {0}.effective_at) END"
_PAID = f"{_OWN} {_CONVERTED}"

FACTORS = f"""
CREATE OR REPLACE VIEW fintrack.corporate_action_factors AS
SELECT i.symbol, a.ex_date, a.kind, a.numerator, a.denominator, a.amount, a.currency, a.source,
       CASE WHEN a.kind = 'split' THEN trim_scale(a.denominator / a.numerator) ELSE 1 END AS split_factor,
       CASE WHEN a.kind = 'split' THEN 1
            WHEN m.amount * d.basis < p.close * c.basis - h.amount * d.basis
            THEN round(1 - (m.amount * d.basis) / (p.close * c.basis - h.amount * d.basis), 15) END AS dividend_factor,
       (p.timestamp AT TIME ZONE 'UTC')::date AS previous_session, p.close AS previous_close,
       a.effective_at, a.adjusted_to, a.first_seen, a.changed_at, a.item_id, a.instrument_id, a.id
FROM fintrack.corporate_actions a
JOIN fintrack.instruments i ON i.id = a.instrument_id
LEFT JOIN LATERAL (
    SELECT b.timestamp, b.close, b.adjusted_to, coalesce(b.currency, i.currency) AS currency FROM fintrack.bars b
    WHERE a.kind <> 'split' AND b.instrument_id = a.instrument_id AND b.interval = '1d'
      AND b.timestamp < a.ex_date::timestamp AT TIME ZONE 'UTC'
      AND b.timestamp >= (a.ex_date - 10)::timestamp AT TIME ZONE 'UTC'
    ORDER BY b.timestamp DESC LIMIT 1
) p ON true
CROSS JOIN LATERAL (
    SELECT fintrack.product(s.denominator) / fintrack.product(s.numerator) AS basis
    FROM fintrack.corporate_actions s
    WHERE s.instrument_id = a.instrument_id AND s.kind = 'split'
      AND s.ex_date > greatest((p.timestamp AT TIME ZONE 'UTC')::date, p.adjusted_to)
) c
CROSS JOIN LATERAL (
    SELECT fintrack.product(s.denominator) / fintrack.product(s.numerator) AS basis
    FROM fintrack.corporate_actions s
    WHERE s.instrument_id = a.instrument_id AND s.kind = 'split' AND s.ex_date > greatest(a.ex_date, a.adjusted_to)
) d
CROSS JOIN LATERAL (SELECT {_PAID.format("a")} AS amount) m
CROSS JOIN LATERAL (
    SELECT coalesce(sum({_PAID.format("o")}), 0) AS amount FROM fintrack.corporate_actions o
    WHERE a.kind = 'capital_gain' AND o.instrument_id = a.instrument_id AND o.ex_date = a.ex_date
      AND o.kind = 'dividend'
) h;
"""  # noqa: S608  built from the constants above

COVERAGE = "ALTER TABLE fintrack.coverage ADD COLUMN providers text[]"


def upgrade() -> None:
    """Change them."""
    op.execute(ACTIONS)
    op.execute(FACTORS)
    op.execute(_replacing(_earlier()["ADJUSTED"]).replace("a.kind = 'dividend'", "a.kind <> 'split'"))
    op.execute(COVERAGE)


def downgrade() -> None:
    """Change them back; capital gains and payments without an amount go."""
    op.execute("ALTER TABLE fintrack.coverage DROP COLUMN providers")
    earlier = _earlier()
    for name in ("ADJUSTED", "FACTORS"):
        op.execute(_replacing(earlier[name]))
    op.execute(
        "DELETE FROM fintrack.corporate_actions WHERE kind = 'capital_gain' OR kind <> 'split' AND amount IS NULL"
    )
    op.execute(
        "ALTER TABLE fintrack.corporate_actions DROP CONSTRAINT corporate_actions_kind_check,"
        " DROP CONSTRAINT corporate_actions_check,"
        " ADD CONSTRAINT corporate_actions_kind_check CHECK (kind IN ('split', 'dividend')),"
        " ADD CONSTRAINT corporate_actions_check CHECK ((kind = 'split') = (numerator IS NOT NULL)"
        " AND (kind = 'split') = (denominator IS NOT NULL) AND (kind = 'dividend') = (amount IS NOT NULL))"
    )


def _earlier() -> dict[str, str]:
    """The views as revision 0005 made them."""
    return runpy.run_path(str(Path(__file__).with_name("0005_actions_and_conversion.py")))


def _replacing(view: str) -> str:
    return view.replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)
