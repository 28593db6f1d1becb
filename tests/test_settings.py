"""Settings: where they come from, which is stronger, and that no secret shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.settings import SECRET_NAMES, Settings, environment, load_settings, redact_url

SECRET = "s3cr3t/with@odd:signs"


def test_nothing_set_gives_the_documented_defaults() -> None:
    settings = Settings.from_mapping({})
    assert (settings.db_host, settings.db_port, settings.environment) == ("localhost", 5432, "development")
    assert (settings.kafka_topic_market_data, settings.kafka_topic_notifications) == ("market-data", "notifications")


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_is_read_from_the_file_that_its_file_variable_names(name: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n", encoding="utf-8")
    settings = Settings.from_mapping({f"{name}_FILE": str(path)})
    assert getattr(settings, name.lower()).get_secret_value() == SECRET


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secrets_file_that_cannot_be_read_is_named_with_its_variable(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name}_FILE.*absent"):
        Settings.from_mapping({f"{name}_FILE": str(tmp_path / "absent")})
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=f"{name}_FILE.*not text"):
        Settings.from_mapping({f"{name}_FILE": str(tmp_path / "binary")})


def test_no_secret_shows_in_text() -> None:
    settings = Settings.from_mapping(dict.fromkeys(SECRET_NAMES, SECRET))
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
        Settings.from_mapping({**dict.fromkeys(SECRET_NAMES, SECRET), name: value})
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


def test_every_setting_is_in_the_example_environment() -> None:
    example = Path(__file__).parents[1] / ".env.example"
    if not example.exists():
        pytest.skip(".env.example is not there")
    listed = set(re.findall(r"^#?\s*([A-Z][A-Z0-9_]*)=", example.read_text(encoding="utf-8"), re.MULTILINE))
    own = {name.upper() for name in Settings.model_fields if not name.startswith("provider_")} - {"ROUTES"}
    assert own - listed == set()
