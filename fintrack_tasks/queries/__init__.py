"""Reads for people: bars, longer bars, the explanation of a value, quality, quarantine, runs, an overview.

What writes is in :mod:`fintrack_tasks.pipeline`; what both need of a table is in :mod:`fintrack_tasks.store`.
"""
