"""Everything that only reads for people: bars, quotes, longer bars, where a value comes from, runs.

What writes is in :mod:`fintrack_tasks.pipeline`; what both need of a table is in :mod:`fintrack_tasks.store`.
"""
