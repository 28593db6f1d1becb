"""Log lines: one event is one line whatever a text holds, and the file is for its owner alone."""

from __future__ import annotations

import io
import json
import logging
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fintrack_tasks.observability.logging import configure_logging
from fintrack_tasks.settings import Settings

CONTROLS = [chr(code) for code in [*range(32), *range(127, 160), 0x2028, 0x2029, 0x202E, 0x2066]]


@pytest.fixture
def configured() -> Iterator[None]:
    root = logging.getLogger()
    kept, level = list(root.handlers), root.level
    root.handlers.clear()
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = kept
    root.setLevel(level)
    structlog.reset_defaults()


def lines_of(log_format: str, write: object, variables: Mapping[str, str] = MappingProxyType({})) -> str:
    """What the log holds after ``write(logger)``."""
    configure_logging(Settings.from_mapping({"LOG_FORMAT": log_format, **variables}))
    stream = io.StringIO()
    [handler] = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    write(logging.getLogger("a.library"))  # type: ignore[operator]
    return stream.getvalue()


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("log_format", ["console", "json"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from([*CONTROLS, "a", "\\", "é"]), max_size=40))
def test_no_text_of_another_program_ends_a_line_or_steers_a_terminal(log_format: str, text: str) -> None:
    written = lines_of(log_format, lambda log: log.warning("it says %s", text))
    assert written.endswith("\n")
    assert not set(written[:-1]) & set(CONTROLS)


@pytest.mark.usefixtures("configured")
def test_a_forged_line_is_spelled_out() -> None:
    forged = "x\n2026-01-01T00:00:00Z [info] all is well\x1b[2K"
    written = lines_of("console", lambda log: log.warning(forged))
    assert r"x\n2026-01-01T00:00:00Z [info] all is well\x1b[2K" in written
    assert written.count("\n") == 1


@pytest.mark.usefixtures("configured")
def test_a_traceback_keeps_its_lines_each_of_them_indented() -> None:
    def write(log: logging.Logger) -> None:
        try:
            int("x\n2026-01-01T00:00:00Z [info] all is well\x1b[2K")
        except ValueError:
            log.exception("it broke")

    first, *rest = lines_of("console", write).splitlines()
    assert "it broke" in first
    assert len(rest) >= 3
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in "".join(rest)


@pytest.mark.usefixtures("configured")
def test_a_line_of_json_gives_the_text_back_as_it_was() -> None:
    written = lines_of("json", lambda log: log.warning("one\ntwo\x1b"))
    assert json.loads(written)["event"] == "one\ntwo\x1b"


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("market", ["http://127.0.0.1:41234", ""])
def test_a_line_about_simulated_prices_says_so_and_one_about_real_ones_says_nothing(market: str) -> None:
    written = lines_of("json", lambda log: log.warning("AAPL is at 1.5"), {"FINTRACK_SANDBOX_URL": market})
    assert json.loads(written).get("simulated", False) is bool(market)


@pytest.mark.usefixtures("configured")
def test_the_log_file_and_its_folder_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "it.log"
    configure_logging(Settings.from_mapping({"LOG_FILE": str(path)}))
    logging.getLogger("a.library").warning("x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    [handler] = logging.getLogger().handlers
    assert isinstance(handler, logging.handlers.RotatingFileHandler)
    handler.doRollover()
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}


@pytest.mark.usefixtures("configured")
def test_a_file_that_an_earlier_version_left_open_to_all_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "it.log"
    path.touch()
    path.chmod(0o664)
    configure_logging(Settings.from_mapping({"LOG_FILE": str(path)}))
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
