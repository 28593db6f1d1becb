"""``fintrack up``, ``down``, ``env`` and ``sandbox``: the whole pipeline on one machine.

``up`` starts plain ``celery -A fintrack_tasks worker|beat|flower`` processes, so that what runs on one machine is what
runs on fifty.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import psutil
import typer

from fintrack_tasks import flower_login
from fintrack_tasks.cli.context import export_lines, utc_now
from fintrack_tasks.cli.database import earlier_database, prepare
from fintrack_tasks.cli.output import console, errors, print_json
from fintrack_tasks.cli.quota_warnings import looser_quotas
from fintrack_tasks.cli.stack_hints import hint, refuse_second
from fintrack_tasks.domain import Mode
from fintrack_tasks.embedded import Stack, supervise
from fintrack_tasks.embedded.ports import LOOPBACK, choose_port
from fintrack_tasks.embedded.supervise import Supervisor
from fintrack_tasks.errors import OutageError, UsageError
from fintrack_tasks.fetch import providers
from fintrack_tasks.settings import PLAYED, Settings, addresses_in_market, load_settings

__all__ = [
    "boot",
    "down",
    "env",
    "flower_address",
    "market_variables",
    "merged_variables",
    "requested_mode",
    "sandbox",
    "start_workers",
    "up",
]

_FETCH_THREADS: Final = 8
_WATCH_SECONDS: Final = 2.0


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running and return.")] = False,
    workers: Annotated[int, typer.Option(help="How many etl workers and fetch workers.", min=1, max=64)] = 1,
    live: Annotated[bool, typer.Option("--live", help="Ask the real providers instead of the sandbox.")] = False,
    seed: Annotated[int, typer.Option(help="The sandbox's seed.")] = 7,
    restart: Annotated[bool, typer.Option(help="Start again what ends by itself.")] = True,
) -> None:
    """Start the servers, the workers, beat and Flower, and keep the pipeline on schedule."""
    stack = Stack(load_settings().fintrack_home)
    refuse_second(load_settings().fintrack_home)
    stack.require_mode(requested_mode(live=live))
    ours = not any(process.running for process in stack.processes())
    before = _running(stack)
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        environment = boot(stack, live=live, seed=seed)
        start_workers(stack, environment, workers=workers)
        flower = _start_schedule(stack, environment)
        _start_ended(stack, environment)
        wait_for_workers(stack)
        prices = "simulated prices of the local market" if stack.mode is Mode.SIMULATED else "real prices"
        said = f"running, {prices}; Flower: {flower}; stop it with: fintrack down"
        console.print(said, markup=False, soft_wrap=True)
        console.print(f"user and password for Flower: {_login_location(stack)}", markup=False, soft_wrap=True)
        if detach and restart:
            stack.spawn(supervise.NAME, supervise.command(stack.home), {**os.environ, **environment})
        if not ours:
            console.print(_resume_summary(before, _running(stack)), markup=False, soft_wrap=True)
        if detach:
            return
        console.print("press Ctrl-C to stop")
        _watch(stack, restart=restart)
    except BaseException:
        if ours:
            stack.stop()
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)


def _running(stack: Stack) -> dict[str, int]:
    """The processes that run, by name."""
    return {one.name: one.pid for one in stack.parts() if one.running}


def _start_ended(stack: Stack, environment: Mapping[str, str]) -> None:
    """Start again what an earlier ``up`` started besides (more workers) and what has ended since."""
    for name in stack.ended():
        if name != supervise.NAME:
            stack.start_again(name, {**os.environ, **environment})


def _resume_summary(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """What an ``up`` over a stack that runs did: a person wants to know that nothing was interrupted."""
    started = [name for name, pid in after.items() if before.get(name) != pid]
    goes_on = sum(after.get(name) == pid for name, pid in before.items())
    return f"{goes_on} parts ran already and go on as they were; started: {', '.join(started) or 'nothing'}"


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _watch(stack: Stack, *, restart: bool) -> None:
    """Stay until Ctrl-C or until the stack is stopped; start again what has ended by itself, or only tell of it."""
    supervisor = Supervisor(stack, lambda line: errors.print(line, markup=False, soft_wrap=True), restart=restart)
    while True:
        time.sleep(_WATCH_SECONDS)  # nothing waits on this: Ctrl-C interrupts it
        if not stack.environment():
            console.print("the stack was stopped")
            return
        supervisor.look(utc_now())


def boot(stack: Stack, *, live: bool, seed: int, quiet: bool = False) -> dict[str, str]:
    """Servers, schema, topics and the sandbox; returns the environment of everything that belongs to the stack.

    :raises UsageError: when the stack runs in the other mode.
    """
    tell: Callable[[str], None] = (lambda _: None) if quiet else (lambda text: errors.print(text, markup=False))
    stack.start(tell, requested_mode(live=live))
    market = market_variables(None if live else _start_sandbox(stack, seed))
    # The embedded broker counts a first batch as one message, so that whoever asks for its watermark is misled.
    stack.add_environment({"KAFKA_BATCH_MESSAGES": "1", **market})
    environment = merged_variables(os.environ, stack.environment())
    settings = Settings.from_mapping({**os.environ, **environment})
    tell("migrating the database")
    prepare(Settings.from_mapping({**os.environ, **environment, **stack.owner_environment()}))
    if note := earlier_database(settings):
        tell(note)
    for line in looser_quotas(load_settings({**os.environ, **environment})) if live else ():
        tell(line)
    from fintrack_tasks.publish.kafka import Cluster, ensure_topics  # noqa: PLC0415  see _configure_process

    ensure_topics(Cluster.of(settings), (settings.kafka_topic_market_data, settings.kafka_topic_notifications))
    _configure_process(environment)
    return environment


def _configure_process(environment: Mapping[str, str]) -> None:
    """Point this process at the stack: Celery's configuration and the settings are read after this."""
    from fintrack_tasks.app import app as celery  # noqa: PLC0415  Celery, for those alone who start something

    os.environ.update(environment)
    celery.conf.update(broker_url=environment["REDIS_URL"], result_backend=environment["REDIS_URL"])


def requested_mode(*, live: bool) -> Mode:
    """The mode that ``--live`` asks for, or its absence."""
    return Mode.LIVE if live else Mode.SIMULATED


def merged_variables(environ: Mapping[str, str], stack: Mapping[str, str]) -> dict[str, str]:
    """The stack's variables, and empty ones for those that a shell still has from a local market of before."""
    return {**dict.fromkeys(addresses_in_market(environ), ""), **stack}


def market_variables(port: int | None) -> dict[str, str]:
    """Who is asked: the local market at that port, or the real providers. The addresses are there for people and their
    scripts; the first variable alone decides (:mod:`fintrack_tasks.settings`)."""
    if port is None:
        return {"FINTRACK_SANDBOX_URL": ""}
    url = f"http://{LOOPBACK}:{port}"
    return {"FINTRACK_SANDBOX_URL": url, **{f"{name.upper()}_BASE_URL": f"{url}/{name}" for name in PLAYED}}


def _start_sandbox(stack: Stack, seed: int) -> int:
    """The port of the local market, which is started when it does not run: where the workers that live know it."""
    url = stack.environment().get("FINTRACK_SANDBOX_URL", "")
    known = urlsplit(url).port
    if known and any(p.name == "sandbox" and p.running for p in stack.processes()):
        return known
    port = choose_port(known)
    port_file = stack.home / "sandbox.port"
    port_file.unlink(missing_ok=True)
    argv = [
        sys.executable,
        "-P",
        "-m",
        "fintrack_tasks.sandbox",
        "--port",
        str(port),
        "--port-file",
        str(port_file),
        "--seed",
        str(seed),
    ]
    process = stack.spawn("sandbox", argv, env=dict(os.environ), supports=True)
    deadline = time.monotonic() + 20
    while not port_file.exists():
        if time.monotonic() > deadline:
            raise OutageError("the sandbox", "127.0.0.1", f"it did not start; its log: {process.log}")
        time.sleep(0.02)  # a process start has no event to wait on
    return int(port_file.read_text())


def start_workers(stack: Stack, environment: Mapping[str, str], *, workers: int) -> None:
    """Worker processes as ``celery -A fintrack_tasks worker`` starts them anywhere."""
    full = {**os.environ, **environment}
    queues = ",".join(f"fetch.{name}" for name in providers.names())
    for number in range(1, workers + 1):
        _celery(
            stack,
            full,
            f"fetch{number}",
            "worker",
            "-Q",
            queues,
            "-P",
            "threads",
            "-c",
            str(_FETCH_THREADS),
            "-n",
            f"fetch{number}@%h",
        )
        _celery(stack, full, f"etl{number}", "worker", "-Q", "etl", "-P", "prefork", "-c", "2", "-n", f"etl{number}@%h")
    _celery(stack, full, "ops", "worker", "-Q", "ops", "-P", "threads", "-c", "4", "-n", "ops@%h")
    _celery(stack, full, "publish", "worker", "-Q", "publish", "-P", "threads", "-c", "2", "-n", "publish@%h")


def _start_schedule(stack: Stack, environment: Mapping[str, str]) -> str:
    """Beat and Flower; returns where Flower listens."""
    full = {**os.environ, **environment}
    _celery(stack, full, "beat", "beat")
    if running := flower_address(stack):
        return running
    settings = load_settings(full)
    login = ",".join(flower_login.logins(settings))  # made or refused here, where a person reads it
    port = _free_port(settings.flower_port)
    stack.add_environment({"FLOWER_PORT": str(port), "FLOWER_BASIC_AUTH": login})
    _celery(stack, full, "flower", "flower", f"--address={settings.flower_address}", f"--port={port}")
    return f"http://{settings.flower_address}:{port}"


def _login_location(stack: Stack) -> str:
    """Where the operator finds what the Flower that runs asks for; the words themselves stay out of terminals."""
    file, given = flower_login.login_file(stack.home), stack.environment().get("FLOWER_BASIC_AUTH")
    made = file.exists() and given == flower_login.generated(stack.home)
    return str(file) if made else "as FLOWER_BASIC_AUTH has it"


def flower_address(stack: Stack) -> str | None:
    """Where the Flower that runs already listens, by its own command line."""
    for process in stack.processes():
        if process.name == "flower" and process.running:
            given = dict(word.partition("=")[::2] for word in psutil.Process(process.pid).cmdline())
            return f"http://{given.get('--address')}:{given.get('--port')}"
    return None


def _celery(stack: Stack, environment: Mapping[str, str], name: str, command: str, *options: str) -> None:
    # As `celery -A fintrack_tasks`, but nothing of the working folder is imported (fintrack_tasks/celery_command.py).
    argv = [sys.executable, "-P", "-m", "fintrack_tasks.celery_command", "-A", "fintrack_tasks", command, *options]
    if command != "flower":
        argv += ["--loglevel", environment.get("LOG_LEVEL", "INFO")]
    stack.spawn(name, argv, env=dict(environment))


def _free_port(wanted: int) -> int:
    """The wanted port, or a free one when somebody has it."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OutageError("Flower", "127.0.0.1", "no free port was found")


def wait_for_workers(stack: Stack, timeout: float = 60.0) -> None:
    """Wait until every worker of the stack answers.

    :raises OutageError: names the log of the one that does not.
    """
    from fintrack_tasks import plain_messages  # noqa: PLC0415  see _configure_process
    from fintrack_tasks.app import app as celery  # noqa: PLC0415

    plain_messages.install()
    wanted = {p.name for p in stack.processes() if p.name.startswith(("fetch", "etl", "ops", "publish"))}
    deadline = time.monotonic() + timeout
    while True:
        replies = celery.control.broadcast("ping", reply=True, timeout=1.0, limit=len(wanted)) or []
        present = {name.split("@")[0] for reply in replies for name in reply}
        if wanted <= present:
            return
        dead = [p for p in stack.processes() if p.name in wanted and not p.running]
        if dead or time.monotonic() > deadline:
            missing = dead[0].name if dead else sorted(wanted - present)[0]
            raise OutageError(f"worker {missing}", "its queue", f"see {stack.home / 'logs' / missing}.log")


def down(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Stop everything that belongs to the local stack; the data stays."""
    stack = Stack(load_settings().fintrack_home)
    stopped = [p.name for p in stack.processes() if p.running] + [n for n, h in stack.health().items() if h.running]
    stack.stop()
    if as_json:
        print_json({"stopped": stopped})
    else:
        nothing = "; ".join(filter(None, (f"nothing runs in {stack.home}", hint())))
        console.print(f"stopped: {', '.join(stopped)}" if stopped else nothing, markup=False, soft_wrap=True)


def env() -> None:
    """Print export NAME=value lines: eval "$(fintrack env)" points a shell at the running stack."""
    stack = Stack(load_settings().fintrack_home)
    environment = stack.environment()
    if not environment:
        raise OutageError("the local stack", str(stack.home))
    sys.stdout.write("\n".join(export_lines(merged_variables(os.environ, environment))) + "\n")


def sandbox(
    port: Annotated[int, typer.Option(help="0 for a free one.", min=0, max=65535)] = 0,
    seed: Annotated[int, typer.Option(help="The seed of synthetic prices.")] = 7,
    quota: Annotated[list[str] | None, typer.Option(help="Such as yahoo_finance=20/s,600/m; may be repeated.")] = None,
) -> None:
    """Serve the local market alone, until Ctrl-C: it answers as the providers do.

    FINTRACK_SANDBOX_URL=http://127.0.0.1:PORT points programs at it; what they store is simulated.
    """
    argv = [sys.executable, "-P", "-m", "fintrack_tasks.sandbox", "--port", str(port), "--seed", str(seed)]
    for text in quota or ():
        name, _, limits = text.partition("=")
        if name not in providers.names() or not limits:
            raise UsageError(f"not a quota: {text!r:.60}; write it as yahoo_finance=20/s")
        argv += ["--quota", text]
    os.execv(sys.executable, argv)  # noqa: S606  the same interpreter, a fixed module, no shell
