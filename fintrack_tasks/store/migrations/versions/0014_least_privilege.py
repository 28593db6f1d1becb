"""Tables that their admin owns, an audit log that nobody owns who can log in, and rights for what the tasks do.

Until now everything belonged to whoever ran the migrations, as a rule a superuser. From here on it belongs to
``fintrack_admin``, as which every later migration runs: any member of it can. The schema and the audit log belong to
``fintrack_audit``, which has no member: the owner of a table may give himself every right on it again, and the owner of
a schema may drop what is in it. Run by a superuser, or by the database's owner with CREATEROLE.

Revision ID: 0014
Revises: 0013
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ROLES = """
DO $$
DECLARE wanted text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fintrack_audit') THEN
        BEGIN
            CREATE ROLE fintrack_audit NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- another database of this server makes it right now
        END;
    END IF;
    -- Only who could take a role on may give it something. A superuser always can; who made the roles may let himself.
    FOREACH wanted IN ARRAY ARRAY['fintrack_admin', 'fintrack_audit'] LOOP
        IF NOT pg_has_role(current_user, wanted, 'SET') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
        END IF;
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the role % may not hand the tables over to fintrack_admin and fintrack_audit', current_user
        USING ERRCODE = 'insufficient_privilege', HINT = 'run fintrack db upgrade once as a superuser';
END $$
"""

# Tables with what belongs to them, views and functions; what an extension brought stays its own.
HAND_OVER = """
DO $$
DECLARE what record;
BEGIN
    FOR what IN
        SELECT format('ALTER TABLE %s OWNER TO {owner}', c.oid::regclass) AS statement FROM pg_class c
        WHERE c.relnamespace = 'fintrack'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO {owner}', p.oid::regprocedure) FROM pg_proc p
        WHERE p.pronamespace = 'fintrack'::regnamespace
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE what.statement;
    END LOOP;
END $$
"""

SCHEMA = """
DO $$ BEGIN
    EXECUTE format('GRANT CREATE, TEMPORARY ON DATABASE %I TO fintrack_admin', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO fintrack_writer', current_database());
END $$;
GRANT CREATE ON SCHEMA fintrack TO fintrack_audit;
ALTER SCHEMA fintrack OWNER TO fintrack_audit;
"""

AUDIT_LOG = """
CREATE FUNCTION fintrack.refuse_change_of_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'the audit log is added to, never changed' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fintrack.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION fintrack.refuse_change_of_audit_log();
ALTER FUNCTION fintrack.refuse_change_of_audit_log() OWNER TO fintrack_audit;
ALTER TABLE fintrack.audit_log OWNER TO fintrack_audit;
REVOKE ALL ON fintrack.audit_log FROM fintrack_admin, fintrack_writer;
GRANT SELECT, INSERT ON fintrack.audit_log TO fintrack_admin, fintrack_writer;
"""

# What a bar was before is added and not touched again. Views are for reading, and a partition is reached through its
# table.
WRITER = """
REVOKE UPDATE, DELETE ON fintrack.bar_versions FROM fintrack_writer;
DO $$
DECLARE what record;
BEGIN
    FOR what IN SELECT oid::regclass AS name, relkind FROM pg_class
        WHERE relnamespace = 'fintrack'::regnamespace AND (relkind = 'v' OR relispartition AND relkind IN ('r', 'p'))
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM fintrack_writer', what.name);
        IF what.relkind = 'v' THEN
            EXECUTE format('GRANT SELECT ON %s TO fintrack_writer', what.name);
        END IF;
    END LOOP;
END $$;
"""

# What the reading commands ask: prices and the ledger behind them. Neither the outbox nor the audit log.
READ = (
    "alembic_version", "instruments", "quotes", "bars", "bar_versions", "index_indicators", "corporate_actions",
    "fx_rates", "runs", "run_items", "payloads", "coverage", "quarantine", "flags", "dead_letters", "quality_metrics",
    "anomalies", "anomaly_models",
)  # fmt: skip
READER = f"SELECT ON {', '.join(f'fintrack.{name}' for name in READ)}"

LATER = """
ALTER DEFAULT PRIVILEGES FOR ROLE fintrack_admin IN SCHEMA fintrack
    {verb} SELECT, INSERT, UPDATE, DELETE ON TABLES {to} fintrack_writer;
ALTER DEFAULT PRIVILEGES FOR ROLE fintrack_admin IN SCHEMA fintrack {verb} USAGE ON SEQUENCES {to} fintrack_writer;
"""

ALONE = """
DO $$ BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        REVOKE fintrack_audit FROM CURRENT_USER;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'as a superuser, run: REVOKE fintrack_audit FROM %', quote_ident(current_user);
END $$
"""


def upgrade() -> None:
    """Hand everything over, and go on as its new owner."""
    op.execute(ROLES)
    op.execute(SCHEMA)
    op.execute(HAND_OVER.format(owner="fintrack_admin"))
    op.execute(AUDIT_LOG)
    op.execute(WRITER)
    op.execute(f"GRANT {READER} TO fintrack_reader")
    op.execute(LATER.format(verb="GRANT", to="TO"))
    op.execute(ALONE)
    op.execute("SET ROLE fintrack_admin")


def downgrade() -> None:
    """Give everything back to who runs this, a superuser."""
    op.execute(LATER.format(verb="REVOKE", to="FROM"))
    op.execute("DROP TRIGGER audit_log_is_append_only ON fintrack.audit_log")
    op.execute("DROP FUNCTION fintrack.refuse_change_of_audit_log()")
    op.execute(HAND_OVER.format(owner="CURRENT_USER"))
    op.execute("ALTER SCHEMA fintrack OWNER TO CURRENT_USER")
    op.execute(
        "GRANT ALL ON fintrack.audit_log TO fintrack_admin;"
        " GRANT UPDATE, DELETE ON fintrack.bar_versions TO fintrack_writer;"
        f" REVOKE {READER} FROM fintrack_reader"
    )
