"""Checks of settings that belong together: files and logins of TLS and SASL, and the addresses of providers.

What one setting says by itself is checked by its type, in :mod:`fintrack_tasks.settings.addresses`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from fintrack_tasks import hosts
from fintrack_tasks.errors import ConfigurationError

if TYPE_CHECKING:
    from fintrack_tasks.settings.model import Settings

__all__ = ["check_provider_urls", "check_transport"]

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
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


def check_provider_urls(settings: Settings) -> None:
    """:raises ConfigurationError: when a provider's address is malformed, or would send a key over plain HTTP."""
    for name, url in settings.provider_base_urls.items():
        keyed = bool(settings.api_keys(f"API_KEY_{name.upper()}"))
        if wrong := hosts.problem(url, keyed=keyed):
            raise ConfigurationError(f"{name.upper()}_BASE_URL {wrong}; mend it in the environment or in .env")


def check_transport(settings: Settings) -> None:
    """:raises ConfigurationError: when settings of TLS and SASL contradict each other, or a file does not exist."""
    for name in _TLS_FILES:
        path = getattr(settings, name)
        if path is not None and not path.is_file():
            raise ConfigurationError(f"{name.upper()}: there is no file {path}")
    if settings.db_sslrootcert not in ("", "system") and not Path(settings.db_sslrootcert).is_file():
        raise ConfigurationError(f"DB_SSLROOTCERT: there is no file {settings.db_sslrootcert}; or write system")
    for prefix in ("db_ssl", "redis_", "kafka_"):
        cert, key = (
            (f"{prefix}cert", f"{prefix}key") if prefix == "db_ssl" else (f"{prefix}cert_file", f"{prefix}key_file")
        )
        if (getattr(settings, cert) is None) != (getattr(settings, key) is None):
            raise ConfigurationError(f"{cert.upper()} and {key.upper()} belong together: set both, or neither")
    _check_sasl(settings)


def _check_sasl(settings: Settings) -> None:
    """:raises ConfigurationError: when a part of Kafka's login is missing or would be sent in clear."""
    if not settings.kafka_security_protocol.startswith("SASL_"):
        return
    if not settings.kafka_sasl_username or not settings.kafka_sasl_password.get_secret_value():
        raise ConfigurationError(
            f"KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol} needs KAFKA_SASL_USERNAME and"
            " KAFKA_SASL_PASSWORD (or KAFKA_SASL_PASSWORD_FILE)"
        )
    brokers = {broker.rpartition(":")[0] for broker in settings.kafka_bootstrap_servers.split(",")}
    if (
        settings.kafka_security_protocol == "SASL_PLAINTEXT"
        and settings.kafka_sasl_mechanism == "PLAIN"
        and not brokers <= set(_LOOPBACK)
    ):
        raise ConfigurationError(
            "KAFKA_SASL_MECHANISM=PLAIN would send the password in clear: set KAFKA_SECURITY_PROTOCOL=SASL_SSL, or"
            " a SCRAM mechanism"
        )
