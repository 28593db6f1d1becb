"""Quality measured once per run, and models of anomalies with the bars that they flagged.

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MEASURED = """
ALTER TABLE fintrack.runs ADD COLUMN measured_at timestamptz;
UPDATE fintrack.runs SET measured_at = finished_at WHERE finished_at IS NOT NULL;  -- what is past is not measured
CREATE INDEX runs_unmeasured ON fintrack.runs (finished_at) WHERE measured_at IS NULL AND finished_at IS NOT NULL;
"""

METRICS = """
DELETE FROM fintrack.quality_metrics older USING fintrack.quality_metrics newer
WHERE (older.run_id, older.instrument_id, older.day, older.metric) =
      (newer.run_id, newer.instrument_id, newer.day, newer.metric)
  AND coalesce(older.detail ->> 'provider', '') = coalesce(newer.detail ->> 'provider', '') AND older.id < newer.id;
CREATE UNIQUE INDEX quality_metrics_once ON fintrack.quality_metrics
    (run_id, instrument_id, day, metric, coalesce(detail ->> 'provider', ''));
CREATE INDEX quality_metrics_day ON fintrack.quality_metrics USING brin (day);
"""

ANOMALIES = """
CREATE TABLE fintrack.anomaly_models (
    instrument_id integer NOT NULL REFERENCES fintrack.instruments,
    interval      text NOT NULL,
    version       integer NOT NULL CHECK (version > 0),
    model         jsonb NOT NULL,
    forest        bytea,  -- JSON under zstd; null once newer versions have taken its place
    fingerprint   text NOT NULL,
    trained_at    timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, interval, version),
    UNIQUE (instrument_id, interval, fingerprint)
);
CREATE TABLE fintrack.anomalies (
    instrument_id integer NOT NULL,
    interval      text NOT NULL,
    timestamp     timestamptz NOT NULL,
    version       integer NOT NULL,
    detectors     text[] NOT NULL,
    score         double precision NOT NULL,
    detail        jsonb NOT NULL,
    run_id        uuid,
    flagged_at    timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, interval, timestamp, version),
    FOREIGN KEY (instrument_id, interval, version) REFERENCES fintrack.anomaly_models
);
GRANT SELECT, INSERT, UPDATE, DELETE ON fintrack.anomaly_models, fintrack.anomalies TO fintrack_writer;
GRANT ALL ON fintrack.anomaly_models, fintrack.anomalies TO fintrack_admin;
"""


def upgrade() -> None:
    """Add them."""
    op.execute(MEASURED)
    op.execute(METRICS)
    op.execute(ANOMALIES)


def downgrade() -> None:
    """Remove them."""
    op.execute("DROP TABLE fintrack.anomalies, fintrack.anomaly_models")
    op.execute("DROP INDEX fintrack.quality_metrics_day, fintrack.quality_metrics_once")
    op.execute("ALTER TABLE fintrack.runs DROP COLUMN measured_at")
