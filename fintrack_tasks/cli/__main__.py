"""``python -m fintrack_tasks.cli``: the same as ``fintrack``."""

from fintrack_tasks.cli import main

main()
