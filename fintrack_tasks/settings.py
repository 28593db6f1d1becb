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
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

from dotenv import dotenv_values
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from fintrack_tasks.errors import ConfigurationError

__all__ = ["SECRET_NAMES", "Settings", "environment", "load_settings", "redact_url", "settings"]

SECRET_NAMES = (
    "DB_PASSWORD",
    "REDIS_URL",
    "API_KEY_ALPHA_VANTAGE",
    "API_KEY_FINNHUB",
    "API_KEY_TWELVE_DATA",
    "API_KEY_COINBASE",
    "FLOWER_BASIC_AUTH",
)
"""Every secret; each may also be given as ``NAME_FILE``."""

_PROVIDER_URL = re.compile(r"([A-Z][A-Z0-9_]*)_BASE_URL")
_PROVIDER_QUOTA = re.compile(r"([A-Z][A-Z0-9_]*)_QUOTA")
_ROUTE = re.compile(r"FINTRACK_ROUTE_([A-Z]+(?:_[A-Z]+)?)")


def redact_url(url: str) -> str:
    """The URL without user, password, query and fragment, fit for a log line."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _blank_to_none(value: object) -> object:
    return None if value == "" else value


OptionalPath = Annotated[Path | None, BeforeValidator(_blank_to_none)]


class Settings(BaseModel):
    """All settings, typed. Field names are the variables' names in lower case."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    environment: Literal["development", "test", "production"] = "development"

    db_host: str = "localhost"
    db_port: int = Field(5432, ge=1, le=65535)
    db_name: str = "financial_tracker"
    db_user: str = "admin"
    db_password: SecretStr = SecretStr("")
    db_sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    db_pool_size: int = Field(16, ge=1)

    redis_url: SecretStr = SecretStr("redis://localhost:6379/0")

    kafka_bootstrap_servers: str = "localhost:9092"
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

    fintrack_home: Path = Path(".fintrack")
    fintrack_history_start: str = "2020-01-01"
    fintrack_history_end: str = ""
    """ISO date at which the history of interest ends (exclusive); empty for today."""
    fintrack_item_deadline_seconds: float = Field(120.0, gt=0)
    """How long an item may stay unfinished before reconcile enqueues it again."""
    fintrack_http_timeout_seconds: float = Field(15.0, gt=0)

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

        :raises ConfigurationError: names the variable that is wrong; never shows a secret's value.
        """
        fields: dict[str, Any] = {
            name.lower(): value for name, value in values.items() if name.lower() in cls.model_fields
        }
        for name in SECRET_NAMES:
            if path := values.get(f"{name}_FILE"):
                fields[name.lower()] = _read_secret(f"{name}_FILE", path)
        fields["provider_base_urls"] = _by_provider(_PROVIDER_URL, values)
        fields["provider_quotas"] = _by_provider(_PROVIDER_QUOTA, values)
        fields["routes"] = _by_provider(_ROUTE, values)
        for name in ("log_level",):
            if name in fields:
                fields[name] = str(fields[name]).upper()
        for name in ("log_format", "environment"):
            if name in fields:
                fields[name] = str(fields[name]).lower()
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            variable = str(problem["loc"][0]).upper()
            raise ConfigurationError(f"{variable}: {problem['msg']}; mend it in the environment or in .env") from None

    @property
    def conninfo(self) -> dict[str, Any]:
        """Keyword arguments for :func:`psycopg.connect`. Holds the password: never log it."""
        return {
            "host": self.db_host,
            "port": self.db_port,
            "dbname": self.db_name,
            "user": self.db_user,
            "password": self.db_password.get_secret_value() or None,
            "sslmode": self.db_sslmode,
            "connect_timeout": 5,
            "application_name": "fintrack",
        }

    @property
    def sqlalchemy_url(self) -> str:
        """The database's URL for SQLAlchemy. Holds the password: never log it."""
        password = quote(self.db_password.get_secret_value(), safe="")
        user = quote(self.db_user, safe="") + (f":{password}" if password else "")
        host = quote(self.db_host, safe="") if self.db_host.startswith("/") else self.db_host
        return f"postgresql+psycopg://{user}@{host}:{self.db_port}/{self.db_name}?sslmode={self.db_sslmode}"

    def api_keys(self, variable: str) -> tuple[SecretStr, ...]:
        """The keys of a variable such as ``API_KEY_FINNHUB``: several are separated by commas."""
        value: SecretStr = getattr(self, variable.lower(), SecretStr(""))
        return tuple(SecretStr(key.strip()) for key in value.get_secret_value().split(",") if key.strip())


def _read_secret(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{variable}: cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}"
        ) from None


def _by_provider(pattern: re.Pattern[str], values: Mapping[str, str]) -> dict[str, str]:
    return {match[1].lower(): value for name, value in values.items() if value and (match := pattern.fullmatch(name))}


def _dotenv(path: Path) -> dict[str, str]:
    return {name: value for name, value in dotenv_values(path).items() if value is not None} if path.is_file() else {}


def environment(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> dict[str, str]:
    """All variables by name, from the weakest source to the strongest: ``stack.env``, ``.env``, the process."""
    process = os.environ if environ is None else environ
    folder = folder or Path.cwd()
    dotenv = _dotenv(folder / ".env")
    home = Path(process.get("FINTRACK_HOME") or dotenv.get("FINTRACK_HOME") or folder / ".fintrack")
    return {**_dotenv(home / "stack.env"), **dotenv, **process}


def load_settings(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """The settings of this process as they stand now. Cheap enough to call per command, not per task."""
    return Settings.from_mapping(environment(environ, folder))


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once. Tasks and ``celeryconfig`` use it; tests clear it."""
    return load_settings()
