"""PostgreSQL: the schema, the ledger, loading, and what is read back. Every write may run twice."""

from fintrack_tasks.store.connection import Database, DatabaseConnection

__all__ = ["Database", "DatabaseConnection"]
