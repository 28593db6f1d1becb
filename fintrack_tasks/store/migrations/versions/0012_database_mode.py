"""Whose prices a database holds, written once: the real providers' or the local market's.

A database of before says nothing until prices come, or until fintrack db upgrade is told whose.

Revision ID: 0012
Revises: 0011
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

MODE = """
CREATE TABLE fintrack.database_mode (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    mode     text NOT NULL CHECK (mode IN ('live', 'simulated')),
    since    timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON fintrack.database_mode TO fintrack_reader, fintrack_writer;
GRANT INSERT ON fintrack.database_mode TO fintrack_writer;  -- and no UPDATE: what is written once stays
GRANT ALL ON fintrack.database_mode TO fintrack_admin;
"""


def upgrade() -> None:
    """Create it."""
    op.execute(MODE)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE fintrack.database_mode")
