"""Everything that only reads for people: bars, longer bars, the origin of a value, quality, quarantine, runs, an overview.

What writes is in :mod:`fintrack_tasks.pipeline`; what both need of a table is in :mod:`fintrack_tasks.store`.
"""
