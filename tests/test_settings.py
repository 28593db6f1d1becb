"""Settings: where they come from, which is stronger, and that no secret shows."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils.url import url_to_parts
from redis.connection import parse_url
from sqlalchemy.engine import make_url

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.settings import PLAYED, SECRET_NAMES, Settings, environment, load_settings, redact_url

SECRET = "s3cr3t/with@odd:signs"
SECRET_IN_A_URL = "redis://:s3cr3t%2Fwith%40odd%3Asigns@redis:6379/0"


def secret_of(name: str) -> str:
    """A value that the secret setting of that name takes, and that holds the secret."""
    return SECRET_IN_A_URL if name == "REDIS_URL" else SECRET


SECRETS = {name: secret_of(name) for name in SECRET_NAMES}


def test_nothing_set_gives_the_documented_defaults() -> None:
    settings = Settings.from_mapping({})
    assert (settings.db_host, settings.db_port, settings.environment) == ("localhost", 5432, "development")
    assert (settings.kafka_topic_market_data, settings.kafka_topic_notifications) == ("market-data", "notifications")


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_is_read_from_the_file_that_its_file_variable_names(name: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{secret_of(name)}\n", encoding="utf-8")
    settings = Settings.from_mapping({f"{name}_FILE": str(path)})
    assert getattr(settings, name.lower()).get_secret_value() == secret_of(name)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secrets_file_that_cannot_be_read_is_named_with_its_variable(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name}_FILE.*absent"):
        Settings.from_mapping({f"{name}_FILE": str(tmp_path / "absent")})
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=f"{name}_FILE.*not text"):
        Settings.from_mapping({f"{name}_FILE": str(tmp_path / "binary")})


def test_no_secret_shows_in_text() -> None:
    settings = Settings.from_mapping(SECRETS)
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.api_keys("API_KEY_FINNHUB"))):
        assert SECRET not in text


def test_every_setting_that_holds_a_secret_is_among_the_secret_names() -> None:
    masked = {name.upper() for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert masked == set(SECRET_NAMES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PORT", "65536"),
        ("DB_PORT", "x"),
        ("DB_SSLMODE", "maybe"),
        ("ENVIRONMENT", "moon"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("METRICS_ENABLED", "perhaps"),
        ("API_RATE_LIMIT", "-1"),
        ("FINTRACK_ITEM_DEADLINE_SECONDS", "0"),
    ],
)
def test_a_wrong_value_is_an_error_of_one_line_that_names_its_variable_and_no_secret(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: ") as caught:
        Settings.from_mapping({**SECRETS, name: value})
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    # Neither may a traceback show it: pydantic's own error quotes its input.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_levels_and_formats_are_read_in_any_case() -> None:
    settings = Settings.from_mapping({"LOG_LEVEL": "debug", "LOG_FORMAT": "JSON", "ENVIRONMENT": "Production"})
    assert (settings.log_level, settings.log_format, settings.environment) == ("DEBUG", "json", "production")


def test_several_keys_are_separated_by_commas() -> None:
    settings = Settings.from_mapping({"API_KEY_FINNHUB": " one, two ,,three"})
    assert [key.get_secret_value() for key in settings.api_keys("API_KEY_FINNHUB")] == ["one", "two", "three"]
    assert settings.api_keys("API_KEY_ALPHA_VANTAGE") == ()
    assert settings.api_keys("API_KEY_NOBODY") == ()


def test_base_urls_and_quotas_are_read_per_provider() -> None:
    settings = Settings.from_mapping(
        {"YAHOO_FINANCE_BASE_URL": "http://127.0.0.1:1", "COINBASE_QUOTA": "20/s,600/m", "FINNHUB_BASE_URL": ""}
    )
    assert settings.provider_base_urls == {"yahoo_finance": "http://127.0.0.1:1"}
    assert settings.provider_quotas == {"coinbase": "20/s,600/m"}


def test_the_process_is_stronger_than_dotenv_and_that_than_the_running_stack(tmp_path: Path) -> None:
    (tmp_path / ".fintrack").mkdir()
    (tmp_path / ".fintrack" / "stack.env").write_text("DB_HOST=stack\nDB_PORT=1\nDB_NAME=stack\n", encoding="utf-8")
    (tmp_path / ".env").write_text("DB_HOST=dotenv\nDB_PORT=2\n", encoding="utf-8")
    assert environment({"DB_HOST": "process"}, tmp_path) == {"DB_HOST": "process", "DB_PORT": "2", "DB_NAME": "stack"}


def test_the_home_of_the_stack_may_lie_elsewhere(tmp_path: Path) -> None:
    home = tmp_path / "elsewhere"
    home.mkdir()
    (home / "stack.env").write_text("DB_PORT=7\n", encoding="utf-8")
    assert load_settings({"FINTRACK_HOME": str(home)}, tmp_path).db_port == 7


def test_the_sqlalchemy_url_gives_the_parts_back_whatever_signs_the_password_has() -> None:
    settings = Settings.from_mapping({"DB_PASSWORD": SECRET, "DB_USER": "us@er", "DB_HOST": "db", "DB_PORT": "5433"})
    url = make_url(settings.sqlalchemy_url)
    assert (url.password, url.username, url.host, url.port) == (SECRET, "us@er", "db", 5433)
    assert settings.conninfo["password"] == SECRET
    assert Settings.from_mapping({}).conninfo["password"] is None


def test_a_redacted_url_has_no_user_password_query_or_fragment() -> None:
    assert redact_url("redis://user:pass@127.0.0.1:6379/0?key=x#y") == "redis://127.0.0.1:6379/0"
    assert redact_url("https://host/path?token=abc") == "https://host/path"


WORD = "pass-4711-word"
"""A password in broken addresses: no error may show any part of it."""


@pytest.mark.parametrize("name", ["DB_HOST", "DB_NAME"])
@pytest.mark.parametrize("value", [f"postgres://u:{WORD}@h/x", f"u:{WORD}@h", f"http://{WORD}"])
def test_an_url_in_place_of_a_name_of_the_database_is_refused_and_nothing_of_it_shown(name: str, value: str) -> None:
    """It would be shown as where PostgreSQL does not answer, its password with it."""
    with pytest.raises(ConfigurationError, match=f"^{name}: a name alone") as caught:
        Settings.from_mapping({name: value})
    assert WORD not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{WORD}/x@redis:6379/0",
        f"redis://:{WORD}?x@redis:6379/0",
        f"redis://:{WORD}#x@redis:6379/0",
        f"redis://:x@{WORD}@redis:6379/0",
        f"redis://us:er:{WORD}@redis:6379/0/x",
        f"redis:/:{WORD}@redis:6379/0",
        f"redis:{WORD}@redis",
        f":{WORD}@redis:6379",
        WORD,
        "",
        f"http://:{WORD}@redis:6379/0",
        f"redis://redis:6379/0?password={WORD}",
        f"redis://:{WORD}@redis:{WORD}/0",
        f"redis://:{WORD}@redis:99999/0",
        f"redis://:{WORD}@redis:6379/zero",
        f"redis://:{WORD} x@redis:6379/0",
        f"redis://:{WORD}@[::1:6379/0",
    ],
)
def test_an_address_of_redis_that_its_clients_would_read_differently_is_refused_and_nothing_of_it_shown(
    url: str,
) -> None:
    with pytest.raises(ConfigurationError, match=r"^REDIS_URL: ") as caught:
        Settings.from_mapping({"REDIS_URL": url})
    assert not {url, WORD, "4711"} & {part for part in (url, WORD, "4711") if part and part in str(caught.value)}
    assert caught.value.__cause__ is None
    assert redact_url(url).find(WORD) == -1


@given(
    user=st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
    password=st.text(st.characters(codec="utf-8"), min_size=1, max_size=24),
    port=st.integers(1, 65535),
    number=st.integers(0, 15),
)
def test_a_password_of_any_signs_reaches_every_client_of_redis_as_it_is(
    user: str | None, password: str, port: int, number: int
) -> None:
    written = f"rediss://{quote(user or '', safe='')}:{quote(password, safe='')}@redis.example:{port}/{number}"
    settings = Settings.from_mapping({"REDIS_URL": written})
    url = settings.redis_url.get_secret_value()
    of_redis = parse_url(url)
    assert (of_redis.get("username"), of_redis["password"]) == (user, password)
    assert (of_redis["host"], of_redis["port"], of_redis["db"]) == ("redis.example", port, number)
    of_kombu = url_to_parts(url)
    assert (of_kombu.username, of_kombu.password, of_kombu.hostname) == (user, password, "redis.example")
    assert (of_kombu.port, of_kombu.path) == (port, str(number))
    assert password not in repr(settings) or password in repr(Settings())  # such as "000", which numbers have too


@pytest.mark.parametrize(
    ("given_url", "kept"),
    [
        ("redis://localhost", "redis://localhost:6379/0"),
        ("redis://:word@10.0.0.1:7000", "redis://:word@10.0.0.1:7000/0"),
        ("rediss://worker:w%2Frd@[::1]:6380/3", "rediss://worker:w%2Frd@[::1]:6380/3"),
    ],
)
def test_an_address_of_redis_is_kept_in_one_form(given_url: str, kept: str) -> None:
    assert Settings.from_mapping({"REDIS_URL": given_url}).redis_url.get_secret_value() == kept


def test_tls_is_asked_of_redis_with_rediss_alone_and_always_verifies(tmp_path: Path) -> None:
    assert Settings.from_mapping({"REDIS_URL": "redis://redis"}).redis_tls is None
    (tmp_path / "ca.pem").touch()
    told = Settings.from_mapping({"REDIS_URL": "rediss://redis", "REDIS_CA_FILE": str(tmp_path / "ca.pem")}).redis_tls
    assert told == {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": str(tmp_path / "ca.pem"),
    }


@pytest.mark.parametrize(
    "name",
    [
        "DB_SSLROOTCERT",
        "DB_SSLCERT",
        "DB_SSLKEY",
        "REDIS_CA_FILE",
        "REDIS_CERT_FILE",
        "REDIS_KEY_FILE",
        "KAFKA_CA_FILE",
        "KAFKA_CERT_FILE",
        "KAFKA_KEY_FILE",
    ],
)
def test_a_certificate_that_is_not_there_is_named_with_its_variable(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: there is no file /nowhere.pem"):
        Settings.from_mapping({name: "/nowhere.pem"})


@pytest.mark.parametrize("prefix", ["DB_SSL", "REDIS_", "KAFKA_"])
def test_a_certificate_without_its_key_is_refused(prefix: str, tmp_path: Path) -> None:
    (tmp_path / "own.pem").touch()
    name = f"{prefix}CERT" if prefix == "DB_SSL" else f"{prefix}CERT_FILE"
    with pytest.raises(ConfigurationError, match=rf"^{name} and .* belong together"):
        Settings.from_mapping({name: str(tmp_path / "own.pem")})


def test_the_authorities_of_this_machine_are_named_system_for_postgresql() -> None:
    settings = Settings.from_mapping({"DB_SSLMODE": "verify-full", "DB_SSLROOTCERT": "system"})
    assert settings.conninfo["sslrootcert"] == "system"
    assert "sslmode=verify-full&sslrootcert=system" in settings.sqlalchemy_url


def test_a_login_at_kafka_needs_a_name_and_a_password() -> None:
    with pytest.raises(ConfigurationError, match="needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"):
        Settings.from_mapping({"KAFKA_SECURITY_PROTOCOL": "sasl_ssl", "KAFKA_SASL_USERNAME": "fintrack"})


def test_a_password_does_not_go_to_kafka_in_clear_but_on_this_machine() -> None:
    variables = {
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_MECHANISM": "plain",
        "KAFKA_SASL_USERNAME": "fintrack",
        "KAFKA_SASL_PASSWORD": WORD,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092,kafka:9092",
    }
    with pytest.raises(ConfigurationError, match="in clear") as caught:
        Settings.from_mapping(variables)
    assert WORD not in str(caught.value)
    at_home = Settings.from_mapping({**variables, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092"})
    assert at_home.kafka_security["sasl.password"] == WORD


@pytest.mark.parametrize(
    "brokers", ["", "kafka", "kafka:9092/x", "tcp://10.0.0.1:9092", "user:pw@kafka:9092", "a:1,,b"]
)
def test_brokers_are_hosts_with_ports(brokers: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^KAFKA_BOOTSTRAP_SERVERS: not of the form host:port"):
        Settings.from_mapping({"KAFKA_BOOTSTRAP_SERVERS": brokers})


@pytest.mark.parametrize("name", ["DB_PORT", "FLOWER_PORT"])
@pytest.mark.parametrize("value", ["tcp://10.0.0.1:5555", "udp://10.0.0.1:53"])
def test_a_port_that_kubernetes_injects_for_a_service_of_that_name_is_no_setting(name: str, value: str) -> None:
    assert Settings.from_mapping({name: value}) == Settings.from_mapping({})


def test_every_setting_is_in_the_example_environment() -> None:
    example = Path(__file__).parents[1] / ".env.example"
    if not example.exists():
        pytest.skip(".env.example is not there")
    listed = set(re.findall(r"^#?\s*([A-Z][A-Z0-9_]*)=", example.read_text(encoding="utf-8"), re.MULTILINE))
    own = {name.upper() for name in Settings.model_fields if not name.startswith("provider_")} - {"ROUTES"}
    assert own - listed == set()


def test_a_keyed_providers_address_needs_https_off_this_machine() -> None:
    for own in ({"API_KEY_FINNHUB": "word-of-finnhub"}, {"API_KEY_FINNHUB": "a,b"}):
        with pytest.raises(ConfigurationError) as caught:
            Settings.from_mapping({"FINNHUB_BASE_URL": "http://anything", **own})
        assert str(caught.value) == (
            "FINNHUB_BASE_URL would send a key in clear to anything: it needs https;"
            " mend it in the environment or in .env"
        )
        for right in ("https://anything", "http://127.0.0.1:8080/finnhub", "http://[::1]:8080"):
            Settings.from_mapping({"FINNHUB_BASE_URL": right, **own})
    Settings.from_mapping({"FINNHUB_BASE_URL": "http://market:8080"})  # no key, so none is given away


def test_no_provider_has_a_link_local_or_metadata_address() -> None:
    for name in ("YAHOO_FINANCE", "WIKIPEDIA", "COINBASE"):
        with pytest.raises(ConfigurationError, match=rf"{name}_BASE_URL names .* link-local or metadata address"):
            Settings.from_mapping({f"{name}_BASE_URL": "http://169.254.169.254/latest"})


# --- The local market --------------------------------------------------------------------------------------------

MARKET = "http://127.0.0.1:41234"


def test_under_the_local_market_every_provider_is_asked_there_with_its_quota_and_its_history() -> None:
    settings = Settings.from_mapping({"FINTRACK_SANDBOX_URL": MARKET})
    assert settings.simulated
    assert set(settings.provider_base_urls) == set(PLAYED)
    assert all(url == f"{MARKET}/{name}" for name, url in settings.provider_base_urls.items())
    assert settings.provider_quotas["yahoo_finance"] == "200/s"
    assert (settings.fintrack_history_start, settings.fintrack_history_end) == ("2010-01-01", "2019-01-01")


def test_without_the_local_market_nothing_of_it_is_left() -> None:
    for absent in ({}, {"FINTRACK_SANDBOX_URL": ""}):
        settings = Settings.from_mapping(absent)
        assert not settings.simulated
        assert settings.provider_base_urls == settings.provider_quotas == {}
        assert (settings.fintrack_history_start, settings.fintrack_history_end) == ("2020-01-01", "")


@pytest.mark.parametrize("url", ["https://query1.finance.yahoo.com", "http://10.0.0.1:80", "https://127.0.0.1:1"])
def test_under_the_local_market_no_provider_is_left_at_an_address_off_this_machine(url: str) -> None:
    given = {"FINTRACK_SANDBOX_URL": MARKET, "YAHOO_FINANCE_BASE_URL": url, "WIKIPEDIA_BASE_URL": url}
    settings = Settings.from_mapping(given)
    assert settings.provider_base_urls["yahoo_finance"] == f"{MARKET}/yahoo_finance"
    assert settings.provider_base_urls["wikipedia"] == f"{MARKET}/wikipedia"


def test_an_operators_own_quota_history_and_loopback_address_hold_under_the_local_market() -> None:
    own = {"YAHOO_FINANCE_QUOTA": "5/s", "FINTRACK_HISTORY_END": "2012-01-01", "ECB_BASE_URL": "http://127.0.0.1:9/x"}
    settings = Settings.from_mapping({"FINTRACK_SANDBOX_URL": MARKET, **own})
    assert settings.provider_quotas["yahoo_finance"] == "5/s"
    assert settings.fintrack_history_end == "2012-01-01"
    assert settings.provider_base_urls["ecb"] == "http://127.0.0.1:9/x"


def test_an_address_of_this_machine_that_is_not_the_markets_keeps_the_providers_own_quota() -> None:
    """It may be a proxy that leads to the real one."""
    given = {"FINTRACK_SANDBOX_URL": MARKET, "COINBASE_BASE_URL": "http://127.0.0.1:3128"}
    settings = Settings.from_mapping(given)
    assert "coinbase" not in settings.provider_quotas
    assert settings.provider_quotas["yahoo_finance"] == "200/s"


def test_quotas_and_history_that_an_earlier_version_left_in_stack_env_do_not_count(tmp_path: Path) -> None:
    """It left them there beside the real providers' addresses: a client would have asked Yahoo 200 times a second."""
    left = "YAHOO_FINANCE_QUOTA='200/s'\nFINTRACK_HISTORY_END='2019-01-01'\nFINTRACK_HISTORY_START='2010-01-01'\n"
    (tmp_path / "stack.env").write_text(left + "KAFKA_BATCH_MESSAGES='1'\n")
    settings = load_settings({"FINTRACK_HOME": str(tmp_path)}, tmp_path)
    assert settings.provider_quotas == {}
    assert (settings.fintrack_history_start, settings.fintrack_history_end) == ("2020-01-01", "")
    assert settings.kafka_batch_messages == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://query1.finance.yahoo.com", "http://10.0.0.7:8000", "http://127.0.0.1.example.org", "127.0.0.1:8000",
        "http://127.0.0.1@example.org", "http://example.org@127.0.0.1", "http://127.0.0.1:99999", "http://127.0.0.1/x",
    ],
)  # fmt: skip
def test_the_local_market_is_nowhere_but_on_this_machine(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^FINTRACK_SANDBOX_URL: the local market answers on this machine"):
        Settings.from_mapping({"FINTRACK_SANDBOX_URL": url})


# --- A .env for containers beside a local stack ------------------------------------------------------------------

STACK = "DB_HOST='127.0.0.1'\nDB_PORT='5433'\nDB_NAME='financial_tracker_live'\nDB_USER='admin'\nDB_PASSWORD='local'\n"


def beside_a_stack(folder: Path, dotenv: str) -> dict[str, str]:
    (folder / ".fintrack").mkdir()
    (folder / ".fintrack" / "stack.env").write_text(STACK, encoding="utf-8")
    (folder / ".env").write_text(dotenv, encoding="utf-8")
    return environment({}, folder)


def test_a_password_for_containers_does_not_hide_that_of_the_running_stack(tmp_path: Path) -> None:
    found = beside_a_stack(
        tmp_path,
        "DB_PASSWORD=containers\nDB_NAME=financial_tracker\nDB_PASSWORD_FILE=/run/secrets/db\nLOG_LEVEL=DEBUG\n",
    )
    assert (found["DB_PASSWORD"], found["DB_NAME"]) == ("local", "financial_tracker_live")
    assert "DB_PASSWORD_FILE" not in found
    assert found["LOG_LEVEL"] == "DEBUG"


def test_nothing_that_dotenv_says_of_servers_for_containers_reaches_the_running_stacks(tmp_path: Path) -> None:
    found = beside_a_stack(
        tmp_path,
        "KAFKA_SECURITY_PROTOCOL=SASL_SSL\nKAFKA_SASL_USERNAME=them\nKAFKA_CA_FILE=/run/secrets/ca.pem\nDB_SSLMODE=require\n"
        "DB_OWNER_USER=admin\nDB_OWNER_PASSWORD=theirs\nREDIS_CA_FILE=/run/secrets/ca.pem\nREDIS_PASSWORD=theirs\n"
        "DB_POOL_SIZE=7\nKAFKA_TOPIC_MARKET_DATA=prices\n",
    )
    own = {name: value for name, value in found.items() if f"{name}={value!r}\n" not in STACK}
    assert own == {"DB_POOL_SIZE": "7", "KAFKA_TOPIC_MARKET_DATA": "prices"}


def test_a_process_of_a_local_stack_goes_nowhere_else_whatever_dotenv_says(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DB_HOST=postgres\nDB_PASSWORD=theirs\nKAFKA_SECURITY_PROTOCOL=SASL_SSL\n")
    process = {"FINTRACK_STACK": str(tmp_path), "DB_HOST": "127.0.0.1", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    assert environment(process, tmp_path) == process


def test_an_address_in_dotenv_takes_its_login_with_it(tmp_path: Path) -> None:
    found = beside_a_stack(tmp_path, "DB_HOST=db.example.org\nDB_PASSWORD=theirs\n")
    assert (found["DB_HOST"], found["DB_PASSWORD"]) == ("db.example.org", "theirs")


def test_an_empty_line_of_dotenv_chooses_nothing(tmp_path: Path) -> None:
    """So a copy of the example, filled in here and there, leaves the running stack and every default as they are."""
    (tmp_path / ".fintrack").mkdir()
    market = "FINTRACK_SANDBOX_URL='http://127.0.0.1:41234'\nFLOWER_BASIC_AUTH='user:made'\n"
    (tmp_path / ".fintrack" / "stack.env").write_text(STACK + market, encoding="utf-8")
    lines = "".join(f"{name.upper()}=\n" for name in Settings.model_fields)
    (tmp_path / ".env").write_text(lines, encoding="utf-8")
    found = load_settings({}, tmp_path)
    assert (found.db_host, found.db_port, found.db_password.get_secret_value()) == ("127.0.0.1", 5433, "local")
    assert found.simulated
    assert found.flower_basic_auth.get_secret_value() == "user:made"
    assert (found.log_level, found.flower_address, found.flower_port) == ("INFO", "127.0.0.1", 5555)
    assert found.fintrack_home == Path(".fintrack")


def test_an_empty_login_beside_an_address_in_dotenv_is_that_servers_and_not_the_stacks(tmp_path: Path) -> None:
    found = beside_a_stack(
        tmp_path, "DB_HOST=db.example.org\nDB_PORT=\nDB_USER=\nDB_PASSWORD=\nREDIS_URL=\nLOG_LEVEL=\n"
    )
    settings = Settings.from_mapping(found)
    assert (settings.db_host, settings.db_port, settings.db_user) == ("db.example.org", 5432, "admin")
    assert settings.db_password.get_secret_value() == ""
    assert "LOG_FILE" not in found


NEVER_EMPTY = ("REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS")


@pytest.mark.parametrize("name", sorted({name.upper() for name in Settings.model_fields} - set(NEVER_EMPTY)))
def test_an_empty_variable_counts_as_none(name: str) -> None:
    assert Settings.from_mapping({name: ""}) == Settings()


def test_without_a_running_stack_the_login_of_dotenv_holds(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DB_PASSWORD=theirs\n", encoding="utf-8")
    assert environment({}, tmp_path)["DB_PASSWORD"] == "theirs"


def test_a_secret_of_the_process_is_stronger_than_a_file_that_dotenv_names(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_URL_FILE=/run/secrets/redis\nDB_PASSWORD=weaker\n", encoding="utf-8")
    (tmp_path / "password").write_text("stronger", encoding="utf-8")
    process = {"REDIS_URL": "redis://127.0.0.1:1/2", "DB_PASSWORD_FILE": str(tmp_path / "password")}
    settings = load_settings(process, tmp_path)
    assert settings.redis_url.get_secret_value() == "redis://127.0.0.1:1/2"
    assert settings.db_password.get_secret_value() == "stronger"


@pytest.mark.parametrize("name", [".env", "API_KEY_FINNHUB_FILE"])
def test_what_is_no_file_of_settings_is_not_read_to_its_end(tmp_path: Path, name: str) -> None:
    long = tmp_path / (".env" if name == ".env" else "key")
    with long.open("wb") as file:
        file.truncate(10**12)  # sparse: it takes no room, and no memory could hold it
    with pytest.raises(ConfigurationError, match=f"^{name}: {long} is longer than 1,000,000 bytes"):
        load_settings({} if name == ".env" else {name: str(long)}, tmp_path)


def test_an_env_file_that_is_no_text_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"DB_HOST=\xff\xfe\n")
    with pytest.raises(ConfigurationError, match=r"^cannot read .*\.env: not text$"):
        load_settings({}, tmp_path)
