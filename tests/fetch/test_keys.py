"""Keys are given out in turn and shown to nobody."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from fintrack_tasks.errors import MissingKeyError
from fintrack_tasks.fetch.keys import KeyRing
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import KeyUse
from fintrack_tasks.settings import Settings

OPEN = provider("coinbase").facts
KEYED = replace(OPEN, name="finnhub", key=KeyUse("API_KEY_FINNHUB", header="X-Finnhub-Token"))


def ring(**variables: str) -> KeyRing:
    return KeyRing(Settings.from_mapping(variables))


def test_a_provider_without_a_key_gets_none() -> None:
    assert ring(API_KEY_FINNHUB="one").key(OPEN) is None


def test_several_keys_are_given_out_in_turn() -> None:
    keys = ring(API_KEY_FINNHUB="one, two,three")
    given = [key.get_secret_value() for key in (keys.key(KEYED) for _ in range(6)) if key]
    assert given == ["one", "two", "three"] * 2


@pytest.mark.parametrize("value", ["", " , "])
def test_a_missing_key_names_the_provider_and_the_variable(value: str) -> None:
    with pytest.raises(MissingKeyError, match=r"finnhub.*API_KEY_FINNHUB") as caught:
        ring(API_KEY_FINNHUB=value).key(KEYED)
    assert caught.value.exit_code == 2


def test_no_repr_shows_a_key() -> None:
    keys = ring(API_KEY_FINNHUB="s3cret")
    key = keys.key(KEYED)
    assert "s3cret" not in f"{keys!r} {keys} {key!r} {key} {KEYED!r}"


def test_a_missing_key_error_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(MissingKeyError("finnhub", "API_KEY_FINNHUB")))
    assert (error.provider, error.variable) == ("finnhub", "API_KEY_FINNHUB")
