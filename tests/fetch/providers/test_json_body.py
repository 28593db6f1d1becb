"""The body of an answer as JSON: bounded in size and nesting, without conflicting names."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import TimeRange
from fintrack_tasks.errors import MalformedError
from fintrack_tasks.fetch.providers.base import HttpResponse
from fintrack_tasks.fetch.providers.json_body import json_body

NOW = datetime(2026, 11, 27, 21, 0, tzinfo=UTC)
WINDOW = TimeRange(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 10, tzinfo=UTC))
DAY = 1_704_153_600  # 2024-01-02, midnight UTC
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


def read(body: str | bytes, **options: Any) -> Any:
    return json_body(HttpResponse(200, body.encode() if isinstance(body, str) else body), **options)


@given(PLAIN)
def test_json_is_read_as_python_reads_it(value: Any) -> None:
    try:
        told = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    if "Infinity" not in told.decode():
        assert read(told) == json.loads(told)


@pytest.mark.parametrize("depth", [33, 200, 992, 1000, 1023, 5000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_json_that_is_nested_too_deep_is_malformed(opening: str, closing: str, depth: int) -> None:
    with pytest.raises(MalformedError):
        read(opening * depth + "1" + closing * depth)


def test_the_nesting_of_every_right_answer_is_read() -> None:
    assert read("[" * 32 + "]" * 32)


def test_more_values_than_any_answer_holds_are_not_unpacked() -> None:
    for body in ("[" + "1," * 250_001 + "1]", "[" + "[]," * 60_001 + "1]", "[" + "{}," * 60_001 + "1]"):
        with pytest.raises(MalformedError, match="more values"):
            read(body)


@pytest.mark.parametrize("body", ['{"a":1,"a":2}', '{"b":[{"a":1,"a":null}]}', '{"a":[1],"a":[2],"a":[1]}'])
def test_two_values_under_one_name_are_malformed(body: str) -> None:
    with pytest.raises(MalformedError, match="two values under one name: 'a'"):
        read(body)


def test_a_name_that_is_repeated_with_its_value_says_nothing_new() -> None:
    assert read('{"a":1,"a":1}') == {"a": 1}


@pytest.mark.parametrize("body", ["NaN", "Infinity", "-Infinity", "[1,]", "{'a':1}", "01", '"\x07"', r'"\ud800"', ""])
def test_what_json_does_not_allow_is_malformed(body: str) -> None:
    with pytest.raises(MalformedError):
        read(body)


@pytest.mark.parametrize("body", [b'"\xff"', '{"a":1}'.encode("utf-16"), b"1" * 5000])
def test_bytes_that_are_no_text_and_endless_integers_are_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        read(body)


def test_an_error_repeats_the_start_of_a_body_only_where_it_may() -> None:
    with pytest.raises(MalformedError, match="S3CR3T"):
        read('{"Note": "key S3CR3T')
    with pytest.raises(MalformedError) as caught:
        read('{"Note": "key S3CR3T', quoted=False)
    assert "S3CR3T" not in str(caught.value)
    with pytest.raises(MalformedError) as caught:
        read('{"S3CR3T": 1, "S3CR3T": 2}', quoted=False)
    assert "S3CR3T" not in str(caught.value)
