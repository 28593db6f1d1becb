"""The local stack's mode: every state that a folder may be in, with every command and every shell, on no server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from fintrack_tasks import flower_login
from fintrack_tasks.cli.stack import _login_location, _start_ended, market_variables, merged_variables
from fintrack_tasks.domain import Mode
from fintrack_tasks.embedded import Stack
from fintrack_tasks.embedded.process import ProcessState, kill, launch
from fintrack_tasks.embedded.state import PersistentState, ServerState, StackState, write_dotenv
from fintrack_tasks.errors import UsageError
from fintrack_tasks.fetch import providers
from fintrack_tasks.fetch.quota.limits import quotas_of
from fintrack_tasks.settings import PLAYED, Settings, load_settings, on_this_machine

SERVERS = {"postgres": 5433, "valkey": 6380, "kafka": 9093}
MARKET = 41234
DEAD = ProcessState("gone", 2**22 + 1, "never", "log")

STATES = ("fresh", "simulated running", "simulated stopped", "live running", "live stopped",
          "simulated killed", "live killed", "simulated workers left", "live workers left", "of an earlier version",
          "bare servers")  # fmt: skip
SHELLS = ("clean", "of a simulated stack", "of a live stack")


@pytest.fixture
def alive(tmp_path: Path) -> Iterator[Callable[[str], ProcessState]]:
    """Makes processes that run, and ends them."""
    made: list[ProcessState] = []

    def start(name: str) -> ProcessState:
        argv = [sys.executable, "-c", "import time; time.sleep(120)"]
        made.append(launch(name, argv, home=tmp_path, env={}, log=tmp_path / "log"))
        return made[-1]

    yield start
    kill([each.pid for each in made])


def state_of(mode: str, server: ProcessState, worker: ProcessState) -> StackState:
    """What ``up`` has written down once it has begun."""
    market = market_variables(MARKET if mode != Mode.LIVE else None)
    return StackState(
        {name: ServerState(server, port, "1") for name, port in SERVERS.items()},
        (worker,),
        {"KAFKA_BATCH_MESSAGES": "1", **market} if mode else {},
        mode,
    )


def folder_in(state: str, home: Path, alive: Callable[[str], ProcessState]) -> Stack:
    """A stack's folder as it is in that state."""
    if state != "fresh":
        home.mkdir(parents=True)
        PersistentState.read(home / "servers.json").write(home / "servers.json")
    mode = next((str(mode) for mode in Mode if state.startswith(mode)), "")
    match state.removeprefix(mode).strip():
        case "running":
            state_of(mode, alive("server"), alive("worker")).write(home / "stack.json")
        case "killed":
            state_of(mode, DEAD, DEAD).write(home / "stack.json")
        case "workers left":
            state_of(mode, DEAD, alive("worker")).write(home / "stack.json")
        case "of an earlier version":
            state_of("", alive("server"), alive("worker")).write(home / "stack.json")
        case "bare servers":
            state_of("", alive("server"), DEAD).write(home / "stack.json")
    return Stack(home)


def shell_of(kind: str, tmp_path: Path, alive: Callable[[str], ProcessState]) -> dict[str, str]:
    """A shell's variables: what ``eval "$(fintrack env)"`` once left in it."""
    if kind == "clean":
        return {}
    before = folder_in(f"{kind.split()[2]} running", tmp_path / "before", alive)
    return before.environment()


def assert_whole(settings: Settings, mode: Mode) -> None:
    """Nothing of the other mode is in these settings, and no quota of the local market leads off this machine."""
    assert settings.simulated is (mode is Mode.SIMULATED)
    assert settings.db_name == f"financial_tracker_{mode}"
    assert settings.redis_url.get_secret_value().endswith("/2" if settings.simulated else "/1")
    assert (settings.fintrack_history_end == "2019-01-01") is settings.simulated
    for name in providers.names():
        facts = providers.provider(name).facts
        address = settings.provider_base_urls.get(name) or facts.base_url
        assert on_this_machine(address) is settings.simulated, (name, address)
        if not settings.simulated:
            assert quotas_of(facts, settings) == facts.quotas


@pytest.mark.parametrize("wanted", list(Mode))
@pytest.mark.parametrize("state", STATES)
def test_a_stack_never_changes_its_mode_while_a_part_of_it_runs(
    state: str, wanted: Mode, tmp_path: Path, alive: Callable[[str], ProcessState]
) -> None:
    stack = folder_in(state, tmp_path / "home", alive)
    lives = "running" in state or "workers left" in state
    if (lives and not state.startswith(wanted)) or state == "of an earlier version":
        with pytest.raises(UsageError, match=r"stack .*runs in .*fintrack down$"):
            stack.require_mode(wanted)
        with pytest.raises(UsageError, match=r"stack .*runs in .*fintrack down$"):
            stack.start(mode=wanted)
        assert all(p.running for p in stack.processes()), "nothing was stopped"
        return
    stack.require_mode(wanted)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("mode", list(Mode))
def test_what_a_stack_starts_is_wholly_of_its_mode_whatever_the_shell_has_from_before(
    mode: Mode, shell: str, tmp_path: Path, alive: Callable[[str], ProcessState]
) -> None:
    left = shell_of(shell, tmp_path, alive)
    stack = folder_in(f"{mode} running", tmp_path / "home", alive)
    child = {**left, **merged_variables(left, stack.environment())}
    assert_whole(Settings.from_mapping(child), mode)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("shell", SHELLS)
def test_a_client_is_of_the_running_stacks_mode_or_wholly_of_the_one_that_its_shell_was_pointed_at(
    shell: str, mode: Mode, tmp_path: Path, alive: Callable[[str], ProcessState]
) -> None:
    left = shell_of(shell, tmp_path, alive)
    stack = folder_in(f"{mode} running", tmp_path / "home", alive)
    written(stack)
    settings = load_settings({**left, "FINTRACK_HOME": str(stack.home)}, tmp_path)
    assert_whole(settings, Mode(shell.split()[2]) if left else mode)


@pytest.mark.parametrize("state", ["fresh", "simulated stopped", "live stopped", "simulated killed", "live killed"])
def test_where_nothing_runs_a_client_gets_nothing_of_a_local_market(
    state: str, tmp_path: Path, alive: Callable[[str], ProcessState]
) -> None:
    stack = folder_in(state, tmp_path / "home", alive)
    assert stack.environment() == {}
    assert stack.mode is None
    assert not load_settings({"FINTRACK_HOME": str(stack.home)}, tmp_path).simulated


def written(stack: Stack) -> Mapping[str, str]:
    """``stack.env`` as the stack writes it."""
    stack.add_environment({})
    return stack.environment()


def test_where_flowers_login_is_kept_is_told_by_what_it_was_started_with(
    tmp_path: Path, alive: Callable[[str], ProcessState], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = folder_in("simulated running", tmp_path / "home", alive)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("FLOWER_BASIC_AUTH=\n", encoding="utf-8")  # as in a copy of the example
    stack.add_environment({"FLOWER_BASIC_AUTH": flower_login.generated(stack.home)})
    assert _login_location(stack) == str(stack.home / "flower.login")
    stack.add_environment({"FLOWER_BASIC_AUTH": "someone:chosen"})
    assert _login_location(stack) == "as FLOWER_BASIC_AUTH has it"


# --- Every combination of what is left over, .env and shell --------------------------------------------------------

ELSEWHERE = "http://127.0.0.1:49999"
"""Another local market, or a proxy of an operator's."""
LEFT_OVER = {
    "nothing": {},
    "simulated": {"DB_NAME": "financial_tracker_simulated", **market_variables(MARKET)},
    "live": {"DB_NAME": "financial_tracker_live", **market_variables(None)},
    "simulated of an earlier version": {
        **{name: url for name, url in market_variables(MARKET).items() if name.endswith("_BASE_URL")},
        "YAHOO_FINANCE_QUOTA": "200/s",
        "COINBASE_QUOTA": "200/s",
        "FINTRACK_HISTORY_END": "2019-01-01",
    },
    "live of an earlier version": {
        "YAHOO_FINANCE_QUOTA": "200/s",
        "FINTRACK_HISTORY_END": "2019-01-01",
        "WIKIPEDIA_BASE_URL": f"http://127.0.0.1:{MARKET}/wikipedia",
    },
}
"""``stack.env`` as a killed stack leaves it behind."""
SAID = {
    "nothing": {},
    "no market": {"FINTRACK_SANDBOX_URL": ""},
    "another market": {"FINTRACK_SANDBOX_URL": ELSEWHERE},
    "the real address": {"YAHOO_FINANCE_BASE_URL": "https://query1.finance.yahoo.com"},
    "the real address and another market": {
        "FINTRACK_SANDBOX_URL": ELSEWHERE,
        "YAHOO_FINANCE_BASE_URL": "https://query1.finance.yahoo.com",
        "COINBASE_BASE_URL": "https://api.exchange.coinbase.com",
    },
    "a proxy": {"YAHOO_FINANCE_BASE_URL": ELSEWHERE},
    "blank addresses": {f"{name.upper()}_BASE_URL": "" for name in PLAYED},
}
"""What ``.env`` or a shell says beside it."""


@pytest.mark.parametrize("shell", SAID)
@pytest.mark.parametrize("dotenv", SAID)
@pytest.mark.parametrize("left", LEFT_OVER)
def test_no_combination_of_settings_aims_a_local_quota_at_an_address_that_is_not_the_markets(
    left: str, dotenv: str, shell: str, tmp_path: Path
) -> None:
    write_dotenv(tmp_path / "stack.env", LEFT_OVER[left])
    write_dotenv(tmp_path / ".env", SAID[dotenv])
    settings = load_settings({"FINTRACK_HOME": str(tmp_path), **SAID[shell]}, tmp_path)
    market = settings.fintrack_sandbox_url
    for name in providers.names():
        facts = providers.provider(name).facts
        address = settings.provider_base_urls.get(name) or facts.base_url
        if not market or not address.startswith(f"{market}/"):
            assert quotas_of(facts, settings) == facts.quotas, address
        if market:
            assert on_this_machine(address)
    assert (settings.fintrack_history_end == "2019-01-01") is bool(market)


def test_what_an_earlier_up_started_besides_and_ended_is_started_again(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    try:
        ended = stack.spawn("fetch2", [sys.executable, "-c", "import time; time.sleep(120)"], env={})
        kill([ended.pid])
        _start_ended(stack, {})
        [again] = stack.processes()
        assert (again.name, again.argv, again.running) == ("fetch2", ended.argv, True)
    finally:
        stack.stop()
