"""The local market's HTTP server: each fake API below its provider's name, the control endpoint below ``/_control``."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from http.client import responses
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, unquote

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine
from tornado.netutil import bind_sockets

from fintrack_tasks import hosts
from fintrack_tasks.domain import ORIGIN_HEADER
from fintrack_tasks.fetch.providers.base import Quota
from fintrack_tasks.sandbox.control import ControlEndpoint
from fintrack_tasks.sandbox.fake_apis import all_apis
from fintrack_tasks.sandbox.fake_apis.base import FakeApi, Keyed, Priced, Reply, json_reply
from fintrack_tasks.sandbox.faults import Faults
from fintrack_tasks.sandbox.market import Market
from fintrack_tasks.sandbox.quotas import Request, RequestLog, named

__all__ = ["FAKE_APIS", "Sandbox", "base_urls", "listen", "serve"]

FAKE_APIS: Final[Mapping[str, FakeApi]] = MappingProxyType(all_apis())

_MOST_FIELDS: Final = 100
_PATH_KEPT: Final = 200
_STORM_WINDOW: Final = 60.0
_NO_PRICES: Final = "synthetic: the local market"

logger = logging.getLogger(__name__)


class Sandbox:
    """The state of one server: the market, the count of requests with their quotas, the faults that are on.

    :param quotas: provider name to its quotas; a provider that is absent has none.
    :param clock: the market's time, aware UTC; the machine's where none is given.
    :param timer: epoch seconds by which requests are counted and held against the quotas.
    """

    def __init__(
        self,
        seed: int = 7,
        quotas: Mapping[str, tuple[Quota, ...]] | None = None,
        clock: Callable[[], datetime] | None = None,
        timer: Callable[[], float] = time.time,
    ) -> None:
        self.market = Market(seed, clock)
        self.request_log = RequestLog(quotas)
        self.faults = Faults(seed)
        self._control = ControlEndpoint(self.market, self.request_log, self.faults, FAKE_APIS)
        self._timer = timer

    def __call__(self, request: HTTPServerRequest) -> None:
        """Answer a request; tornado calls it once its body is there."""
        name, _, path = unquote(request.path).lstrip("/").partition("/")
        params = _params(request)
        if name == "_control" and not _is_page(request):
            _send(request, self._control.answer(request.method or "", path, request.body, params or {}))
        elif name in FAKE_APIS:
            self._play(request, FAKE_APIS[name], path, params)
        elif name == "_control":
            _send(request, json_reply({"message": "no web page steers the local market"}, 403))
        else:
            _send(request, json_reply({"message": f"the sandbox plays {', '.join(FAKE_APIS)}"}, 404))

    def _play(self, request: HTTPServerRequest, api: FakeApi, path: str, params: Mapping[str, str] | None) -> None:
        at = self._timer()
        key = api.key_of(params or {}, request.headers)
        caller = named(key) if key else str(request.remote_ip)
        cost = api.credits_of(path, params or {}) if isinstance(api, Priced) else 1
        keyless = api.without_key() if isinstance(api, Keyed) and not key else None
        refusal = None if keyless else self.request_log.admit(api.name, caller, at, cost)
        fault = self.faults.next_fault(api.name, api.symbol_of(path, params or {})) if refusal is None else None
        if refusal:
            reply = api.too_many(key, refusal.window)
        elif fault and fault.kind == "storm429":
            after = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            reply = replace(api.too_many(key, _STORM_WINDOW), headers=after)
        elif fault and fault.kind == "status":
            reply = api.failed(fault.status)
        else:
            reply = keyless or self._answer(request, api, path, params)
        if fault:
            reply = self.faults.spoil(fault, reply, api)
        # Every answer bears it, errors too: nothing that is learnt here may count for the real providers.
        origin = reply.origin or self.market.origin() or _NO_PRICES
        reply = replace(reply, headers={**reply.headers, ORIGIN_HEADER: origin})
        refused = bool(refusal or reply.status == 429 or (fault and fault.kind == "storm429"))
        self.request_log.note(Request(at, api.name, caller, path[:_PATH_KEPT], reply.status, refused))
        if fault and fault.kind == "cut":
            _send_cut(request, reply)
        elif fault and fault.kind == "latency":
            asyncio.get_running_loop().call_later(fault.wait, _send, request, reply)
        elif fault and fault.kind == "timeout":
            asyncio.get_running_loop().call_later(fault.wait, _hang_up, request)
        else:
            _send(request, reply)

    def _answer(self, request: HTTPServerRequest, api: FakeApi, path: str, params: Mapping[str, str] | None) -> Reply:
        if request.method not in ("GET", "HEAD"):
            return api.failed(405)
        if params is None:
            return api.failed(400)
        try:
            return api.answer(self.market, path, params)
        except Exception:
            # The server's outer edge: a fault of ours must not look like a cut connection, and stays to be read.
            logger.exception("sandbox_request_failed", extra={"provider": api.name})
            return api.failed(500)


def _is_page(request: HTTPServerRequest) -> bool:
    """Whether a web page sent the request, which the control endpoint refuses: browsers send headers of its origin, and
    DNS rebinding a foreign name. Scripts send no such headers, and name the host by number or as localhost."""
    host = re.sub(r":\d*$", "", request.headers.get("Host", "")).strip("[]")
    foreign = request.headers.get("Sec-Fetch-Site", "none") != "none" or "Origin" in request.headers
    return foreign or not (hosts.is_named_loopback(host) or hosts.address_of(host))


def _params(request: HTTPServerRequest) -> dict[str, str] | None:
    """The query's parameters, the last of each name; ``None`` when there are too many to be meant."""
    try:
        return dict(parse_qsl(request.query, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        return None


def _gone(request: HTTPServerRequest) -> bool:
    """Whether the client did not wait."""
    return request.connection is None or request.connection.stream.closed()  # type: ignore[attr-defined]


def _send(request: HTTPServerRequest, reply: Reply) -> None:
    if _gone(request) or request.connection is None:
        return
    headers = HTTPHeaders({"Content-Type": reply.content_type, "Content-Length": str(len(reply.body)), **reply.headers})
    line = ResponseStartLine("HTTP/1.1", reply.status, responses.get(reply.status, "Unknown"))
    # The exception is fetched, so that asyncio does not report an answer whose client is gone.
    sent = request.connection.write_headers(line, headers, None if request.method == "HEAD" else reply.body)
    sent.add_done_callback(lambda done: done.exception())
    request.connection.finish()


def _send_cut(request: HTTPServerRequest, reply: Reply) -> None:
    """Promise the whole body, send half of it, and hang up."""
    if _gone(request) or request.connection is None:
        return
    stream = request.connection.detach()  # type: ignore[attr-defined]
    head = f"HTTP/1.1 {reply.status} {responses.get(reply.status, 'Unknown')}\r\n"
    head += f"Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items()) + "\r\n"
    stream.write(head.encode() + reply.body[: len(reply.body) // 2]).add_done_callback(lambda _: stream.close())


def _hang_up(request: HTTPServerRequest) -> None:
    if not _gone(request) and request.connection is not None:
        request.connection.detach().close()  # type: ignore[attr-defined]


def base_urls(port: int, host: str = "127.0.0.1") -> dict[str, str]:
    """The variables that point each provider at the sandbox, such as ``COINBASE_BASE_URL``."""
    return {f"{name.upper()}_BASE_URL": f"http://{host}:{port}/{name}" for name in FAKE_APIS}


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    seed: int = 7,
    quotas: Mapping[str, tuple[Quota, ...]] | None = None,
    ready: Callable[[int], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    :param port: 0 for a free one.
    :param ready: called with the port once the server listens.
    :raises OSError: the address cannot be had.
    """

    async def main() -> None:
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        await listen(stop, Sandbox(seed, quotas), host, port, ready or (lambda _: None))

    asyncio.run(main())


async def listen(stop: asyncio.Event, sandbox: Sandbox, host: str, port: int, ready: Callable[[int], None]) -> None:
    """Serve a sandbox on the running loop until ``stop`` is set."""
    server = HTTPServer(sandbox, max_body_size=1024 * 1024, idle_connection_timeout=600)
    sockets = bind_sockets(port, host, socket.AF_INET)
    server.add_sockets(sockets)
    ready(sockets[0].getsockname()[1])
    await stop.wait()
    server.stop()
    await server.close_all_connections()
