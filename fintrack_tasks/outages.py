"""The causes behind a failed connection to PostgreSQL, Redis or Kafka, each as one line with the remedy.

A dead server has to be started; a refused password or a wrong address needs a setting mended. The clients report this
by text alone: libpq gives a failed connection no SQLSTATE, redis-py has one class for all. The texts are read here, and
only here; no client is imported.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from typing import Final

from fintrack_tasks.errors import OutageError

__all__ = ["gone", "is_here", "of_kafka", "of_postgres", "of_redis"]

_LOOPBACK: Final = re.compile(r"(?:[a-z+]+://)?(?:127\.|localhost\b|\[?::1\b)")
_UNKNOWN_HOST: Final = (
    r"resolve host|Name or service not known|nodename nor servname|name resolution|No address associated"
)
_Reading = tuple[re.Pattern[str], str, str]
"""A text that a client gives, the problem that it tells of, and what to do."""


def _readings(*rows: tuple[str, str, str]) -> tuple[_Reading, ...]:
    return tuple((re.compile(pattern), problem, remedy) for pattern, problem, remedy in rows)


_POSTGRES: Final = _readings(
    (
        r"password authentication failed|no password supplied|role .* does not exist|pg_hba\.conf",
        "refuses the user or the password",
        "check {login}",
    ),
    (
        r"too many clients|connection slots are reserved|too many connections",
        "has no connection left",
        "raise its max_connections or lower DB_POOL_SIZE",
    ),
    (
        r"starting up|shutting down|not yet accepting connections|in recovery mode",
        "is starting or stopping",
        "wait a moment; its log says if it lasts",
    ),
    (r"database .* does not exist", "has no such database", "check DB_NAME"),
    (_UNKNOWN_HOST, "cannot be found", "its host is not known here: check DB_HOST"),
    (r"does not support SSL", "speaks no TLS", "switch it on there, or lower DB_SSLMODE"),
    (
        r"certificate verify failed|root certificate file|does not match host name",
        "shows a certificate that is not accepted",
        "DB_SSLROOTCERT does not vouch for it and its name: check both",
    ),
    (
        r"timeout expired",
        "does not answer in time",
        "check the network, DB_HOST and DB_PORT: another server may listen there",
    ),
    (
        r"connection failed: .*(?:server closed the connection|invalid response)",
        "closes the connection at once",
        "check DB_HOST and DB_PORT: another server may listen there",
    ),
    (r"No such file or directory", "has no socket", "check DB_HOST and DB_PORT, or start it"),
)

_REDIS: Final = _readings(
    (
        r"WRONGPASS|invalid username-password|invalid password",
        "refuses the user or the password",
        "check those in REDIS_URL",
    ),
    (
        r"NOAUTH|Authentication required|already authenticated",
        "wants a password",
        "put it into REDIS_URL: redis://:PASSWORD@HOST:PORT/0",
    ),
    (_UNKNOWN_HOST, "cannot be found", "its host is not known here: check REDIS_URL"),
    (r"DB index is out of range", "has no database of that number", "check the number at the end of REDIS_URL"),
    (r"NOPERM|no permissions", "does not allow that to its user", "give the user in REDIS_URL the rights it needs"),
    (
        r"certificate verify failed|CERTIFICATE_VERIFY_FAILED|Hostname mismatch",
        "shows a certificate that is not accepted",
        "REDIS_CA_FILE does not vouch for it and its name: check both",
    ),
    (
        r"Connection closed by server|Protocol Error|Invalid Response|WRONG_VERSION_NUMBER|SSL|HTTP/",
        "does not speak Redis' protocol",
        "check the port in REDIS_URL, and its scheme: rediss:// for TLS, redis:// without",
    ),
    (
        r"[Tt]imeout|timed out",
        "does not answer in time",
        "see whether it hangs; if not, check the host, the port and the scheme in REDIS_URL",
    ),
)

_REFUSED: Final = re.compile(r"[Cc]onnection refused")


def of_postgres(text: str, address: str, login: Sequence[str] = ("DB_USER", "DB_PASSWORD")) -> OutageError | None:
    """The outage for the text of a failed connection to PostgreSQL; ``None`` for any other text.

    :param login: the names of the variables that hold the user and the password.
    """
    return _read("PostgreSQL", text, address, _POSTGRES, "DB_HOST and DB_PORT", login=" and ".join(login))


def gone(server: str, address: str, where: str) -> OutageError:
    """The outage of a server that does not answer: with how to start it where it may be local, else where to look.

    :param where: the names of the variables that say where it is.
    """
    if is_here(address):
        return OutageError(server, address)
    return OutageError(server, address, f"check {where} and the network, or start it there")


def of_redis(error: Exception, address: str) -> OutageError:
    """The outage for an error of Redis' client, or of kombu about Redis.

    :param address: without any secret.
    """
    from fintrack_tasks.refusals import remedy_of  # noqa: PLC0415  the client is loaded by now: it raised this

    if remedy := remedy_of(error):
        return OutageError("Redis", address, remedy, "refuses for now")
    if found := _read("Redis", str(error), address, _REDIS, "REDIS_URL"):
        return found
    if type(error).__name__ == "ResponseError":
        return OutageError("Redis", address, f"it says: {_first_line(error)}", "refuses")
    return gone("Redis", address, "REDIS_URL")


def of_kafka(bootstrap: str) -> OutageError:
    """The outage of a broker that does not answer; its names are looked up here, since its client gives no cause."""
    hosts = [each.strip().rpartition("://")[2].rpartition(":")[0].strip("[]") for each in bootstrap.split(",")]
    if not _any_known(hosts):
        remedy = "its host is not known here: check KAFKA_BOOTSTRAP_SERVERS"
        return OutageError("Kafka", bootstrap, remedy, "cannot be found")
    return gone("Kafka", bootstrap, "KAFKA_BOOTSTRAP_SERVERS")


def is_here(address: str) -> bool:
    """Whether an address is local, so that ``fintrack up`` could start the server."""
    return _LOOPBACK.match(address) is not None


def _any_known(hosts: Sequence[str]) -> bool:
    for host in hosts:
        try:
            socket.getaddrinfo(host or None, None)
        except (OSError, UnicodeError):
            continue
        return True
    return False


def _read(
    server: str, text: str, address: str, readings: Sequence[_Reading], where: str, **words: str
) -> OutageError | None:
    for pattern, problem, remedy in readings:
        if pattern.search(text):
            return OutageError(server, address, remedy.format(**words), problem)
    if not _REFUSED.search(text):
        return None
    if is_here(address):  # a local one may only not have been started
        return OutageError(server, address, f"{OutageError.START}; if it runs, it listens elsewhere: check {where}")
    return OutageError(server, address, f"nothing listens there: check {where}, or start it there")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
