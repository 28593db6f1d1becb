"""All indicators of an index, and what carries its recursions from one bar to the next.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OLD = ("sma_20", "sma_50", "rsi_14", "macd", "macd_signal", "macd_histogram", "volatility_20")
NEW = (
    "change", "change_pct", "log_change", "sma_200", "ema_12", "ema_26", "bollinger_upper", "bollinger_lower", "atr_14",
    "vwap", "obv", "parkinson_20", "garman_klass_20", "drawdown", "beta_60", "correlation_60", "sharpe_252",
    "var_95_252",
)  # fmt: skip
STATE = ("bars_seen", "rsi_gain", "rsi_loss", "macd_fast", "peak")

GRANTS = """
GRANT SELECT ON fintrack.market_index_data TO fintrack_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON fintrack.market_index_data TO fintrack_writer;
GRANT ALL ON fintrack.market_index_data TO fintrack_admin;
"""


def view(names: tuple[str, ...]) -> None:
    """Make the view anew with these indicators, and give it the rights that it had."""
    op.execute("DROP VIEW fintrack.market_index_data")
    op.execute(
        "CREATE VIEW fintrack.market_index_data AS"  # noqa: S608  built from the constants above
        " SELECT i.symbol, b.interval, b.timestamp, b.open, b.high, b.low, b.close, b.adj_close, b.volume, b.is_final,"
        f" b.source, {', '.join(f'x.{name}' for name in names)}, x.computed_at"
        " FROM fintrack.index_indicators x"
        " JOIN fintrack.bars b USING (instrument_id, interval, timestamp)"
        " JOIN fintrack.instruments i ON i.id = x.instrument_id"
    )
    op.execute(GRANTS)


def upgrade() -> None:
    """Add the columns, which old rows leave empty until their bars are fetched again."""
    added = ", ".join(f"ADD COLUMN {name} numeric" for name in (*NEW, *STATE))
    op.execute(f"ALTER TABLE fintrack.index_indicators {added}")
    view((*OLD, *NEW))


def downgrade() -> None:
    """Remove them."""
    view(OLD)
    dropped = ", ".join(f"DROP COLUMN {name}" for name in (*NEW, *STATE))
    op.execute(f"ALTER TABLE fintrack.index_indicators {dropped}")
