"""A page of another origin, in a real browser in which the operator is logged in at Flower, reaches nothing there."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import urlopen

import pytest
from tornado.websocket import websocket_connect

from tests.test_flower_guard import CELERY, flower

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# What a page can try without being allowed anything: simple requests with the browser's login, a script, a frame.
PAGE = """
<iframe src="{flower}/tasks"></iframe>
<script src="{flower}/api/workers"></script>
<img src="{flower}/api/task/types">
<script>
const told = [];
const tries = [
  ["read", "{flower}/api/tasks", {{credentials: "include"}}],
  ["start", "{flower}/api/task/async-apply/fintrack.fetch_market_data",
   {{method: "POST", mode: "no-cors", credentials: "include", body: '{{"args": [["MSFT"]]}}'}}],
  ["stop", "{flower}/api/worker/shutdown/ops@here", {{method: "POST", mode: "no-cors", credentials: "include"}}],
  ["json", "{flower}/api/task/send-task/fintrack.load",
   {{method: "POST", credentials: "include", headers: {{"Content-Type": "application/json"}}, body: "{{}}"}}],
];
Promise.all(tries.map(([name, url, how]) => fetch(url, how)
  .then(answer => answer.text().then(text => told.push(name + " " + answer.type + " " + text.length)))
  .catch(error => told.push(name + " " + error.name)))).then(() => document.title = "tried " + told.sort().join(", "));
</script>
"""


# A form that opens in the window itself: a browser may add the login that it keeps for Flower.
FORM = """
<form method="post" enctype="text/plain" action="{flower}/api/task/send-task/fintrack.load">
<input name='{{"args": ["' value='"]}}'></form><script>document.forms[0].submit()</script>
"""


@pytest.fixture
def foreign_page() -> Iterator[Any]:
    """A server of another origin; its page is set by the test."""

    class Page(BaseHTTPRequestHandler):
        text: ClassVar[dict[str, str]] = {}

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(Page.text.get(self.path, "").encode())

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Page, f"http://localhost:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def debugger() -> Iterator[str]:
    """The address at which a browser of the test's own is steered."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (Debian: apt install chromium)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run"]
        browser = subprocess.Popen(
            [CHROMIUM, *options, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port, deadline = Path(profile) / "DevToolsActivePort", time.monotonic() + 60
            while not (port.exists() and port.read_text().strip()):
                assert browser.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            number = port.read_text().split()[0]
            with urlopen(f"http://127.0.0.1:{number}/json") as answer:
                pages = json.load(answer)
            yield next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        finally:
            browser.terminate()
            browser.wait(30)


class Tab:
    """A page of the browser, and the status of each answer that it got."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._number = socket, 0
        self._paths: dict[str, str] = {}
        self._codes: dict[str, set[int]] = {}

    async def call(self, method: str, **params: Any) -> Any:
        self._number += 1
        await self._socket.write_message(json.dumps({"id": self._number, "method": method, "params": params}))
        while (told := json.loads(await self._socket.read_message())).get("id") != self._number:
            self._note(told.get("method"), told.get("params", {}))
        assert "error" not in told, told
        return told["result"]

    def _note(self, event: str | None, told: dict[str, Any]) -> None:
        """What was asked, and with which status it was answered, whether or not the page got to see it."""
        if event == "Network.requestWillBeSent":
            self._paths[told["requestId"]] = re.sub(r"^http://[^/]*", "", told["request"]["url"])
        elif event == "Network.responseReceivedExtraInfo":  # which may come before the other
            self._codes.setdefault(told["requestId"], set()).add(told["statusCode"])

    @property
    def statuses(self) -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for number, path in self._paths.items():
            found.setdefault(path, set()).update(self._codes.get(number, set()))
        return {path: codes for path, codes in found.items() if codes}

    async def visit(self, url: str, title: str) -> str:
        await self.call("Page.navigate", url=url)
        deadline = time.monotonic() + 30
        while not (found := await self._title()).startswith(title):
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.1)
        return found

    async def leave(self) -> None:
        """Forget the page and what it had asked."""
        await self.visit("about:blank", "")
        self._paths.clear()
        self._codes.clear()

    async def answered(self, path: str) -> set[int]:
        deadline = time.monotonic() + 30
        while path not in self.statuses:
            assert time.monotonic() < deadline
            await self.call("Network.enable")  # changes nothing; what has happened meanwhile comes before its answer
        return self.statuses[path]

    async def _title(self) -> str:
        found = await self.call("Runtime.evaluate", expression="document.title")
        return str(found["result"].get("value"))


def test_a_page_of_another_origin_reads_and_changes_nothing(
    tmp_path: Path, debugger: str, foreign_page: tuple[Any, str]
) -> None:
    async def tried(address: str) -> tuple[str, dict[str, set[int]]]:
        tab = Tab(await websocket_connect(debugger, max_message_size=64 * 1024 * 1024))
        await tab.call("Network.enable")
        await tab.visit(address.replace("http://", f"http://{login}@") + "/tasks", "Tasks")  # from here on logged in
        assert await tab.answered("/tasks") == {200}
        await tab.leave()
        await tab.visit(f"{address}/workers", "Workers")  # without the words: the browser adds them
        assert await tab.answered("/workers") == {200}
        await tab.leave()
        title = await tab.visit(foreign_page[1], "tried")
        for path in ("/api/tasks", "/api/task/async-apply/fintrack.fetch_market_data", "/api/worker/shutdown/ops@here"):
            assert await tab.answered(path) == {403}
        statuses = tab.statuses
        await tab.leave()
        await tab.call("Page.navigate", url=f"{foreign_page[1]}form")
        assert await tab.answered("/api/task/send-task/fintrack.load") == {403}
        return title, statuses

    with flower(CELERY, tmp_path) as (address, _):
        login = (tmp_path / ".fintrack" / "flower.login").read_text().strip()
        foreign_page[0].text = {"/": PAGE.format(flower=address), "/form": FORM.format(flower=address)}
        title, statuses = asyncio.run(tried(address))
    assert title == "tried json TypeError, read TypeError, start TypeError, stop TypeError"
    statuses.pop("/", None)
    statuses.pop("/favicon.ico", None)  # the foreign page's own
    assert set().union(*statuses.values()) <= {401, 403}
