"""Secrets out of lines and values: those that are known, and those that their place betrays."""

from __future__ import annotations

import html
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import structlog
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fintrack_tasks.observability import masking
from fintrack_tasks.observability.logging import configure_logging
from fintrack_tasks.observability.masking import Masker, secrets_of
from fintrack_tasks.settings import Settings

KEY = "Zk7Qw9TestKey4711"


def test_a_known_secret_is_found_anywhere_in_a_line() -> None:
    text = Masker([KEY]).text(f"We have detected your API key as {KEY} and {KEY}x, at https://venue/{KEY}")
    assert text == "We have detected your API key as [masked] and [masked]x, at https://venue/[masked]"


def test_of_two_secrets_of_which_one_holds_the_other_nothing_is_left_standing() -> None:
    assert Masker(["abcd", "abcdefgh"]).text("abcdefgh abcd") == "[masked] [masked]"


def test_a_secret_is_plain_text_and_no_pattern() -> None:
    masker = Masker(["a.c*(d", "x|y|"])
    assert masker.text("abccd a.c*(d x|y| x") == "abccd [masked] [masked] x"


def test_a_very_short_secret_is_masked_where_it_stands_alone_and_not_inside_of_words() -> None:
    masker = Masker(["12", "abc", ""])
    assert masker.text("cab of 12 abcs, 1200, abc") == "cab of [masked] abcs, 1200, [masked]"
    assert masker.text("redis://host:abc@x 'abc' abc%40") == "redis://[masked]@x '[masked]' [masked]%40"


def test_a_key_that_came_while_the_process_runs_is_masked_by_maskers_that_were_made_before() -> None:
    masker = Masker()
    assert KEY in masker.text(KEY)
    masking.add_secrets([KEY])
    assert masker.text(KEY) == "[masked]"


def test_every_secret_of_the_settings_is_known_each_key_of_a_list_and_a_urls_password_by_themselves() -> None:
    settings = Settings.from_mapping(
        {
            "DB_PASSWORD": "postgres-word",
            "REDIS_URL": "redis://worker:valkey-word@127.0.0.1:6379/0",
            "API_KEY_FINNHUB": "first-key-1, second-key-2",
            "FLOWER_BASIC_AUTH": "person:flower-word",
        }
    )
    masker = Masker(secrets_of(settings))
    for secret in ("postgres-word", "valkey-word", "first-key-1", "second-key-2", "flower-word"):
        assert masker.text(f"<{secret}>") == "<[masked]>"


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("GET /query?function=X&apikey=ABC123&x=1", "GET /query?function=X&apikey=[masked]&x=1"),
        ("GET /quote?token=ABC123", "GET /quote?token=[masked]"),
        ("{'password': 'ABC123', 'x': 1}", "{'password': '[masked]', 'x': 1}"),
        ('{"api_key": "ABC123"}', '{"api_key": "[masked]"}'),
        ("X-Finnhub-Token: ABC123", "X-Finnhub-Token: [masked]"),
        ("redis://:ABC123@127.0.0.1:6379/0", "redis://[masked]@127.0.0.1:6379/0"),
        ("postgresql://admin:ABC123@db/x", "postgresql://[masked]@db/x"),
        ("sent Bearer ABC123abc.def-ghi", "sent Bearer [masked]"),
    ],
)
def test_a_secret_that_nobody_knows_is_betrayed_by_its_place(line: str, masked: str) -> None:
    assert Masker().text(line) == masked


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer ABC123abc.def-ghi",
        "{'Authorization': 'Basic QUJDMTIzOmFiYw=='}",
        "Authorization: apikey ABC123abc",
    ],
)
def test_an_authorization_is_masked_to_its_end(line: str) -> None:
    text = Masker().text(line)
    assert "ABC123" not in text
    assert "QUJDMTIz" not in text


@pytest.mark.parametrize("name", ["DB_PASSWORD", "client_secret", "access_token", "api-key"])
def test_a_longer_name_betrays_its_secret_too(name: str) -> None:
    assert "ABC123" not in Masker().text(f"{name}=ABC123")


@pytest.mark.parametrize("form", ["p%40ss%2Fw%2Brd%3D", "p@ss\\/w+rd="])
def test_a_known_secret_is_found_as_a_url_or_a_json_text_has_it(form: str) -> None:
    assert form not in Masker(["p@ss/w+rd="]).text(f"https://venue/x?k={form}")


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent-encoded": lambda text: quote(text, safe=""),
    "percent-encoded but for slashes": quote,
    "percent-encoded, digits in lower case": lambda text: re.sub("%..", lambda m: m[0].lower(), quote(text, safe="")),
    "percent-encoded twice": lambda text: quote(quote(text, safe=""), safe=""),
    "as a form": quote_plus,
    "every byte percent-encoded": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "repr": lambda text: repr(text)[1:-1],
    "repr of bytes": lambda text: repr(text.encode())[2:-1],
    "ascii": lambda text: ascii(text)[1:-1],
    "repr of repr": lambda text: repr(repr(text)[1:-1])[1:-1],
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON without escapes": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "JSON with slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "HTML": html.escape,
}

secrets = st.text(st.characters(codec="utf-8", exclude_characters="[]"), min_size=4, max_size=24).filter(
    lambda text: text == text.strip() and len(set(text)) > 2
)


@pytest.mark.parametrize("spelling", SPELLINGS)
@hypothesis_settings(max_examples=40)
@given(secret=secrets)
@example(secret="p@ss/w+rd=")
@example(secret="with space")
@example(secret="quotes'\"and\\\n\tx")
@example(secret="per%40cent%25")
@example(secret="emoji😀é")
def test_a_secret_is_found_in_every_spelling(spelling: str, secret: str) -> None:
    spelled = SPELLINGS[spelling](secret)
    assert Masker([secret]).text(f"<{spelled}>") == "<[masked]>"


@given(secret=secrets.filter(lambda text: "%" not in text and "+" not in text))
def test_a_secret_that_is_known_percent_encoded_is_found_as_what_it_means(secret: str) -> None:
    assert Masker([quote(secret, safe="")]).text(f"<{secret}>") == "<[masked]>"


def test_the_parts_of_compound_secrets_are_secrets_by_themselves() -> None:
    settings = Settings.from_mapping(
        {
            "REDIS_URL": "redis://worker:p%40ss%2Fword@127.0.0.1:6379/0",
            "API_KEY_COINBASE": "account-1:signing-1:phrase-1,account-2:signing-2:phrase-2",
            "KAFKA_SASL_PASSWORD": "kafka-word",
        }
    )
    masker = Masker(secrets_of(settings))
    parts = ("account-1", "signing-1", "phrase-1", "account-2", "signing-2", "phrase-2", "kafka-word", "p@ss/word")
    for secret in parts:
        assert masker.text(f"<{secret}>") == "<[masked]>"


def test_an_address_without_a_secret_stays_readable() -> None:
    settings = Settings.from_mapping({"REDIS_URL": "redis://redis:6379/0"})
    assert Masker(secrets_of(settings)).text("answers at redis://redis:6379/0") == "answers at redis://redis:6379/0"


def test_a_password_in_a_query_is_masked_by_its_place() -> None:
    assert "pw-1" not in Masker().text("redis://host/0?password=pw-1&db=1")


@pytest.mark.parametrize("text", ["monkey=banana", "5 tokens", "user@host", "https://user@host/x", "AAPL loaded"])
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert Masker([KEY]).text(text) == text


def test_values_are_masked_by_their_names_and_however_deep_they_lie() -> None:
    masker = Masker([KEY])
    value = {
        "api_key": "ABC123",
        "symbol": "AAPL",
        "request": {"headers": [("X", KEY)], "Authorization": "ABC123", KEY: {KEY}},
        "cookie": "",
        "auth": None,
    }
    assert masker.value(value) == {
        "api_key": "[masked]",
        "symbol": "AAPL",
        "request": {"headers": [["X", "[masked]"]], "Authorization": "[masked]", "[masked]": ["[masked]"]},
        "cookie": "",
        "auth": None,
    }


def test_an_object_is_masked_by_its_text() -> None:
    assert Masker([KEY]).value(ValueError(f"refused {KEY}")) == "refused [masked]"


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_no_value_is_too_strange_to_be_masked_and_no_secret_survives(value: Any) -> None:
    assert KEY not in repr(Masker([KEY]).value([value, {"said": [KEY, value]}]))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    kept, level = list(root.handlers), root.level
    root.handlers.clear()
    file = tmp_path / "logs" / "it.log"
    variables = {"LOG_FILE": str(file), "LOG_LEVEL": "DEBUG", "LOG_FORMAT": "json", "API_KEY_FINNHUB": KEY}
    configure_logging(Settings.from_mapping(variables))
    yield file
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = kept
    root.setLevel(level)
    structlog.reset_defaults()


def test_no_way_into_the_log_is_open_to_a_key(log: Path) -> None:
    """Our own events, their names, a library's line with its arguments, and the text of a traceback."""
    structlog.get_logger("ours").warning(f"asked_{KEY}", said=f"key {KEY}", inner={"deep": [KEY]})
    logging.getLogger("a.library").error("GET %s", f"/query?x={KEY}")
    try:
        int(KEY)
    except ValueError:
        logging.getLogger("a.library").exception("it broke")
    text = log.read_text()
    assert KEY not in text
    assert text.count("[masked]") >= 5
    assert "Traceback" in text
