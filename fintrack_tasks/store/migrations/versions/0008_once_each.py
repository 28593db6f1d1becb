"""A rejected row once, however often it comes, with what its batch said beside it; a mark once on the row it is on.

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

QUARANTINE = """
ALTER TABLE fintrack.quarantine ADD COLUMN meta jsonb, ADD COLUMN seen_at timestamptz;
UPDATE fintrack.quarantine SET seen_at = created_at;
ALTER TABLE fintrack.quarantine ALTER COLUMN seen_at SET NOT NULL;
DROP INDEX fintrack.quarantine_discarded;
CREATE INDEX quarantine_content ON fintrack.quarantine (md5(content::text));
"""

FLAGS = """
DELETE FROM fintrack.flags older USING fintrack.flags newer
WHERE (older.instrument_id, older.timestamp, older.source, older.rule) =
      (newer.instrument_id, newer.timestamp, newer.source, newer.rule)
  AND older.interval IS NOT DISTINCT FROM newer.interval AND older.id < newer.id;
ALTER TABLE fintrack.flags DROP CONSTRAINT flags_item_id_timestamp_rule_key,
    ADD CONSTRAINT flags_once UNIQUE NULLS NOT DISTINCT (instrument_id, interval, timestamp, source, rule);
DROP INDEX fintrack.flags_instrument;  -- the new key begins with its columns
CREATE INDEX flags_item ON fintrack.flags (item_id);
"""


def upgrade() -> None:
    """Change them."""
    op.execute(QUARANTINE)
    op.execute(FLAGS)


def downgrade() -> None:
    """Change them back; what was there twice stays gone."""
    op.execute("DROP INDEX fintrack.flags_item")
    op.execute("CREATE INDEX flags_instrument ON fintrack.flags (instrument_id, interval, timestamp)")
    op.execute(
        "ALTER TABLE fintrack.flags DROP CONSTRAINT flags_once,"
        " ADD CONSTRAINT flags_item_id_timestamp_rule_key UNIQUE (item_id, timestamp, rule)"
    )
    op.execute("DROP INDEX fintrack.quarantine_content")
    op.execute(
        "CREATE INDEX quarantine_discarded ON fintrack.quarantine (md5(content::text)) WHERE status = 'discarded'"
    )
    op.execute("ALTER TABLE fintrack.quarantine DROP COLUMN meta, DROP COLUMN seen_at")
