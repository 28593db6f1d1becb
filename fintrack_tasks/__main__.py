"""``fintrack`` and ``python -m fintrack_tasks``: the operator's commands.

The entry point stands here and not among the commands, for what is imported before its first line can be interrupted
with nothing but a stack trace.
"""

from __future__ import annotations

import signal


def main() -> None:
    """Run a command. Ctrl-C ends it at once and in silence until the commands are there to say more."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job that ignores it goes on so
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from fintrack_tasks.cli import main as commands  # noqa: PLC0415  see above

    commands()


if __name__ == "__main__":
    main()
