"""The local market in a thread of this process, for tests and benchmarks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.fetch.quota.limits import parse_quotas
from fintrack_tasks.sandbox.control import Control
from fintrack_tasks.sandbox.server import FAKE_APIS, Sandbox, base_urls, listen

__all__ = ["Running", "running"]

_START_SECONDS = 10


@dataclass(frozen=True)
class Running:
    """A sandbox that runs in a thread of this process."""

    port: int
    sandbox: Sandbox

    @property
    def url(self) -> str:
        """Its address, without a provider."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point each provider at it."""
        return base_urls(self.port)

    @property
    def provider_base_urls(self) -> dict[str, str]:
        """Provider name to address, as the settings hold them."""
        return {name: f"{self.url}/{name}" for name in FAKE_APIS}

    @property
    def control(self) -> Control:
        """A client of its control endpoint."""
        return Control(self.url)


@contextmanager
def running(
    seed: int = 7,
    quotas: Mapping[str, str] | None = None,
    clock: Callable[[], datetime] | None = None,
    timer: Callable[[], float] = time.time,
) -> Iterator[Running]:
    """A sandbox for the length of a ``with`` block, on a free port of 127.0.0.1.

    :param quotas: provider name to text such as ``20/s,600/m``.
    :param clock: the market's time; called in the sandbox's thread.
    :param timer: epoch seconds by which quotas are counted.
    """
    sandbox = Sandbox(seed, {name: parse_quotas(text, name) for name, text in (quotas or {}).items()}, clock, timer)
    loop = asyncio.new_event_loop()
    stop, began, ports = asyncio.Event(), threading.Event(), list[int]()

    def ready(port: int) -> None:
        ports.append(port)
        began.set()

    def work() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(listen(stop, sandbox, "127.0.0.1", 0, ready))

    thread = threading.Thread(target=work, name="sandbox", daemon=True)
    thread.start()
    if not began.wait(_START_SECONDS):
        raise ConfigurationError("the sandbox did not start")
    try:
        yield Running(ports[0], sandbox)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(_START_SECONDS)
        loop.close()
