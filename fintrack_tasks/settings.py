"""The only reader of the environment.

Sources, strongest first: the process' environment, ``NAME_FILE`` (a file that holds the secret), ``.env`` in the
working folder, and ``stack.env`` that a running local stack keeps in ``FINTRACK_HOME``. Secrets are masked values:
``repr`` and logs show asterisks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import quote, unquote, urlencode, urlsplit, urlunsplit

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
)

from fintrack_tasks import hosts
from fintrack_tasks.errors import ConfigurationError

__all__ = [
    "PLAYED",
    "SECRET_NAMES",
    "Settings",
    "addresses_in_market",
    "drop_injected_ports",
    "environment",
    "load_settings",
    "on_this_machine",
    "redact_url",
    "settings",
]

SECRET_NAMES = (
    "DB_PASSWORD",
    "DB_READER_PASSWORD",
    "DB_OWNER_PASSWORD",
    "REDIS_URL",
    "KAFKA_SASL_PASSWORD",
    "API_KEY_ALPHA_VANTAGE",
    "API_KEY_FINNHUB",
    "API_KEY_TWELVE_DATA",
    "API_KEY_COINBASE",
    "FLOWER_BASIC_AUTH",
)
"""Every secret; each may also be given as ``NAME_FILE``."""

PLAYED: Final = ("alpha_vantage", "coinbase", "ecb", "finnhub", "twelve_data", "wikipedia", "yahoo_finance")
"""Whom the local market plays: under ``FINTRACK_SANDBOX_URL`` each of them is asked there."""

_LOCAL_QUOTA: Final = "200/s"
"""The local market is ours: it need not be spared, unless the operator says otherwise."""
_LOCAL_HISTORY: Final = {"fintrack_history_start": "2010-01-01", "fintrack_history_end": "2019-01-01"}
"""The bundled prices end in 2013 (stocks) and 2018 (indices): asking for later days would only find them absent."""

_ADDRESSES: Final = ("DB_HOST", "DB_PORT", "REDIS_URL", "REDIS_URL_FILE", "KAFKA_BOOTSTRAP_SERVERS")
"""What says where the servers are."""
_NEVER_EMPTY: Final = ("REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS")
"""Where a secret or a variable that somebody forgot would send all work to this machine in silence."""
_OF_SERVERS: Final = re.compile(r"(?:DB|REDIS|KAFKA)_(?!POOL_SIZE|TOPIC_|BATCH_)[A-Z_]+")
"""Addresses, and what says nothing without one: logins, databases, certificates."""
_LONGEST_FILE: Final = 1_000_000
"""Bytes."""
_STACK_MARK: Final = "FINTRACK_STACK"
"""What each process of a local stack has in its environment; see :mod:`fintrack_tasks.embedded.process`."""

_OF_OPERATORS: Final = re.compile(r"[A-Z][A-Z0-9_]*_QUOTA|FINTRACK_HISTORY_(?:START|END)")
"""No stack says these; ``stack.env`` of an earlier version may, which had the local market's quotas beside the real
providers' addresses."""

_PROVIDER_URL = re.compile(r"([A-Z][A-Z0-9_]*)_BASE_URL")
_PROVIDER_QUOTA = re.compile(r"([A-Z][A-Z0-9_]*)_QUOTA")
_ROUTE = re.compile(r"FINTRACK_ROUTE_([A-Z]+(?:_[A-Z]+)?)")


_REDIS_URL: Final = re.compile(
    r"(?P<scheme>rediss?)://(?:(?P<user>[^\s:/?#@]*)(?::(?P<password>[^\s/?#@]*))?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/?#@\[\]]+)(?::(?P<port>\d{1,5}))?/?(?P<db>\d{1,5})?"
)
_BROKERS: Final = re.compile(r"(?:[^\s,:/@\[\]]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")
_INJECTED_PORT: Final = re.compile(r"(?:tcp|udp|sctp)://.*")
"""Kubernetes and Docker links set NAME_PORT=tcp://10.0.0.1:5555 for a service called NAME: no setting of ours."""
_TLS_FILES: Final = (
    "db_sslcert",
    "db_sslkey",
    "redis_ca_file",
    "redis_cert_file",
    "redis_key_file",
    "kafka_ca_file",
    "kafka_cert_file",
    "kafka_key_file",
)
_MALFORMED: Final = "a malformed URL"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


def redact_url(url: str) -> str:
    """The URL without user, password, query and fragment, fit for a log line; nothing of what is no URL.

    An unencoded sign in a password makes an URL that ends within it: all before the last ``@`` is left out.
    """
    scheme, separator, rest = url.partition("://")
    try:
        parts = urlsplit(f"{scheme}://{rest.rpartition('@')[2]}")
        if not separator or not parts.hostname or (parts.port is None and parts.netloc.endswith(":")):
            return _MALFORMED
    except ValueError:
        return _MALFORMED
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def is_injected_port(name: str, value: str) -> bool:
    """Whether a variable is not a setting but what Kubernetes or Docker says of a service of that name."""
    return name.endswith("_PORT") and _INJECTED_PORT.fullmatch(value) is not None


def drop_injected_ports() -> None:
    """Take such variables out of this process' environment: Flower reads ``FLOWER_PORT`` by itself, and would end."""
    for name in [name for name, value in os.environ.items() if is_injected_port(name, value)]:
        if name.lower() in Settings.model_fields:
            del os.environ[name]


def on_this_machine(url: str) -> bool:
    """Whether an address is one of this machine by its text alone: a name could lead anywhere."""
    parts = None if hosts.problem(url, keyed=False) else urlsplit(url)
    return (
        parts is not None
        and parts.scheme == "http"
        and "@" not in parts.netloc
        and hosts.is_loopback(str(parts.hostname))
    )


def _blank_to_none(value: object) -> object:
    return None if value == "" else value


def _checked_redis_url(url: SecretStr) -> SecretStr:
    """The URL in the one form that every client of it reads alike: user and password percent-encoded, no query.

    The clients of Redis (redis-py, kombu, RedBeat, Flower) read a URL with an unencoded ``/``, ``?`` or ``#`` in its
    password each in its own way, and quote parts of it in their errors. So it is read here, before any of them.

    :raises ValueError: says what is wrong without a part of the URL.
    """
    found = _REDIS_URL.fullmatch(url.get_secret_value())
    if found is None:
        raise ValueError(
            "not of the form redis://[user:password@]host[:port][/number], or rediss:// for TLS; in user and password"
            " write / ? # @ : % and blanks percent-encoded (%2F %3F %23 %40 %3A %25 %20); it takes no ?options"
        )
    if found["port"] and not 1 <= int(found["port"]) <= 65535:
        raise ValueError("its port is not between 1 and 65535")
    user, password = (quote(unquote(found[part] or ""), safe="") for part in ("user", "password"))
    who = f"{user}:{password}@" if password else f"{user}@" if user else ""
    return SecretStr(f"{found['scheme']}://{who}{found['host']}:{found['port'] or 6379}/{int(found['db'] or 0)}")


def _checked_brokers(text: str) -> str:
    """:raises ValueError: when it is not ``host:port``, several with commas."""
    brokers = [part.strip() for part in text.split(",") if part.strip()]
    if not brokers or not all(_BROKERS.fullmatch(broker) for broker in brokers):
        raise ValueError("not of the form host:port, several with commas")
    return ",".join(brokers)


def _checked_plain(text: str) -> str:
    """:raises ValueError: when it is an URL, which may hold a password, and would be shown as the name of a server."""
    if "://" in text or "@" in text[1:]:  # at the beginning it is a socket in Linux' abstract namespace
        raise ValueError("a name alone is wanted, no URL: user, password, host, port and database have settings each")
    return text


def _local_market(url: str) -> str:
    if url and (not on_this_machine(url) or urlsplit(url).path.strip("/") or urlsplit(url).query):
        raise ValueError("the local market answers on this machine alone: http://127.0.0.1:PORT")
    return url.rstrip("/")


OptionalPath = Annotated[Path | None, BeforeValidator(_blank_to_none)]
RedisUrl = Annotated[SecretStr, AfterValidator(_checked_redis_url)]
PlainName = Annotated[str, AfterValidator(_checked_plain)]
Brokers = Annotated[str, AfterValidator(_checked_brokers)]


class Settings(BaseModel):
    """All settings, typed. Field names are the variables' names in lower case."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    _login: str = PrivateAttr("DB")
    """What the variables of the login begin with that ``db_user`` and ``db_password`` hold."""

    environment: Literal["development", "test", "production"] = "development"

    db_host: PlainName = "localhost"
    db_port: int = Field(5432, ge=1, le=65535)
    db_name: PlainName = "financial_tracker"
    db_user: str = "admin"
    """The login of workers, beat and the command line: a member of ``fintrack_writer``."""
    db_password: SecretStr = SecretStr("")
    db_reader_user: str = ""
    """The login of commands that only read, a member of ``fintrack_reader``; empty for ``db_user``."""
    db_reader_password: SecretStr = SecretStr("")
    db_owner_user: str = ""
    """The login that migrates, known to ``fintrack db upgrade`` alone; empty for ``db_user``."""
    db_owner_password: SecretStr = SecretStr("")
    db_sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    db_sslrootcert: str = ""
    """File of the certificate authorities that may vouch for PostgreSQL; ``system`` for this machine's own."""
    db_sslcert: OptionalPath = None
    db_sslkey: OptionalPath = None
    db_pool_size: int = Field(16, ge=1)

    redis_url: RedisUrl = SecretStr("redis://localhost:6379/0")
    """``rediss://`` asks for TLS: the server's certificate and name are always verified."""
    redis_ca_file: OptionalPath = None
    """The authorities that may vouch for Redis; this machine's own where none is named."""
    redis_cert_file: OptionalPath = None
    redis_key_file: OptionalPath = None

    kafka_bootstrap_servers: Brokers = "localhost:9092"
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_ca_file: OptionalPath = None
    """The authorities that may vouch for Kafka's brokers; this machine's own where none is named."""
    kafka_cert_file: OptionalPath = None
    kafka_key_file: OptionalPath = None
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_sasl_username: str = ""
    kafka_sasl_password: SecretStr = SecretStr("")
    kafka_batch_messages: int = Field(10_000, ge=1)
    """The most messages of one batch; 1 for the embedded broker, whose watermark miscounts a first batch."""
    kafka_topic_market_data: str = "market-data"
    kafka_topic_notifications: str = "notifications"

    api_key_alpha_vantage: SecretStr = SecretStr("")
    api_key_finnhub: SecretStr = SecretStr("")
    api_key_twelve_data: SecretStr = SecretStr("")
    api_key_coinbase: SecretStr = SecretStr("")
    api_rate_limit: int = Field(0, ge=0)
    """Requests a minute that no provider may exceed whatever its own quota; 0 leaves the provider's own."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_file: OptionalPath = None
    log_format: Literal["json", "console"] = "console"
    metrics_enabled: bool = True
    alerting_enabled: bool = True
    backup_enabled: bool = True
    monitoring_enabled: bool = True

    flower_basic_auth: SecretStr = SecretStr("")
    flower_address: str = "127.0.0.1"
    flower_port: int = Field(5555, ge=0, le=65535)
    flower_hosts: str = ""
    """Names besides loopback and its address under which Flower is asked, with commas."""

    fintrack_home: Path = Path(".fintrack")
    fintrack_history_start: str = "2020-01-01"
    fintrack_history_end: str = ""
    """ISO date at which the history of interest ends (exclusive); empty for today."""
    fintrack_refetch_sessions: int = Field(3, ge=0, le=30)
    """How many sessions before the newest are asked for again with it: their bars may have been corrected since."""
    fintrack_item_deadline_seconds: float = Field(120.0, gt=0)
    """How long an item may stay unfinished before reconcile enqueues it again."""
    fintrack_http_timeout_seconds: float = Field(15.0, gt=0)

    fintrack_sandbox_url: Annotated[str, AfterValidator(_local_market)] = ""
    """The local market. Where it is set, every provider is asked there, under quotas and a history of its own, and what
    comes of it is simulated; empty for the real providers. One variable, so that no part of it can be left behind."""
    provider_base_urls: Mapping[str, str] = Field(default_factory=dict)
    """Provider name to the URL that replaces its own (``<NAME>_BASE_URL``)."""
    provider_quotas: Mapping[str, str] = Field(default_factory=dict)
    """Provider name to quota text such as ``20/s,600/m`` (``<NAME>_QUOTA``); ``unlimited`` lifts it."""
    routes: Mapping[str, str] = Field(default_factory=dict)
    """``stock`` or ``stock_quote`` to provider names with commas (``FINTRACK_ROUTE_<CLASS>[_<KIND>]``)."""
    fintrack_quota_floor_real_time: float = Field(0.25, ge=0, lt=1)
    """The share of each quota that gap repair and deep backfill leave to quotes and indices."""
    fintrack_quota_floor_gap_repair: float = Field(0.15, ge=0, lt=1)
    """The share that deep backfill leaves to gap repair besides."""
    fintrack_consensus_deviation_bps: float = Field(50.0, gt=0)
    """Basis points from the median beyond which a provider of a consensus is flagged."""

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> Self:
        """Settings from variables by name; a pure function of its argument but for ``NAME_FILE`` files.

        An empty value is none, as compose files give them; but an address that came out empty is told.

        :raises ConfigurationError: names the variable that is wrong; never shows a secret's value.
        """
        fields: dict[str, Any] = {
            name.lower(): value
            for name, value in values.items()
            if (value or name in _NEVER_EMPTY)
            and name.lower() in cls.model_fields
            and not is_injected_port(name, value)
        }
        for name in SECRET_NAMES:
            if path := values.get(f"{name}_FILE"):
                fields[name.lower()] = _read_secret(f"{name}_FILE", path)
        fields["provider_base_urls"] = _by_provider(_PROVIDER_URL, values)
        fields["provider_quotas"] = _by_provider(_PROVIDER_QUOTA, values)
        if market := fields.get("fintrack_sandbox_url"):
            fields |= _simulated(market.rstrip("/"), fields)
        fields["routes"] = _by_provider(_ROUTE, values)
        for name in ("log_level", "kafka_security_protocol", "kafka_sasl_mechanism"):
            if name in fields:
                fields[name] = str(fields[name]).upper()
        for name in ("log_format", "environment"):
            if name in fields:
                fields[name] = str(fields[name]).lower()
        try:
            settings = cls.model_validate(fields)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            variable = str(problem["loc"][0]).upper()
            what = problem["msg"].removeprefix("Value error, ")
            raise ConfigurationError(f"{variable}: {what}; mend it in the environment or in .env") from None
        settings._check_transport()
        settings._check_provider_urls()
        return settings

    def _check_provider_urls(self) -> None:
        """:raises ConfigurationError: when a provider's address is none, or would give a key away."""
        for name, url in self.provider_base_urls.items():
            keyed = bool(self.api_keys(f"API_KEY_{name.upper()}"))
            if wrong := hosts.problem(url, keyed=keyed):
                raise ConfigurationError(f"{name.upper()}_BASE_URL {wrong}; mend it in the environment or in .env")

    def _check_transport(self) -> None:
        """:raises ConfigurationError: when the settings of TLS and SASL do not go together or name no file."""
        for name in _TLS_FILES:
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ConfigurationError(f"{name.upper()}: there is no file {path}")
        if self.db_sslrootcert not in ("", "system") and not Path(self.db_sslrootcert).is_file():
            raise ConfigurationError(f"DB_SSLROOTCERT: there is no file {self.db_sslrootcert}; or write system")
        for prefix in ("db_ssl", "redis_", "kafka_"):
            cert, key = (
                (f"{prefix}cert", f"{prefix}key") if prefix == "db_ssl" else (f"{prefix}cert_file", f"{prefix}key_file")
            )
            if (getattr(self, cert) is None) != (getattr(self, key) is None):
                raise ConfigurationError(f"{cert.upper()} and {key.upper()} belong together: set both, or neither")
        self._check_sasl()

    def _check_sasl(self) -> None:
        """:raises ConfigurationError: when a part of Kafka's login is missing or would be sent in clear."""
        if not self.kafka_security_protocol.startswith("SASL_"):
            return
        if not self.kafka_sasl_username or not self.kafka_sasl_password.get_secret_value():
            raise ConfigurationError(
                f"KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} needs KAFKA_SASL_USERNAME and"
                " KAFKA_SASL_PASSWORD (or KAFKA_SASL_PASSWORD_FILE)"
            )
        hosts = {broker.rpartition(":")[0] for broker in self.kafka_bootstrap_servers.split(",")}
        if (
            self.kafka_security_protocol == "SASL_PLAINTEXT"
            and self.kafka_sasl_mechanism == "PLAIN"
            and not hosts <= set(_LOOPBACK)
        ):
            raise ConfigurationError(
                "KAFKA_SASL_MECHANISM=PLAIN would send the password in clear: set KAFKA_SECURITY_PROTOCOL=SASL_SSL, or"
                " a SCRAM mechanism"
            )

    def as_reader(self) -> Self:
        """The same settings for a program that only reads: logged in as ``db_reader_user`` where one is set."""
        return self._logged_in("DB_READER", self.db_reader_user, self.db_reader_password)

    def as_owner(self) -> Self:
        """The same settings for who migrates: logged in as ``db_owner_user`` where one is set."""
        return self._logged_in("DB_OWNER", self.db_owner_user, self.db_owner_password)

    def _logged_in(self, login: str, user: str, password: SecretStr) -> Self:
        if not user:
            return self
        copied = self.model_copy(update={"db_user": user, "db_password": password})
        copied._login = login
        return copied

    @property
    def login_variables(self) -> tuple[str, str]:
        """The names of the variables that hold the user and the password of these settings' login."""
        return f"{self._login}_USER", f"{self._login}_PASSWORD"

    @property
    def simulated(self) -> bool:
        """Whether the prices of this process are the local market's."""
        return bool(self.fintrack_sandbox_url)

    @property
    def conninfo(self) -> dict[str, Any]:
        """Keyword arguments for :func:`psycopg.connect`. Holds the password: never log it."""
        return {
            "host": self.db_host,
            "port": self.db_port,
            "dbname": self.db_name,
            "user": self.db_user,
            "password": self.db_password.get_secret_value() or None,
            **self._database_tls,
            "connect_timeout": 5,
            "application_name": "fintrack",
        }

    @property
    def sqlalchemy_url(self) -> str:
        """The database's URL for SQLAlchemy. Holds the password: never log it."""
        password = quote(self.db_password.get_secret_value(), safe="")
        user = quote(self.db_user, safe="") + (f":{password}" if password else "")
        host = quote(self.db_host, safe="") if self.db_host.startswith("/") else self.db_host
        options = urlencode(self._database_tls)
        return f"postgresql+psycopg://{user}@{host}:{self.db_port}/{self.db_name}?{options}"

    @property
    def _database_tls(self) -> dict[str, str]:
        files = {"sslrootcert": self.db_sslrootcert, "sslcert": self.db_sslcert, "sslkey": self.db_sslkey}
        return {"sslmode": self.db_sslmode, **{name: str(value) for name, value in files.items() if value}}

    @property
    def redis_tls(self) -> dict[str, Any] | None:
        """What redis-py, kombu, Celery's results, RedBeat and Flower are told where ``rediss://`` asks for TLS."""
        if not self.redis_url.get_secret_value().startswith("rediss://"):
            return None
        files = {
            "ssl_ca_certs": self.redis_ca_file,
            "ssl_certfile": self.redis_cert_file,
            "ssl_keyfile": self.redis_key_file,
        }
        named = {name: str(path) for name, path in files.items() if path}
        return {"ssl_cert_reqs": "required", "ssl_check_hostname": True, **named}

    @property
    def kafka_security(self) -> dict[str, str]:
        """What a client of librdkafka is told of TLS and SASL. Holds the password: never log it."""
        files = {
            "ssl.ca.location": self.kafka_ca_file,
            "ssl.certificate.location": self.kafka_cert_file,
            "ssl.key.location": self.kafka_key_file,
        }
        told: dict[str, str] = {"security.protocol": self.kafka_security_protocol}
        if self.kafka_security_protocol.endswith("SSL"):
            told |= {name: str(path) for name, path in files.items() if path}
        if self.kafka_security_protocol.startswith("SASL_"):
            told |= {
                "sasl.mechanism": self.kafka_sasl_mechanism,
                "sasl.username": self.kafka_sasl_username,
                "sasl.password": self.kafka_sasl_password.get_secret_value(),
            }
        return told

    def api_keys(self, variable: str) -> tuple[SecretStr, ...]:
        """The keys of a variable such as ``API_KEY_FINNHUB``: several are separated by commas."""
        value: SecretStr = getattr(self, variable.lower(), SecretStr(""))
        return tuple(SecretStr(key.strip()) for key in value.get_secret_value().split(",") if key.strip())


def _read_secret(variable: str, path: str) -> str:
    try:
        return _short_text(Path(path), variable).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{variable}: cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}"
        ) from None


def _short_text(path: Path, what: str) -> str:
    """The text of a file of settings; a device or somebody's archive in its place is not read to its end.

    :raises ConfigurationError: it is longer than any such file.
    """
    with path.open("rb") as file:
        text = file.read(_LONGEST_FILE + 1)
    if len(text) > _LONGEST_FILE:
        raise ConfigurationError(f"{what}: {path} is longer than {_LONGEST_FILE:,} bytes, no file of settings")
    return text.decode("utf-8")


def _by_provider(pattern: re.Pattern[str], values: Mapping[str, str]) -> dict[str, str]:
    return {match[1].lower(): value for name, value in values.items() if value and (match := pattern.fullmatch(name))}


def _simulated(market: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What the local market brings with it. No provider is left at an address off this machine: its own quota would be
    replaced by the market's there."""
    own = {name: url for name, url in fields["provider_base_urls"].items() if on_this_machine(url)}
    asked = {name: f"{market}/{name}" for name in PLAYED} | own
    there = [name for name in PLAYED if asked[name].startswith(f"{market}/")]  # another address may lead anywhere
    history = {name: fields.get(name) or value for name, value in _LOCAL_HISTORY.items()}
    return {
        "provider_base_urls": asked,
        "provider_quotas": dict.fromkeys(there, _LOCAL_QUOTA) | fields["provider_quotas"],
        **history,
    }


def _dotenv(path: Path) -> dict[str, str]:
    """:raises ConfigurationError: it is no file of settings."""
    if not path.is_file():
        return {}
    try:
        text = _short_text(path, path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}") from None
    return {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value is not None}


def environment(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> dict[str, str]:
    """All variables by name, from the weakest source to the strongest: ``stack.env``, ``.env``, the process."""
    process = os.environ if environ is None else environ
    folder = folder or Path.cwd()
    dotenv = _dotenv(folder / ".env")
    home = Path(process.get("FINTRACK_HOME") or dotenv.get("FINTRACK_HOME") or folder / ".fintrack")
    stack = {name: value for name, value in _dotenv(home / "stack.env").items() if not _OF_OPERATORS.fullmatch(name)}
    return _over(_over(stack, _for_this_machine(dotenv, stack, process)), process)


def addresses_in_market(values: Mapping[str, str]) -> set[str]:
    """The ``<NAME>_BASE_URL`` among some variables that lead to the local market that these name."""
    market = values.get("FINTRACK_SANDBOX_URL")
    return {n for n, url in values.items() if market and _PROVIDER_URL.fullmatch(n) and url.startswith(f"{market}/")}


def _over(weaker: Mapping[str, str], stronger: Mapping[str, str]) -> dict[str, str]:
    """Both, the stronger one's where they differ. A secret and its file are two ways to say one thing, and who names
    another market, or none, has nothing of the weaker one's."""
    hidden = {f"{name}_FILE" for name in SECRET_NAMES if name in stronger}
    hidden |= {name for name in SECRET_NAMES if stronger.get(f"{name}_FILE")}
    if stronger.get("FINTRACK_SANDBOX_URL", weaker.get("FINTRACK_SANDBOX_URL")) != weaker.get("FINTRACK_SANDBOX_URL"):
        hidden |= addresses_in_market(weaker)
    return {**{name: value for name, value in weaker.items() if name not in hidden}, **stronger}


def _for_this_machine(
    dotenv: Mapping[str, str], stack: Mapping[str, str], process: Mapping[str, str]
) -> dict[str, str]:
    """``.env`` without what belongs to other servers than the local stack's.

    A password, a user or a certificate that stands there for the containers says nothing of a stack that runs here,
    where no address says that commands should go to those; and a process of that stack goes nowhere else.
    """
    elsewhere = any(dotenv.get(name) for name in _ADDRESSES)
    if not process.get(_STACK_MARK) and (elsewhere or "DB_HOST" not in stack):
        # An empty login belongs to those servers: it hides the stack's. Any other empty line chooses nothing.
        login = {name for name in dotenv if _OF_SERVERS.fullmatch(name) and name not in _NEVER_EMPTY}
        return {name: value for name, value in dotenv.items() if value or name in login}
    return {name: value for name, value in dotenv.items() if value and not _OF_SERVERS.fullmatch(name)}


def load_settings(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """The settings of this process as they stand now. Cheap enough to call per command, not per task."""
    return Settings.from_mapping(environment(environ, folder))


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once. Tasks and ``celeryconfig`` use it; tests clear it."""
    return load_settings()
