"""Who decided on a quarantined row and when, what releasing it needs, and the flags of rows that were loaded.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

QUARANTINE = """
ALTER TABLE fintrack.quarantine
    ADD COLUMN currency   text,
    ADD COLUMN decided_at timestamptz,
    ADD COLUMN decided_by text;
CREATE INDEX quarantine_held ON fintrack.quarantine (id) WHERE status = 'held';
CREATE INDEX quarantine_discarded ON fintrack.quarantine (md5(content::text)) WHERE status = 'discarded';
"""

FLAGS = """
CREATE TABLE fintrack.flags (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instrument_id integer NOT NULL REFERENCES fintrack.instruments,
    interval      text,
    timestamp     timestamptz NOT NULL,
    source        text NOT NULL,
    rule          text NOT NULL,
    detail        text NOT NULL,
    item_id       uuid NOT NULL,
    created_at    timestamptz NOT NULL,
    UNIQUE (item_id, timestamp, rule)
);
CREATE INDEX flags_instrument ON fintrack.flags (instrument_id, interval, timestamp);
GRANT SELECT, INSERT, UPDATE, DELETE ON fintrack.flags TO fintrack_writer;
GRANT ALL ON fintrack.flags TO fintrack_admin;
"""


def upgrade() -> None:
    """Add them."""
    op.execute(QUARANTINE)
    op.execute(FLAGS)


def downgrade() -> None:
    """Remove them."""
    op.execute("DROP TABLE fintrack.flags")
    op.execute("DROP INDEX fintrack.quarantine_held, fintrack.quarantine_discarded")
    op.execute("ALTER TABLE fintrack.quarantine DROP COLUMN currency, DROP COLUMN decided_at, DROP COLUMN decided_by")
