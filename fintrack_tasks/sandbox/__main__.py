"""``python -m fintrack_tasks.sandbox``: serve the local market until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.fetch.providers.base import Quota
from fintrack_tasks.fetch.quota.limits import parse_quotas
from fintrack_tasks.sandbox.server import FAKE_APIS, serve


def main() -> None:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(prog="fintrack sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=_port, default=0, help="0 for a free one")
    parser.add_argument("--port-file", type=Path, help="where the port is written once the server answers")
    parser.add_argument("--seed", type=int, default=7, help="the seed of synthetic prices and faults")
    parser.add_argument("--quota", action="append", default=[], metavar="PROVIDER=20/s,600/m")
    parser.add_argument(
        "--quotas", choices=["lifted", "real"], default="lifted", help="real: each provider's public plan"
    )
    arguments = parser.parse_args()

    def ready(port: int) -> None:
        if arguments.port_file:
            part = arguments.port_file.with_name(f"{arguments.port_file.name}.part")
            part.write_text(str(port))
            part.replace(arguments.port_file)  # whole or not at all, for those who wait for it
        print(f"http://{arguments.host}:{port}", flush=True)  # noqa: T201  the command's output

    try:
        serve(arguments.host, arguments.port, arguments.seed, _quotas(arguments.quotas, arguments.quota), ready)
    except (ConfigurationError, OSError) as error:
        sys.exit(f"fintrack sandbox: {error}")


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise ValueError(text)
    return port


def _quotas(plan: str, given: list[str]) -> dict[str, tuple[Quota, ...]]:
    made = {name: parse_quotas(api.real_quotas) for name, api in FAKE_APIS.items()} if plan == "real" else {}
    for text in given:
        name, _, limits = text.partition("=")
        if name not in FAKE_APIS:
            raise ConfigurationError(f"--quota {text!r:.60}: the sandbox plays {', '.join(FAKE_APIS)}")
        made[name] = parse_quotas(limits, f"--quota {name}")
    return made


if __name__ == "__main__":
    main()
