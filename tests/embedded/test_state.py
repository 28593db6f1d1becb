"""What is written down is whole, private, and never trusted when it is read."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fintrack_tasks.embedded.process import ProcessState
from fintrack_tasks.embedded.state import PersistentState, ServerState, StackState, locked, write_dotenv, write_private
from fintrack_tasks.errors import OutageError

same_folder = hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
numbers = st.integers(0, 2**31)
processes = st.builds(ProcessState, name=texts, pid=numbers, began=texts, log=texts, supports=st.booleans())
states = st.builds(
    StackState,
    servers=st.dictionaries(texts, st.builds(ServerState, process=processes, port=numbers, version=texts, data=texts)),
    processes=st.lists(processes, max_size=3).map(tuple),
    extra_environment=st.dictionaries(texts, texts, max_size=3),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["servers", "processes", "extra_environment", "passwords", "ports", "postgres", "process"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@same_folder
@given(state=states)
def test_a_state_is_read_as_it_was_written(tmp_path: Path, state: StackState) -> None:
    state.write(tmp_path / "stack.json")
    assert StackState.read(tmp_path / "stack.json") == state


@same_folder
@given(content=st.binary(max_size=64))
def test_any_bytes_are_read_as_nothing_known(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "stack.json").write_bytes(content)
    assert StackState.read(tmp_path / "stack.json") == StackState()
    assert PersistentState.read(tmp_path / "stack.json").fresh


@same_folder
@given(value=json_values)
def test_any_json_is_read_without_an_error(tmp_path: Path, value: object) -> None:
    import json

    (tmp_path / "stack.json").write_text(json.dumps(value))
    assert isinstance(StackState.read(tmp_path / "stack.json"), StackState)
    assert all(PersistentState.read(tmp_path / "stack.json").passwords.values())


@same_folder
@given(state=states, length=st.integers(0, 40))
def test_a_state_that_was_cut_off_is_read_as_nothing_known(tmp_path: Path, state: StackState, length: int) -> None:
    file = tmp_path / "stack.json"
    state.write(file)
    file.write_bytes(file.read_bytes()[:length])
    assert StackState.read(file) == StackState()


def test_missing_passwords_are_made_long_and_different_and_then_kept(tmp_path: Path) -> None:
    made = PersistentState.read(tmp_path / "servers.json")
    assert made.fresh
    assert len({*made.passwords.values(), *PersistentState.read(tmp_path / "servers.json").passwords.values()}) == 2 * 4
    assert all(len(password) >= 32 for password in made.passwords.values())
    made.write(tmp_path / "servers.json")
    read = PersistentState.read(tmp_path / "servers.json")
    assert (read.passwords, read.fresh) == (made.passwords, False)
    assert not any(password in repr(read) for password in read.passwords.values())


def test_passwords_of_logins_are_added_to_those_of_before(tmp_path: Path) -> None:
    """A folder of the days when everything logged in as the server's owner."""
    file = tmp_path / "servers.json"
    file.write_text('{"passwords": {"postgres": "of-the-owner", "valkey": "of-the-broker"}, "ports": {"valkey": 7}}')
    read = PersistentState.read(file)
    assert (read.fresh, read.grown, read.ports) == (False, True, {"valkey": 7})
    assert (read.passwords["postgres"], read.passwords["valkey"]) == ("of-the-owner", "of-the-broker")
    assert len({*read.passwords.values()}) == 4
    read.write(file)
    again = PersistentState.read(file)
    assert (again.passwords, again.grown) == (read.passwords, False)


def test_files_are_private_even_when_they_replace_an_open_one(tmp_path: Path) -> None:
    (tmp_path / "stack.env").write_text("open to all")
    (tmp_path / "stack.env").chmod(0o644)
    write_private(tmp_path / "stack.env", "A=1\n")
    assert stat.S_IMODE((tmp_path / "stack.env").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["stack.env"]


@same_folder
@given(environment=st.dictionaries(st.from_regex(r"\A[A-Z][A-Z0-9_]{0,10}\Z"), texts, max_size=4))
def test_a_dotenv_file_says_what_was_written(tmp_path: Path, environment: dict[str, str]) -> None:
    write_dotenv(tmp_path / "stack.env", environment)
    assert dotenv_values(tmp_path / "stack.env", interpolate=False) == environment


def test_the_lock_is_held_by_one_and_refused_to_others_in_one_line(tmp_path: Path) -> None:
    refused: list[str] = []

    def second() -> None:
        try:
            with locked(tmp_path, patience=0.1):
                refused.append("was let in")
        except OutageError as error:
            refused.append(str(error))

    with locked(tmp_path):
        other = threading.Thread(target=second)
        other.start()
        other.join()
    assert len(refused) == 1
    assert "holds its lock" in refused[0]
    with locked(tmp_path, patience=0.1):
        pass


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    with locked(tmp_path, patience=0.1):
        pass
