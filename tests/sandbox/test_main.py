"""``python -m fintrack_tasks.sandbox``: starts fast, says where it is, ends cleanly, refuses impossible options."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from fintrack_tasks.sandbox import Control, base_urls


def start(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.Popen(
        [sys.executable, "-m", "fintrack_tasks.sandbox", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.fixture
def spawned(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = start("--port-file", str(tmp_path / "port"), "--seed", "11", "--quota", "coinbase=2/h")
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_process_prints_its_url_writes_its_port_and_ends_with_nought(
    spawned: subprocess.Popen[str], tmp_path: Path, signum: signal.Signals
) -> None:
    assert spawned.stdout is not None
    url = spawned.stdout.readline().strip()
    port = int((tmp_path / "port").read_text())
    assert url == f"http://127.0.0.1:{port}"
    assert [path.name for path in tmp_path.iterdir()] == ["port"]
    assert Control(url).health()["seed"] == 11
    address = base_urls(port)["COINBASE_BASE_URL"]
    assert [requests.get(f"{address}/products", timeout=10).status_code for _ in range(3)] == [200, 200, 429]
    spawned.send_signal(signum)
    out, err = spawned.communicate(timeout=10)
    assert (spawned.returncode, out, err) == (0, "", "")


def test_a_request_in_flight_does_not_hold_the_end_up(spawned: subprocess.Popen[str]) -> None:
    assert spawned.stdout is not None
    url = spawned.stdout.readline().strip()
    Control(url).add_fault("timeout")
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(f"{url}/yahoo_finance/v8/finance/chart/AAPL", timeout=0.2)
    spawned.terminate()
    assert spawned.wait(60) == 0  # the request alone would last 300 seconds


def test_a_taken_port_is_said_in_one_line(spawned: subprocess.Popen[str]) -> None:
    assert spawned.stdout is not None
    port = spawned.stdout.readline().strip().rpartition(":")[2]
    second = start("--port", port)
    out, err = second.communicate(timeout=20)
    assert (second.returncode, out) == (1, "")
    assert len(err.strip().splitlines()) == 1
    assert "in use" in err


@pytest.mark.parametrize(
    "arguments",
    [["--port", "70000"], ["--port", "x"], ["--quota", "nobody=1/s"], ["--quota", "coinbase=often"], ["--seed", "x"]],
)
def test_impossible_options_are_refused_without_a_traceback(arguments: list[str]) -> None:
    process = start(*arguments)
    out, err = process.communicate(timeout=20)
    assert process.returncode != 0
    assert out == ""
    assert "Traceback" not in err
    assert err


def test_the_real_plans_can_be_had() -> None:
    process = start("--quotas", "real")
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        quotas = requests.get(f"{url}/_control/quotas", timeout=10).json()
        assert quotas.items() >= {"yahoo_finance": [[5, 1.0], [100, 60.0]], "coinbase": [[10, 1.0]]}.items()
    finally:
        process.terminate()
        process.communicate(timeout=10)
