"""Alembic's entry: runs the migrations over the connection that :mod:`fintrack_tasks.store.migrate` hands in."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table_schema="fintrack", transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
