"""Budget classes, deferred items, several providers' opinions of one item, and absences that need a second look.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ITEMS = """
ALTER TABLE fintrack.run_items
    ADD COLUMN budget    smallint NOT NULL DEFAULT 0 CHECK (budget BETWEEN 0 AND 2),
    ADD COLUMN consensus smallint NOT NULL DEFAULT 1 CHECK (consensus >= 1),
    ADD COLUMN deferred  boolean NOT NULL DEFAULT false,
    ADD COLUMN losses    integer NOT NULL DEFAULT 0
"""

COVERAGE = "ALTER TABLE fintrack.coverage ADD COLUMN confirmations integer NOT NULL DEFAULT 1"

OPINIONS = """
CREATE TABLE fintrack.opinions (
    item_id  uuid NOT NULL REFERENCES fintrack.run_items ON DELETE CASCADE,
    provider text NOT NULL,
    batch    jsonb NOT NULL,
    PRIMARY KEY (item_id, provider)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON fintrack.opinions TO fintrack_writer;
GRANT ALL ON fintrack.opinions TO fintrack_admin;
"""


def upgrade() -> None:
    """Add them."""
    op.execute(ITEMS)
    op.execute(COVERAGE)
    op.execute(OPINIONS)


def downgrade() -> None:
    """Remove them."""
    op.execute("DROP TABLE fintrack.opinions")
    op.execute("ALTER TABLE fintrack.coverage DROP COLUMN confirmations")
    op.execute(
        "ALTER TABLE fintrack.run_items DROP COLUMN budget, DROP COLUMN consensus, DROP COLUMN deferred,"
        " DROP COLUMN losses"
    )
