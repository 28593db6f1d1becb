"""The project's shell keeps its word: settings by example, pinned sets, commands that the documents name, the wheel."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fintrack_tasks.cli import app
from fintrack_tasks.settings import SECRET_NAMES, Settings

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/operations.md",
    "docs/providers.md",
    "docs/prices.md",
)

# Fixed for the scripts that depend on them.
SURFACE = """
DB_HOST DB_PORT DB_NAME DB_USER DB_PASSWORD DB_SSLMODE REDIS_URL KAFKA_BOOTSTRAP_SERVERS KAFKA_TOPIC_MARKET_DATA
KAFKA_TOPIC_NOTIFICATIONS API_KEY_ALPHA_VANTAGE API_KEY_FINNHUB API_RATE_LIMIT ENVIRONMENT LOG_LEVEL LOG_FILE LOG_FORMAT
METRICS_ENABLED ALERTING_ENABLED BACKUP_ENABLED MONITORING_ENABLED
"""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# --- Settings ----------------------------------------------------------------------------------------------------


def example_lines() -> dict[str, tuple[str, bool]]:
    """Variable to its value in .env.example, and whether its line is commented out."""
    found = re.findall(r"^(# )?([A-Z][A-Z0-9_]*)=(.*)$", read(".env.example"), flags=re.MULTILINE)
    return {name: (value, bool(comment)) for comment, name, value in found}


def test_the_example_lists_every_setting_and_every_secret_as_a_file() -> None:
    fields = {name.upper() for name in Settings.model_fields} - {"PROVIDER_BASE_URLS", "PROVIDER_QUOTAS", "ROUTES"}
    wanted = fields | set(SURFACE.split()) | {f"{name}_FILE" for name in SECRET_NAMES}
    assert wanted - set(example_lines()) == set()


def test_the_example_states_the_true_defaults() -> None:
    shown = {name: value for name, (value, _) in example_lines().items() if name.lower() in Settings.model_fields}
    assert Settings.from_mapping(shown) == Settings.from_mapping({})


def test_the_example_as_env_file_leaves_the_connections_to_the_running_stack() -> None:
    connections = {"DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD", "DB_SSLMODE", "REDIS_URL"}
    connections |= {
        "KAFKA_BOOTSTRAP_SERVERS",
        "FINTRACK_HOME",
        "FINTRACK_SANDBOX_URL",
        "FINTRACK_HISTORY_START",
        "FINTRACK_HISTORY_END",
    }
    assert {name for name in connections if not example_lines()[name][1]} == set()


def test_the_compose_file_passes_every_setting_on() -> None:
    passed = set(yaml.safe_load(read("docker-compose.yml"))["x-environment"])
    # Log files, the local market and local servers belong to one machine; Flower has a service of its own.
    own = {"LOG_FILE", "FINTRACK_HOME", "FINTRACK_SANDBOX_URL"}
    own |= {"FLOWER_BASIC_AUTH", "FLOWER_ADDRESS", "FLOWER_HOSTS", "FLOWER_PORT"}
    own |= {"DB_OWNER_USER", "DB_OWNER_PASSWORD"}  # the migration's alone: no service works as the owner
    fields = {name.upper() for name in Settings.model_fields} - {"PROVIDER_BASE_URLS", "PROVIDER_QUOTAS", "ROUTES"}
    assert fields - own - passed == set()


# --- Pinned sets -------------------------------------------------------------------------------------------------


def pins(name: str) -> dict[str, Requirement]:
    lines = [line.partition("#")[0].strip() for line in read(name).splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("-r ")]
    return {canonicalize_name(pin.name): pin for pin in found}


def declared(*extras: str) -> list[Requirement]:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    texts = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_line_is_pinned_to_one_version(name: str) -> None:
    for pin in pins(name).values():
        assert [each.operator for each in pin.specifier] == ["=="], str(pin)
        assert "*" not in str(pin.specifier)


@pytest.mark.parametrize(("name", "extras"), [("requirements.txt", ()), ("requirements-dev.txt", ("embedded", "dev"))])
def test_the_pins_are_inside_the_ranges_of_pyproject(name: str, extras: tuple[str, ...]) -> None:
    pinned = pins("requirements.txt") | pins(name)
    for wanted in declared(*extras):
        [version] = [each.version for each in pinned[canonicalize_name(wanted.name)].specifier]
        assert wanted.specifier.contains(version, prereleases=True), str(wanted)


def requires(distribution: str) -> list[Requirement]:
    """What an installed distribution needs; nothing of one that only another Python needs."""
    try:
        return [Requirement(text) for text in importlib.metadata.requires(distribution) or []]
    except importlib.metadata.PackageNotFoundError:
        return []


@pytest.mark.parametrize("python", ["3.11.2", "3.12.4", "3.13.1"])
@pytest.mark.parametrize(("name", "extras"), [("requirements.txt", ()), ("requirements-dev.txt", ("embedded", "dev"))])
def test_the_pinned_set_is_complete_and_holds_nothing_else(name: str, extras: tuple[str, ...], python: str) -> None:
    """What the declared dependencies need, and theirs in turn, by the metadata of what is installed here."""
    environment = {"python_version": python[:4], "python_full_version": python, "sys_platform": "linux"}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = declared(*extras)
    while waiting:
        wanted = waiting.pop()
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        for further in requires(wanted.name):
            applies = [{**environment, "extra": extra} for extra in ("", *wanted.extras)]
            if further.marker is None or any(further.marker.evaluate(each) for each in applies):
                waiting.append(further)
    needed = {canonical for canonical, _ in seen}
    pinned = pins("requirements.txt") | pins(name)
    chosen = {key for key, pin in pinned.items() if pin.marker is None or pin.marker.evaluate(environment)}
    assert needed - chosen == set()
    assert chosen - needed - {"setuptools"} == set()


# --- What the documents say --------------------------------------------------------------------------------------


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", read("Makefile"), flags=re.MULTILINE))


# --- The structure ---------------------------------------------------------------------------------------------------


def test_the_rooms_that_the_architecture_shows_are_those_of_the_import_contract() -> None:
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = [layer.replace("fintrack_tasks.", "") for layer in contracts[0]["layers"]]
    _, _, section = read("docs/architecture.md").partition("## The rooms of the house")
    assert section.split("```")[1].strip().splitlines() == layers


@pytest.mark.parametrize("document", sorted({*DOCUMENTS, "SECURITY.md", "docs/quotas.md", "docs/indicators.md"}))
def test_the_modules_that_a_document_names_exist(document: str) -> None:
    inside = re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py|fintrack_tasks/(?:[a-z_]+/)+)`", read(document))
    for path in inside:
        rooms = ["", "fintrack_tasks/", "tests/", "fintrack_tasks/fetch/providers/"]
        assert any((ROOT / room / path).exists() for room in rooms), path


def test_every_module_says_in_its_first_line_what_a_reader_finds_there() -> None:
    silent = [
        path
        for path in (ROOT / "fintrack_tasks").rglob("*.py")
        if "versions" not in path.parts and not path.read_text(encoding="utf-8").startswith('"""')
    ]
    assert silent == []


def test_make_alone_lists_every_target() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    told = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True, env=environment).stdout
    assert {line.split()[1] for line in told.splitlines()} == targets()
    assert {"help", "demo", "up", "down", "test", "check", "bench", "fmt", "clean"} <= targets()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_make_targets_of_a_document_exist(document: str) -> None:
    named = re.findall(r"(?:^|`)make ([a-z]+)", read(document), flags=re.MULTILINE)
    assert set(named) - targets() == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_fintrack_commands_of_a_document_exist(document: str) -> None:
    group = typer.main.get_command(app)
    for words in re.findall(r"(?:^|[`(])fintrack ([a-z]+(?: [a-z|\\]+)?)", read(document), flags=re.MULTILINE):
        first, _, rest = words.partition(" ")
        command = group.commands[first]  # type: ignore[attr-defined]
        for word in rest.replace("\\", "").split("|") if rest and hasattr(command, "commands") else ():
            assert word in command.commands, f"{document}: fintrack {words}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_files_that_a_document_links_to_exist(document: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", read(document)):
        assert ((ROOT / document).parent / target).exists(), target


def python_blocks() -> Iterator[str]:
    for block in re.findall(r"```python\n(.*?)```", read("README.md"), flags=re.DOTALL):
        if "pd.DataFrame" in block:  # the others ask servers
            yield block


@pytest.mark.parametrize("block", list(python_blocks()))
def test_the_python_of_the_readme_runs(block: str) -> None:
    done = subprocess.run([sys.executable, "-c", block], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True 1.0 []")


def test_the_names_that_the_readme_imports_exist() -> None:
    imports = re.findall(
        r"^(?:python -c \")?(from fintrack_tasks\S* import [A-Za-z_, ]+)", read("README.md"), re.MULTILINE
    )
    assert imports
    done = subprocess.run([sys.executable, "-c", "\n".join(imports)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("shell", "script"), [("sh", "venv"), ("bash", "run"), ("bash", "docker-engine")])
def test_the_scripts_are_whole(shell: str, script: str) -> None:
    assert subprocess.run([shell, "-n", str(ROOT / ".ci" / script)], check=False).returncode == 0


# --- Installing --------------------------------------------------------------------------------------------------


@pytest.fixture
def bare_checkout(tmp_path: Path) -> Path:
    """What .ci/venv needs, in a folder with a space, and a PATH of its own in ``bin``."""
    checkout = tmp_path / "a checkout"
    (checkout / ".ci").mkdir(parents=True)
    for name in (".ci/venv", "pyproject.toml", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, checkout / name)
    programs = checkout / "bin"
    programs.mkdir()
    for name in ("sh", "cat", "cksum", "rm"):
        (programs / name).symlink_to(str(shutil.which(name)))
    return checkout


def make_venv(checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(checkout / "bin"), "HOME": str(checkout), **variables}
    shell = str(shutil.which("sh"))
    return subprocess.run(
        [shell, ".ci/venv"], cwd=checkout, env=environment, check=False, capture_output=True, text=True, timeout=60
    )


def fake_python(checkout: Path, name: str, version: tuple[int, int], *, venv: bool) -> None:
    """A Python of another version, or without the parts of it that Debian keeps in a package of their own."""
    blocked = "" if venv else "sys.modules['ensurepip'] = None; "
    start = f"import sys; sys.version_info = ({version[0]}, {version[1]}, 0, 'final', 0); {blocked}"
    program = checkout / "bin" / name
    program.write_text(f'#!{shutil.which("sh")}\n[ "$1" = -c ] && exec "{sys.executable}" -c "{start}$2"\nexit 1\n')
    program.chmod(0o755)


def test_without_any_python_one_line_says_what_to_install(bare_checkout: Path) -> None:
    refused = make_venv(bare_checkout)
    assert refused.returncode != 0
    assert refused.stderr == (
        "make: no Python was found: install Python 3.11 or newer, or name one with PYTHON=/path/to/python\n"
    )


def test_a_python_that_is_too_old_is_named_in_one_line(bare_checkout: Path) -> None:
    fake_python(bare_checkout, "python3", (3, 9), venv=True)
    refused = make_venv(bare_checkout)
    assert refused.returncode != 0
    assert refused.stderr.startswith("make: python3 is Python 3.9: Python 3.11 or newer is needed")
    assert refused.stderr.count("\n") == 1


def test_a_python_without_venv_is_named_with_the_package_that_brings_it(bare_checkout: Path) -> None:
    fake_python(bare_checkout, "python3", (3, 12), venv=False)
    refused = make_venv(bare_checkout)
    assert refused.returncode != 0
    assert refused.stderr == "make: python3 has no venv: install it (Debian, Ubuntu: apt install python3-venv)\n"


def test_a_chosen_python_that_does_not_run_is_not_replaced_in_silence(bare_checkout: Path) -> None:
    refused = make_venv(bare_checkout, PYTHON="/nowhere/python")
    assert refused.returncode != 0
    assert refused.stderr == "make: PYTHON=/nowhere/python does not run\n"


BESIDE = {
    *("benchmarks", "browser", "chaos", "docker", "e2e", "integration", "kafka"),
    *("conformance", "recorded_answers"),
}
"""Folders of tests of several modules together, or of what is not in the package."""
WHOLE = {
    "cli/test_commands.py": "every command",
    "embedded/test_modes.py": "the modes of a stack",
    "fetch/quota/test_gate_model.py": "the gate against a model of it",
    "sandbox/fake_apis/test_parsed_by_providers.py": "every fake API, by the provider's own parser",
    "store/test_statements.py": "every statement of the package",
    "test_clock.py": "every module below the tasks",
    "test_conftest.py": "the suite itself",
    "test_installed.py": "the wheel",
    "test_project.py": "the repository",
}


def test_tests_mirror_the_package_path_for_path() -> None:
    tests, package = ROOT / "tests", ROOT / "fintrack_tasks"
    astray = []
    for path in sorted(tests.rglob("test_*.py")):
        own = path.relative_to(tests)
        named = own.name.removeprefix("test_").removesuffix(".py")
        folder = package / own.parent
        found = [folder / f"{named}.py", folder / named, folder / f"__{named}__.py", folder / "versions"]
        if not BESIDE & set(own.parts) and str(own) not in WHOLE and not any(each.exists() for each in found):
            astray.append(str(own))

    assert astray == []
    assert [name for name in WHOLE if not (tests / name).exists()] == []
