"""Keys are given out in turn and shown to nobody."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from fintrack_tasks.errors import MissingKeyError
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import Facts, KeyUse
from fintrack_tasks.fetch.quota.keys import PUBLIC, KeyRing
from fintrack_tasks.observability.masking import Masker
from fintrack_tasks.settings import Settings

OPEN = provider("yahoo_finance").facts
KEYED = replace(OPEN, name="finnhub", key=KeyUse("API_KEY_FINNHUB", header="X-Finnhub-Token"))


def ring(**variables: str) -> KeyRing:
    return KeyRing(Settings.from_mapping(variables))


def secrets(keys: KeyRing, facts: Facts = KEYED) -> list[str | None]:
    return [key.secret.get_secret_value() if key.secret else None for key in keys.keys(facts)]


def test_a_provider_without_a_key_is_asked_as_the_public() -> None:
    assert ring(API_KEY_FINNHUB="one").keys(OPEN) == (PUBLIC,)


def test_several_keys_are_separated_by_commas_and_each_counts_once() -> None:
    assert secrets(ring(API_KEY_FINNHUB="one, two,three,one")) == ["one", "two", "three"]


def test_an_optional_key_is_used_where_it_is_set() -> None:
    optional = replace(KEYED, key=KeyUse("API_KEY_FINNHUB", header="X", optional=True))
    assert ring().keys(optional) == (PUBLIC,)
    assert secrets(ring(API_KEY_FINNHUB="one"), optional) == ["one"]


def test_names_tell_keys_apart_and_give_nothing_away() -> None:
    one, two = ring(API_KEY_FINNHUB="abcdefgh,abcdefgi").keys(KEYED)
    assert one.name != two.name
    assert "abc" not in one.name + two.name
    assert ring(API_KEY_FINNHUB="abcdefgh").keys(KEYED) == (one,)


def test_a_key_file_is_read_anew_without_a_restart(tmp_path: Path) -> None:
    file, clock = tmp_path / "key", [0.0]
    file.write_text("old-key")
    named = {"API_KEY_FINNHUB_FILE": str(file)}
    keys = KeyRing(Settings.from_mapping(named), lambda: Settings.from_mapping(named), lambda: clock[0])
    file.write_text("new-key")
    assert secrets(keys) == ["old-key"]
    clock[0] += 6
    assert secrets(keys) == ["new-key"]
    file.unlink()
    clock[0] += 6
    assert secrets(keys) == ["new-key"]  # in the middle of an exchange


def test_a_key_that_came_later_is_masked_in_logs() -> None:
    masker = Masker()
    assert masker.text("token tk-7788-late seen") == "token tk-7788-late seen"
    ring(API_KEY_FINNHUB="tk-7788-late").keys(KEYED)
    assert masker.text("token tk-7788-late seen") == "token [masked] seen"


@pytest.mark.parametrize("value", ["", " , "])
def test_a_missing_key_names_the_provider_and_the_variable(value: str) -> None:
    with pytest.raises(MissingKeyError, match=r"finnhub.*API_KEY_FINNHUB") as caught:
        ring(API_KEY_FINNHUB=value).keys(KEYED)
    assert caught.value.exit_code == 2


def test_no_repr_shows_a_key() -> None:
    keys = ring(API_KEY_FINNHUB="s3cret")
    [key] = keys.keys(KEYED)
    assert "s3cret" not in f"{keys!r} {keys} {key!r} {key} {KEYED!r}"


def test_a_missing_key_error_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(MissingKeyError("finnhub", "API_KEY_FINNHUB")))
    assert (error.provider, error.variable) == ("finnhub", "API_KEY_FINNHUB")
