"""PostgreSQL: one module for each table or closely related group. Every write is idempotent."""

from fintrack_tasks.store.connection import Database, DatabaseConnection

__all__ = ["Database", "DatabaseConnection"]
