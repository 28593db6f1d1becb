"""How long the three embedded servers take to answer: in a new folder (cold), and over data that is there (warm).

Run: ``python benchmarks/start.py``; ends with one JSON line.
"""

import json
import os
import tempfile
import time
from pathlib import Path

from fintrack_tasks.embedded import Stack

ROUNDS = 3


def started(stack: Stack) -> float:
    """Seconds until every server of the stack answers."""
    began = time.perf_counter()
    stack.start()
    return time.perf_counter() - began


def main() -> None:
    """Print the seconds of each round, and the load, which both depend on."""
    cold, warm = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o711)  # as root PostgreSQL has an account of its own, which passes through it
            stack = Stack(Path(folder) / "home")
            try:
                cold.append(started(stack))
                stack.stop()
                warm.append(started(stack))
            finally:
                stack.stop()
    rounded = {name: [round(s, 2) for s in seconds] for name, seconds in (("cold", cold), ("warm", warm))}
    print(json.dumps({**rounded, "load": round(os.getloadavg()[0], 1), "cpus": os.cpu_count()}))


if __name__ == "__main__":
    main()
