"""The HTTP server: venues below their names, and a control endpoint below ``/_control``."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.client import responses
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import orjson
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine
from tornado.netutil import bind_sockets

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.fetch.providers.base import Quota
from fintrack_tasks.fetch.quota import parse_quotas
from fintrack_tasks.sandbox.faults import Fault, Faults, spoil
from fintrack_tasks.sandbox.market import Market
from fintrack_tasks.sandbox.quotas import Ledger, Request
from fintrack_tasks.sandbox.venues import coinbase, yahoo_finance
from fintrack_tasks.sandbox.venues.base import Reply, Venue, json_reply

__all__ = ["VENUES", "Running", "Sandbox", "base_urls", "running", "serve"]

VENUES: Final[Mapping[str, Venue]] = {v.name: v for v in (yahoo_finance.VENUE, coinbase.VENUE)}

_HANG_SECONDS: Final = 300.0
_CONTROL_BODY: Final = 64 * 1024
_SHOWN_OF_A_KEY: Final = 4


class Sandbox:
    """The market, its venues, what is counted and what goes wrong; the state of one server."""

    def __init__(
        self,
        seed: int = 7,
        quotas: Mapping[str, tuple[Quota, ...]] | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.market = Market(seed, clock)
        self.ledger = Ledger(quotas)
        self.faults = Faults(seed)

    def __call__(self, request: HTTPServerRequest) -> None:
        """Answer a request; tornado calls it once its body is there."""
        name, _, path = unquote(request.path).lstrip("/").partition("/")
        if name == "_control":
            _send(request, self._control(request.method or "", path, request.body, _params(request)))
            return
        venue = VENUES.get(name)
        if venue is None:
            _send(request, json_reply({"message": f"the sandbox plays {', '.join(VENUES)}"}, 404))
            return
        self._play(request, venue, path)

    def _play(self, request: HTTPServerRequest, venue: Venue, path: str) -> None:
        params, at = _params(request), time.time()
        key = venue.key_of(params, request.headers)
        symbol = venue.symbol_of(path, params)
        wait = self.ledger.admit(venue.name, key, at)
        fault = self.faults.take(venue.name, symbol) if wait is None else None
        if wait is not None or (fault and fault.kind == "storm429"):
            reply = venue.too_many()
        elif fault and fault.kind == "status":
            reply = venue.failed(fault.status)
        elif request.method != "GET":
            reply = json_reply({"message": "only GET"}, 405)
        else:
            reply = venue.answer(self.market, path, params)
        self.ledger.note(Request(at, venue.name, key[-_SHOWN_OF_A_KEY:], path[:200], reply.status))
        if fault is None:
            _send(request, reply)
        elif fault.kind == "latency":
            _later(fault.seconds, lambda: _send(request, reply))
        elif fault.kind == "timeout":
            _later(_HANG_SECONDS, lambda: _send(request, reply))
        elif fault.kind == "cut":
            _send_cut(request, reply)
        else:
            _send(request, spoil(fault, reply))

    def _control(self, method: str, path: str, body: bytes, params: Mapping[str, str]) -> Reply:
        try:
            if path == "health" and method == "GET":
                return json_reply({"healthy": True, "now": self.market.now().isoformat(), "seed": self.market.seed})
            if path == "requests":
                return self._requests(method, params)
            if path == "faults":
                return self._faults(method, body)
            if path == "quotas":
                return self._quotas(method, body)
        except (ValueError, ConfigurationError) as error:
            return json_reply({"message": str(error)}, 400)
        return json_reply({"message": "health, requests, faults, quotas"}, 404)

    def _requests(self, method: str, params: Mapping[str, str]) -> Reply:
        if method == "DELETE":
            self.ledger.clear()
            return json_reply({})
        windows = [float(text) for text in params.get("windows", "").split(",") if text]
        return json_reply(self.ledger.report(windows, listed=params.get("list", "1") != "0"))

    def _faults(self, method: str, body: bytes) -> Reply:
        if method == "POST":
            self.faults.add(Fault.of(_object(body)))
        elif method == "DELETE":
            self.faults.clear()
        return json_reply({"faults": self.faults.report()})

    def _quotas(self, method: str, body: bytes) -> Reply:
        if method == "POST":
            wanted = _object(body)
            made = {}
            for name, text in wanted.items():
                if name not in VENUES or not isinstance(text, str):
                    raise ValueError(f"quotas are given as text for one of {', '.join(VENUES)}")
                made[name] = parse_quotas(text, name)
            self.ledger.quotas.update(made)
        return json_reply({n: [[q.limit, q.seconds] for q in quotas] for n, quotas in self.ledger.quotas.items()})


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > _CONTROL_BODY:
        raise ValueError("the body is too large")
    value = orjson.loads(body)
    if not isinstance(value, dict):
        raise ValueError("the body is no JSON object")  # noqa: TRY004  it becomes a 400 like every wrong body
    return value


def _params(request: HTTPServerRequest) -> dict[str, str]:
    return dict(parse_qsl(request.query, keep_blank_values=True, max_num_fields=100)) if request.query else {}


def _start(request: HTTPServerRequest, reply: Reply) -> None:
    headers = HTTPHeaders({"Content-Type": reply.content_type, "Content-Length": str(len(reply.body)), **reply.headers})
    line = ResponseStartLine("HTTP/1.1", reply.status, responses.get(reply.status, ""))
    if request.connection is not None:
        request.connection.write_headers(line, headers, reply.body)


def _send(request: HTTPServerRequest, reply: Reply) -> None:
    if request.connection is None or request.connection.stream.closed():  # type: ignore[attr-defined]
        return  # the client did not wait
    _start(request, reply)
    request.connection.finish()


def _send_cut(request: HTTPServerRequest, reply: Reply) -> None:
    """Promise the whole body, send half of it, and hang up."""
    if request.connection is None:
        return
    stream = request.connection.detach()  # type: ignore[attr-defined]
    head = (
        f"HTTP/1.1 {reply.status} OK\r\nContent-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n\r\n"
    )
    stream.write(head.encode() + reply.body[: len(reply.body) // 2]).add_done_callback(lambda _: stream.close())


def _later(seconds: float, action: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, action)


def base_urls(port: int, host: str = "127.0.0.1") -> dict[str, str]:
    """The variables that point each provider at the sandbox, such as ``COINBASE_BASE_URL``."""
    return {f"{name.upper()}_BASE_URL": f"http://{host}:{port}/{name}" for name in VENUES}


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    seed: int = 7,
    quotas: Mapping[str, tuple[Quota, ...]] | None = None,
    ready: Callable[[int], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; ``ready`` is told the port."""

    async def main() -> None:
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        await _until(stop, Sandbox(seed, quotas), host, port, ready or (lambda _: None))

    asyncio.run(main())


async def _until(stop: asyncio.Event, sandbox: Sandbox, host: str, port: int, ready: Callable[[int], None]) -> None:
    server = HTTPServer(sandbox, max_body_size=1024 * 1024, idle_connection_timeout=600)
    sockets = bind_sockets(port, host, socket.AF_INET)
    server.add_sockets(sockets)
    ready(sockets[0].getsockname()[1])
    await stop.wait()
    server.stop()
    await server.close_all_connections()


@dataclass(frozen=True)
class Running:
    """A sandbox that runs in a thread of this process."""

    port: int
    sandbox: Sandbox

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return base_urls(self.port)

    @property
    def provider_base_urls(self) -> dict[str, str]:
        """Provider name to address, as the settings hold them."""
        return {name: f"{self.url}/{name}" for name in VENUES}


@contextmanager
def running(
    seed: int = 7,
    quotas: Mapping[str, str] | None = None,
    clock: Callable[[], datetime] | None = None,
) -> Iterator[Running]:
    """A sandbox in a thread of this process, for tests."""
    sandbox = Sandbox(seed, {n: parse_quotas(t, n) for n, t in (quotas or {}).items()}, clock)
    began, ports = threading.Event(), []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def ready(port: int) -> None:
        ports.append(port)
        began.set()

    def work() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(_until(stop, sandbox, "127.0.0.1", 0, ready))

    thread = threading.Thread(target=work, name="sandbox", daemon=True)
    thread.start()
    if not began.wait(10):
        raise ConfigurationError("the sandbox did not start")
    try:
        yield Running(ports[0], sandbox)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
