"""The keys under which stages sign their messages: read by the tasks, not by readers, and never in the broker.

Revision ID: 0013
Revises: 0012
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# Made by the server from its own strong random numbers, so that no statement carries a key.
KEYS = """
CREATE TABLE fintrack.message_keys (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    secret     bytea NOT NULL
               DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')
               CHECK (length(secret) >= 32),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO fintrack.message_keys DEFAULT VALUES;
REVOKE ALL ON fintrack.message_keys FROM PUBLIC, fintrack_reader, fintrack_writer;
GRANT SELECT ON fintrack.message_keys TO fintrack_writer;
GRANT ALL ON fintrack.message_keys TO fintrack_admin;
"""


def upgrade() -> None:
    """Make the table and its first key."""
    op.execute(KEYS)


def downgrade() -> None:
    """Messages go unsigned again."""
    op.execute("DROP TABLE fintrack.message_keys")
