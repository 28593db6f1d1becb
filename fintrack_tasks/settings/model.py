"""The settings as one typed, frozen value: each field with its default, and the arguments of clients of the servers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.settings.addresses import Brokers, MarketUrl, OptionalPath, PlainName, RedisUrl, is_injected_port
from fintrack_tasks.settings.checks import check_provider_urls, check_transport
from fintrack_tasks.settings.files import read_secret
from fintrack_tasks.settings.local_market import PROVIDER_URL, local_market_fields

__all__ = ["NEVER_EMPTY", "SECRET_NAMES", "Settings"]

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

NEVER_EMPTY: Final = ("REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS")
"""Empty is an error for these: with the default, a forgotten secret or variable would silently mean this machine."""

_PROVIDER_QUOTA = re.compile(r"([A-Z][A-Z0-9_]*)_QUOTA")
_ROUTE = re.compile(r"FINTRACK_ROUTE_([A-Z]+(?:_[A-Z]+)?)")


class Settings(BaseModel):
    """All settings, typed. Field names are the variables' names in lower case."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    _login: str = PrivateAttr("DB")
    """Prefix of the variables from which ``db_user`` and ``db_password`` were taken."""

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
    """Host names, separated by commas, under which Flower may be requested besides loopback and its address."""

    fintrack_home: Path = Path(".fintrack")
    fintrack_history_start: str = "2020-01-01"
    fintrack_history_end: str = ""
    """ISO date at which the history of interest ends (exclusive); empty for today."""
    fintrack_refetch_sessions: int = Field(3, ge=0, le=30)
    """How many trading sessions before the newest are requested again with it: providers correct recent bars."""
    fintrack_item_deadline_seconds: float = Field(120.0, gt=0)
    """How long an item may stay unfinished before reconcile enqueues it again."""
    fintrack_http_timeout_seconds: float = Field(15.0, gt=0)

    fintrack_sandbox_url: MarketUrl = ""
    """URL of the local market. Where set, all requests go there instead of to the providers, under its own quotas and
    history, and the data are marked as simulated; empty for the real providers. One variable, so that no part of the
    configuration can be left behind."""
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

        An empty value counts as not set, since compose files pass variables on empty; an empty address is an error.

        :raises ConfigurationError: names the variable that is wrong; never shows a secret's value.
        """
        try:
            settings = cls.model_validate(_fields(values))
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            variable = str(problem["loc"][0]).upper()
            what = problem["msg"].removeprefix("Value error, ")
            raise ConfigurationError(f"{variable}: {what}; mend it in the environment or in .env") from None
        check_transport(settings)
        check_provider_urls(settings)
        return settings

    def as_reader(self) -> Self:
        """The same settings for a program that only reads: logged in as ``db_reader_user`` where one is set."""
        return self._logged_in("DB_READER", self.db_reader_user, self.db_reader_password)

    def as_owner(self) -> Self:
        """The same settings for migrations: logged in as ``db_owner_user`` where one is set."""
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
        """TLS arguments of redis-py, kombu, Celery's results, RedBeat and Flower; ``None`` unless the URL is ``rediss://``."""
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
        """TLS and SASL settings for a client of librdkafka. Holds the password: never log it."""
        files = {
            "ssl.ca.location": self.kafka_ca_file,
            "ssl.certificate.location": self.kafka_cert_file,
            "ssl.key.location": self.kafka_key_file,
        }
        options: dict[str, str] = {"security.protocol": self.kafka_security_protocol}
        if self.kafka_security_protocol.endswith("SSL"):
            options |= {name: str(path) for name, path in files.items() if path}
        if self.kafka_security_protocol.startswith("SASL_"):
            options |= {
                "sasl.mechanism": self.kafka_sasl_mechanism,
                "sasl.username": self.kafka_sasl_username,
                "sasl.password": self.kafka_sasl_password.get_secret_value(),
            }
        return options

    def api_keys(self, variable: str) -> tuple[SecretStr, ...]:
        """The keys of a variable such as ``API_KEY_FINNHUB``: several are separated by commas."""
        value: SecretStr = getattr(self, variable.lower(), SecretStr(""))
        return tuple(SecretStr(key.strip()) for key in value.get_secret_value().split(",") if key.strip())


def _fields(values: Mapping[str, str]) -> dict[str, Any]:
    """The fields of :class:`Settings` that variables give, files of secrets read and names of choices in one case."""
    fields: dict[str, Any] = {
        name.lower(): value
        for name, value in values.items()
        if (value or name in NEVER_EMPTY)
        and name.lower() in Settings.model_fields
        and not is_injected_port(name, value)
    }
    for name in SECRET_NAMES:
        if path := values.get(f"{name}_FILE"):
            fields[name.lower()] = read_secret(f"{name}_FILE", path)
    fields["provider_base_urls"] = _by_name(PROVIDER_URL, values)
    fields["provider_quotas"] = _by_name(_PROVIDER_QUOTA, values)
    if market := fields.get("fintrack_sandbox_url"):
        fields |= local_market_fields(market.rstrip("/"), fields)
    fields["routes"] = _by_name(_ROUTE, values)
    for name in ("log_level", "kafka_security_protocol", "kafka_sasl_mechanism"):
        if name in fields:
            fields[name] = str(fields[name]).upper()
    for name in ("log_format", "environment"):
        if name in fields:
            fields[name] = str(fields[name]).lower()
    return fields


def _by_name(pattern: re.Pattern[str], values: Mapping[str, str]) -> dict[str, str]:
    return {match[1].lower(): value for name, value in values.items() if value and (match := pattern.fullmatch(name))}
