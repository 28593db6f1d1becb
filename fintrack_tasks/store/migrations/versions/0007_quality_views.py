"""What readers see of the quality of their data: measures by day, and the marks on what was loaded.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

VIEWS = """
CREATE VIEW fintrack.data_quality AS
SELECT i.symbol, i.asset_class, q.day, q.metric, q.value, q.detail, r.job, q.run_id, q.created_at
FROM fintrack.quality_metrics q
JOIN fintrack.instruments i ON i.id = q.instrument_id
LEFT JOIN fintrack.runs r ON r.id = q.run_id;

-- What the rules marked, and what the newest model of an instrument holds for unlike its own.
CREATE VIEW fintrack.data_flags AS
SELECT i.symbol, i.asset_class, f.interval, f.timestamp, f.rule, f.detail, f.source, f.item_id, f.created_at
FROM fintrack.flags f JOIN fintrack.instruments i ON i.id = f.instrument_id
UNION ALL
SELECT i.symbol, i.asset_class, a.interval, a.timestamp, 'anomaly',
       array_to_string(a.detectors, ', ') || ': score ' || round(a.score::numeric, 3), b.source, b.item_id, a.flagged_at
FROM fintrack.anomalies a
JOIN fintrack.instruments i ON i.id = a.instrument_id
LEFT JOIN fintrack.bars b USING (instrument_id, interval, timestamp)
WHERE NOT EXISTS (
    SELECT FROM fintrack.anomalies n
    WHERE (n.instrument_id, n.interval, n.timestamp) = (a.instrument_id, a.interval, a.timestamp)
      AND n.version > a.version
);

GRANT SELECT ON fintrack.data_quality, fintrack.data_flags TO fintrack_reader, fintrack_writer, fintrack_admin;
"""


def upgrade() -> None:
    """Add them."""
    op.execute(VIEWS)


def downgrade() -> None:
    """Remove them."""
    op.execute("DROP VIEW fintrack.data_flags, fintrack.data_quality")
