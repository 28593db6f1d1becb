"""Nobody steers the pipeline through Flower but the operator: no page of another origin, no caller without a login."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from fintrack_tasks import flower_login
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.flower_guard import Rules, refusal
from fintrack_tasks.settings import Settings

CELERY = [str(Path(sys.executable).with_name("celery")), "-A", "fintrack_tasks", "flower"]
MODULE = [sys.executable, "-P", "-m", "fintrack_tasks.celery_command", "flower"]
LOCAL = Rules(("person:word",), frozenset({"localhost", "127.0.0.1", "::1"}))
ANYWHERE = Rules(("person:word",), frozenset({"localhost", "127.0.0.1", "::1", "watch.example"}), any_address=True)


def authorization(login: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(login.encode()).decode()}


def asked(rules: Rules = LOCAL, method: str = "GET", path: str = "/api/workers", **headers: str) -> int | None:
    given = {"Host": "127.0.0.1:5555", **authorization("person:word")}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    refused = refusal(rules, method, path, {name: value for name, value in given.items() if value})
    return refused[0] if refused else None


@pytest.mark.parametrize("host", ["127.0.0.1:5555", "localhost:7777", "LOCALHOST", "[::1]:5555", "localhost.:5555"])
def test_the_operator_is_let_in_under_the_names_of_loopback(host: str) -> None:
    assert asked(Host=host) is None
    assert asked(method="POST", Host=host, Origin=f"http://{host}", Sec_Fetch_Site="same-origin") is None
    assert asked(method="POST", Host=host) is None  # curl, Prometheus: no page, no header of one


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:5555",
        "127.0.0.1.evil.example",
        "localhost.evil.example:5555",
        "10.0.0.7:5555",
        "person@127.0.0.1",
        "127.0.0.1:5555,evil.example",
        "[::1",
        ":5555",
        "",
    ],
)
def test_a_name_that_somebodys_dns_points_here_is_refused(host: str) -> None:
    for path in ("/", "/api/workers", "/healthcheck", "/metrics", "/static/js/flower.js", "/nowhere"):
        assert asked(path=path, Host=host) == 403


def test_on_every_address_numbers_and_listed_names_are_let_in_and_no_others() -> None:
    for host in ("10.0.0.7:5555", "[2001:db8::7]", "watch.example"):
        assert asked(ANYWHERE, Host=host) is None
    assert asked(ANYWHERE, Host="evil.example") == 403


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8000"},
        {"Origin": "http://localhost:5555"},
        {"Origin": "file://"},
        {"Origin": "http://[::1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "script"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"},
    ],
)
def test_a_page_of_another_origin_is_refused_even_with_the_browsers_kept_login(
    method: str, headers: dict[str, str]
) -> None:
    assert asked(method=method, **headers) == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_form_of_another_page_is_refused_whatever_its_browser_tells(method: str) -> None:
    assert asked(method=method, Referer="http://evil.example/page") == 403
    assert asked(method=method, Referer="http://127.0.0.1:5555/tasks") is None
    navigated = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert asked(method=method, **navigated) == 403


def test_a_link_on_another_page_may_open_flower_in_a_window() -> None:
    followed = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert asked(path="/tasks", **followed) is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !",
        "Basic =",
        authorization("person:wrong")["Authorization"],
        authorization("person:wörd")["Authorization"],
        authorization("person:word")["Authorization"].replace("Basic", "Bearer"),
    ],
)
def test_without_the_login_nothing_answers_but_the_health(header: str) -> None:
    for path in ("/", "/tasks/datatable", "/api/task/async-apply/fintrack.load", "/metrics", "/static/js/flower.js"):
        assert asked(path=path, method="POST", Authorization=header) == 401
    assert asked(path="/healthcheck", Authorization=header) is None


def test_under_oauth_the_metrics_are_not_left_open() -> None:
    oauth = Rules((), LOCAL.hosts)
    assert asked(oauth, path="/tasks", Authorization="") is None  # Flower's own login asks
    assert asked(oauth, path="/metrics", Authorization="") == 401


# --- The login ----------------------------------------------------------------------------------------------------


def settings_of(home: Path, **more: str) -> Settings:
    return Settings.from_mapping({"FINTRACK_HOME": str(home), **more})


def test_a_login_is_made_once_kept_for_its_owner_alone_and_long(tmp_path: Path) -> None:
    home = tmp_path / "home"
    [login] = flower_login.logins(settings_of(home))
    assert flower_login.logins(settings_of(home)) == [login]
    assert stat.S_IMODE(flower_login.login_file(home).stat().st_mode) == 0o600
    assert re.fullmatch(r"fintrack:[\w-]{32}", login)
    assert flower_login.logins(settings_of(tmp_path / "other")) != [login]
    assert [path.name for path in home.iterdir()] == ["flower.login"]


def test_the_operators_own_logins_come_first(tmp_path: Path) -> None:
    assert flower_login.logins(settings_of(tmp_path, FLOWER_BASIC_AUTH="a:b,c:d")) == ["a:b", "c:d"]
    assert not flower_login.login_file(tmp_path).exists()


@pytest.mark.parametrize("wrong", ["person", ":word", "person:", "person:wörd", "a:b,", "a:b\tc"])
def test_what_is_no_login_is_refused_and_not_shown(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="FLOWER_BASIC_AUTH") as caught:
        flower_login.logins(settings_of(tmp_path, FLOWER_BASIC_AUTH=wrong))
    assert wrong not in str(caught.value)


def test_a_login_that_cannot_be_kept_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="set FLOWER_BASIC_AUTH=user:password"):
        flower_login.logins(settings_of(tmp_path / "file"))
    (tmp_path / "flower.login").write_text("nothing")
    with pytest.raises(ConfigurationError, match="remove it"):
        flower_login.logins(settings_of(tmp_path))


# --- Flower itself ------------------------------------------------------------------------------------------------


@contextmanager
def flower(command: list[str], folder: Path, **environment: str) -> Iterator[tuple[str, Path]]:
    """A Flower that was started in this folder; its address, and what it has said."""
    said = folder / "said"
    ours = ("FLOWER_", "FINTRACK_", "REDIS_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    with said.open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port=0"],
            cwd=folder,
            env={**clean, "REDIS_URL": "redis://127.0.0.1:1/0", **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"Visit me at http://[^:]*:(\d+)", said.read_text())):
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{found[1]}", said
    finally:
        process.kill()
        process.wait(30)


def answer(url: str, method: str = "GET", **options: Any) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, timeout=20, allow_redirects=False, **options)


def no_origin_is_let_in(headers: Mapping[str, str]) -> bool:
    return not [name for name in headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("command", [CELERY, MODULE], ids=["celery", "module"])
def test_flower_from_an_empty_folder_lets_nobody_in_but_by_the_made_login(tmp_path: Path, command: list[str]) -> None:
    # What Flower and Celery would execute, and what would open Flower to everybody.
    for name in ("flowerconfig", "celeryconfig"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\nunauthenticated_api = True\n")
    with flower(command, tmp_path, FLOWER_UNAUTHENTICATED_API="true", FLOWER_SERVICE="x") as (url, said):
        login = (tmp_path / ".fintrack" / "flower.login").read_text().strip()
        person = tuple(login.split(":"))
        assert answer(f"{url}/healthcheck").text == "OK"
        for method, path in (
            ("GET", "/"),
            ("GET", "/api/workers"),
            ("GET", "/metrics"),
            ("POST", "/api/worker/shutdown/ops@here"),
            ("POST", "/api/task/send-task/fintrack.load"),
            ("OPTIONS", "/api/task/send-task/fintrack.load"),
        ):
            plain = answer(url + path, method, json={"args": []})
            assert plain.status_code == 401, (method, path)
            assert no_origin_is_let_in(plain.headers)
            foreign = answer(url + path, method, auth=person, headers={"Origin": "http://evil.example"})
            assert foreign.status_code == 403, (method, path)
            assert no_origin_is_let_in(foreign.headers)
            rebound = answer(url + path, method, auth=person, headers={"Host": "evil.example"})
            assert rebound.status_code == 403, (method, path)
        page = answer(f"{url}/tasks", auth=person)
        assert page.status_code == 200
        assert page.headers["X-Frame-Options"] == "DENY"
        assert no_origin_is_let_in(page.headers)
        # The columns of the list: the arguments, which name the symbol, stand beside the task.
        assert re.findall(r"<th[^>]*>\s*([^<]*?)\s*</th>", page.text)[:2] == ["Name", "args"]
        own = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
        assert answer(f"{url}/api/worker/shutdown/nobody", "POST", auth=person, headers=own).status_code == 404
        assert person[1] not in said.read_text()
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("source", ["dotenv", "file"])
def test_on_every_address_the_password_holds_from_whatever_source(tmp_path: Path, source: str) -> None:
    if source == "dotenv":
        (tmp_path / ".env").write_text(
            "FLOWER_BASIC_AUTH=person:word\nFLOWER_ADDRESS=0.0.0.0\nFLOWER_HOSTS=watch.example\n"
        )
        more = {}
    else:
        (tmp_path / "secret").write_text("person:word\n")
        more = {"FLOWER_BASIC_AUTH_FILE": str(tmp_path / "secret"), "FLOWER_ADDRESS": "0.0.0.0"}
        more["FLOWER_HOSTS"] = "watch.example"
    with flower(CELERY, tmp_path, **more) as (url, _):
        assert answer(f"{url}/api/workers").status_code == 401
        assert answer(f"{url}/api/task/types", auth=("person", "word")).status_code == 200
        assert (
            answer(f"{url}/api/task/types", auth=("person", "word"), headers={"Host": "watch.example"}).status_code
            == 200
        )
        assert (
            answer(f"{url}/api/task/types", auth=("person", "word"), headers={"Host": "other.example"}).status_code
            == 403
        )
    assert not (tmp_path / ".fintrack").exists()


def test_flower_does_not_start_with_what_is_no_login(tmp_path: Path) -> None:
    environment = {**os.environ, "FLOWER_BASIC_AUTH": "word", "REDIS_URL": "redis://127.0.0.1:1/0"}
    done = subprocess.run(
        [*CELERY, "--port=0"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == "Flower: FLOWER_BASIC_AUTH must be user:password, of ASCII characters"


def test_flower_remembers_few_tasks_and_the_operator_may_say_how_many() -> None:
    code = (
        "import flower.command; from fintrack_tasks import app; from flower.options import options; app.main;"
        "flower.command.apply_env_options(); print(options.max_tasks, options.tasks_columns, options.conf)"
    )
    for environment, most in (({}, 5000), ({"FLOWER_MAX_TASKS": "20000"}, 20_000)):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FLOWER_")}
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, env={**clean, **environment}, capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout.split() == [str(most), "name,args,state,received,runtime,worker,uuid", "/dev/null"]


def test_what_runs_every_few_minutes_does_not_bury_flowers_list() -> None:
    from fintrack_tasks import celeryconfig
    from fintrack_tasks.app import app

    app.loader.import_default_modules()
    often = {entry["task"] for entry in celeryconfig.beat_schedule.values() if isinstance(entry["schedule"], float)}
    assert often >= {"fintrack.publish", "fintrack.reconcile"}
    assert [name for name in sorted(often) if app.tasks[name].send_events] == []
    assert not celeryconfig.task_send_sent_event
