"""Installed from its wheel, the package carries its own configuration and guards, whatever folder it is used in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.test_flower_guard import CELERY, answer, flower

ROOT = Path(__file__).parent.parent

CONFIGURED = (
    "import json, fintrack_tasks; conf = fintrack_tasks.app.conf;"
    "print(json.dumps([fintrack_tasks.__file__, conf.task_default_queue, conf.accept_content, conf.task_acks_late,"
    " 'fintrack.load' in fintrack_tasks.app.tasks or fintrack_tasks.app.loader.import_default_modules() is not None]))"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "celeryconfig.py"):
        shutil.copy(ROOT / name, source / name)
    # As in a checkout: the configuration in the package is a link to the file beside it.
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "fintrack_tasks", source / "fintrack_tasks", ignore=ignored, symlinks=True)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    built = subprocess.run(
        [*pip, "--wheel-dir", str(folder), str(source)], check=False, capture_output=True, text=True, env=os.environ
    )
    assert built.returncode == 0, built.stdout + built.stderr
    [made] = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(target)  # what pip does with a wheel of pure Python, in a tenth of the time
    return target


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A working folder whose files tell when they are executed."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in (
        "celeryconfig",
        "flowerconfig",
        "fintrack_tasks",
        "redbeat",
        "orjson",
        "psycopg",
        "celery",
    ):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write({name!r} + ' ')\n")
    return folder


def run(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    ours = ("FLOWER_", "FINTRACK_", "REDIS_", "DB_", "KAFKA_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(installed), "REDIS_URL": "redis://127.0.0.1:1/0", "DB_PORT": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_wheel_brings_configuration_data_and_migrations(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {
        path for path in (ROOT / "fintrack_tasks").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert {str(path.relative_to(ROOT)) for path in package} - names == set()
    configuration = zipfile.ZipFile(wheel).read("fintrack_tasks/celeryconfig.py").decode()
    assert configuration == (ROOT / "celeryconfig.py").read_text()
    # A module of the name that Celery looks for in every project is not put beside everybody's packages.
    assert {name.split("/")[0].split("-")[0] for name in names} == {"fintrack_tasks"}


def test_the_file_that_people_change_is_the_one_that_the_package_reads() -> None:
    assert (ROOT / "fintrack_tasks" / "celeryconfig.py").samefile(ROOT / "celeryconfig.py")


def test_the_configuration_is_the_packages_own_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "-P", "-c", CONFIGURED)
    assert done.returncode == 0, done.stderr
    file, queue, accepted, late, tasks = json.loads(done.stdout)
    assert Path(file).is_relative_to(installed)
    assert (queue, accepted, late, tasks) == ("ops", ["json"], True, True)


@pytest.mark.parametrize(
    "words",
    [
        ("-c", CONFIGURED),
        ("-m", "fintrack_tasks.celery_command", "report"),
        ("-m", "fintrack_tasks.cli", "health"),
    ],
    ids=lambda words: " ".join(words[1:3])[:40],
)
def test_nothing_of_the_working_folder_is_executed(
    installed: Path, hostile: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = run(installed, hostile, "-P", *words)
    assert not (tmp_path / "executed").exists(), (tmp_path / "executed").read_text()
    assert "Traceback" not in done.stderr


def test_celerys_own_command_takes_the_application_alone_from_the_working_folder(
    installed: Path, hostile: Path, tmp_path: Path
) -> None:
    (hostile / "fintrack_tasks.py").unlink()  # Celery's command itself looks for an application here first
    celery = Path(sys.executable).with_name("celery")
    done = run(installed, hostile, str(celery), "-A", "fintrack_tasks", "report")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "executed").exists(), (tmp_path / "executed").read_text()


def test_flower_from_the_wheel_is_guarded_too(installed: Path, hostile: Path, tmp_path: Path) -> None:
    (hostile / "fintrack_tasks.py").unlink()
    (hostile / ".env").write_text("FLOWER_ADDRESS=0.0.0.0\nFLOWER_BASIC_AUTH=person:word\n")
    with flower(CELERY, hostile, PYTHONPATH=str(installed)) as (url, _):
        assert answer(f"{url}/api/task/types").status_code == 401
        assert answer(f"{url}/api/task/types", auth=("person", "word")).status_code == 200
        foreign = {"Origin": "http://evil.example"}
        assert answer(f"{url}/api/task/types", auth=("person", "word"), headers=foreign).status_code == 403
    assert not (tmp_path / "executed").exists(), (tmp_path / "executed").read_text()
