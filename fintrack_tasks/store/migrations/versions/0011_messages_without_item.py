"""Dead letters of messages that belong to no item.

Revision ID: 0011
Revises: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """An item, or the message itself with the task that it names."""
    op.execute(
        "ALTER TABLE fintrack.dead_letters ALTER COLUMN item_id DROP NOT NULL, ADD COLUMN task text,"
        " ADD COLUMN message text,"
        " ADD CONSTRAINT dead_letters_of CHECK (item_id IS NOT NULL OR message IS NOT NULL)"
    )
    op.execute("CREATE INDEX dead_letters_messages ON fintrack.dead_letters (id) WHERE item_id IS NULL")


def downgrade() -> None:
    """Items only; the other letters are gone."""
    op.execute("DELETE FROM fintrack.dead_letters WHERE item_id IS NULL")
    op.execute("DROP INDEX fintrack.dead_letters_messages")
    op.execute(
        "ALTER TABLE fintrack.dead_letters DROP CONSTRAINT dead_letters_of, DROP COLUMN task, DROP COLUMN message,"
        " ALTER COLUMN item_id SET NOT NULL"
    )
