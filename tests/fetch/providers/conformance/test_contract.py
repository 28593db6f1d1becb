"""What holds for every provider, found by its file: a new one is tested here without a line being added."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from fintrack_tasks.domain import (
    BAR_COLUMNS,
    BATCH_LIMIT,
    QUOTE_COLUMNS,
    AssetClass,
    Batch,
    Instrument,
    Interval,
    Kind,
    TimeRange,
    to_micros,
)
from fintrack_tasks.errors import ProviderError, UnknownSymbolError, UsageError
from fintrack_tasks.fetch import providers
from fintrack_tasks.fetch.providers.base import Ask, HttpRequest, HttpResponse, Provider
from tests.fetch.providers.asking import RIGHT_ANSWERS

NOW = datetime(2024, 1, 10, 12, tzinfo=UTC)
WINDOW = TimeRange(datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 5, tzinfo=UTC))
SYMBOLS = {
    AssetClass.STOCK: "BRK-B",
    AssetClass.CRYPTO: "BTC-USD",
    AssetClass.FOREX: "EURUSD=X",
    AssetClass.INDEX: "^GSPC",
    AssetClass.COMMODITY: "CL=F",
}

# Right answers, to be bent: what the sources are known to send, cut to three rows; a list of JSON bodies a provider.
GOOD = [body for path in sorted(RIGHT_ANSWERS.glob("*.json")) for body in json.loads(path.read_text(encoding="utf-8"))]

ALL = [pytest.param(providers.provider(name), id=name) for name in providers.names()]


def asks(provider: Provider) -> list[Ask]:
    """A question for each combination that the provider declares."""
    found = []
    for asset_class in sorted(provider.facts.asset_classes):
        instrument = Instrument.of(SYMBOLS[asset_class], asset_class)
        for kind in sorted(provider.facts.kinds):
            if kind is Kind.QUOTE:
                found.append(Ask(kind, instrument, NOW))
            elif kind is Kind.BARS or asset_class is AssetClass.INDEX:
                found += [Ask(kind, instrument, NOW, interval, WINDOW) for interval in sorted(provider.facts.intervals)]
    return found


def check_batch(ask: Ask, batch: Batch, source: str) -> None:
    """The promises that :meth:`Provider.parse` makes of its rows."""
    assert batch.kind is ask.kind
    assert batch.symbol == ask.instrument.symbol
    assert batch.source == source
    assert batch.currency is None or isinstance(batch.currency, str)
    stamps = list(batch.columns["timestamp"])
    assert 1 <= len(stamps) <= BATCH_LIMIT
    assert all(type(stamp) is int for stamp in stamps)
    known, needed = QUOTE_COLUMNS, ("price",)
    if ask.kind is not Kind.QUOTE:
        known, needed = BAR_COLUMNS, ("close",)
        assert batch.interval is ask.interval
        assert ask.window is not None
        assert all(to_micros(ask.window.start) <= stamp < to_micros(ask.window.end) for stamp in stamps)
        assert all(a < b for a, b in pairwise(stamps))
    assert set(needed) <= set(batch.columns) <= set(known)
    for name in set(batch.columns) - {"timestamp"}:
        for value in batch.columns[name]:
            assert value is not None or name not in needed
            assert value is None or (isinstance(value, str) and Decimal(value).is_finite())
    assert Batch.from_message(json.loads(json.dumps(batch.to_message()))) == batch


def answers_rightly(provider: Provider, ask: Ask, response: HttpResponse) -> None:
    """Rows as promised, or an error that says what the answer means; nothing else may come out."""
    seen: Batch | ProviderError
    try:
        seen = provider.parse(ask, response)
    except ProviderError as error:
        seen = error
    if isinstance(seen, Batch):
        assert response.status == 200
        check_batch(ask, seen, provider.facts.name)
    else:
        assert type(seen) is not ProviderError
        assert "\n" not in str(seen)
        assert len(str(seen)) < 400


@pytest.mark.parametrize("provider", ALL)
def test_a_provider_declares_sane_facts(provider: Provider) -> None:
    facts = provider.facts
    assert isinstance(provider, Provider)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", facts.name)
    assert provider is providers.provider(facts.name)
    base = urlsplit(facts.base_url)
    assert base.scheme == "https"
    assert base.hostname
    assert not base.query
    assert facts.asset_classes
    assert set(facts.kept_days) <= facts.intervals
    assert all(days >= 1 for days in facts.kept_days.values())
    assert facts.kinds
    assert not (facts.kinds - {Kind.QUOTE}) or facts.intervals
    assert 1 <= facts.page_size <= BATCH_LIMIT
    assert facts.symbols_per_request >= 1
    assert facts.key is None or [bool(facts.key.query), bool(facts.key.header), facts.key.signed].count(True) == 1


@pytest.mark.parametrize("provider", ALL)
def test_a_request_stands_for_every_declared_question(provider: Provider) -> None:
    asked = asks(provider)
    assert asked
    for ask in asked:
        request = provider.request(ask)
        assert isinstance(request, HttpRequest)
        assert re.fullmatch(r"(/[A-Za-z0-9._~%=^-]+)+", request.path)
        assert all(isinstance(value, str) and value for value in request.params.values())
        assert not facts_key(provider) & set(request.params)


def facts_key(provider: Provider) -> set[str]:
    key = provider.facts.key
    return {name for name in (key.query, key.header) if name} if key else set()


@pytest.mark.parametrize("provider", ALL)
def test_a_symbol_cannot_leave_its_place_in_the_path(provider: Provider) -> None:
    """A slash, a question mark or an ampersand of a symbol is no part of the address."""
    instrument = Instrument("A/../B", sorted(provider.facts.asset_classes)[0])
    try:
        path = provider.request(Ask(Kind.QUOTE, instrument, NOW)).path
    except UnknownSymbolError:
        return  # refused before it is asked for
    assert "/../" not in path
    assert "?" not in path


@pytest.mark.parametrize("provider", ALL)
def test_the_same_question_gives_the_same_request(provider: Provider) -> None:
    for ask in asks(provider):
        assert provider.request(ask) == provider.request(ask)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=8)
    | st.sampled_from(["NaN", "Infinity", "1e400", "-0", "--5", "", "1_000", "٣", "2024-01-02T00:00Z", "NONE", -1, 0]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
statuses = st.sampled_from([200, 200, 200, 200, 204, 302, 400, 401, 403, 404, 408, 422, 429, 500, 503, 999])


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all values inside a JSON value."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [here, *(place for key, member in inner for place in paths(member, (*here, key)))]


def changed(value: Any, place: tuple[Any, ...], how: str, other: Any) -> Any:
    """The JSON value with one place dropped, nulled, doubled, of another type, or replaced."""
    if not place:
        return {"drop": {}, "null": None, "swap": str(value), "double": [value, value]}.get(how, other)
    key, rest = place[0], place[1:]
    copy = dict(value) if isinstance(value, dict) else list(value)
    if rest or how not in ("drop", "double"):
        copy[key] = changed(copy[key], rest, how, other)
    elif how == "drop" or isinstance(copy, dict):
        del copy[key]
    else:
        copy.insert(key, copy[key])
    return copy


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """A right answer with up to three mutations, perhaps cut."""
    value: Any = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(paths(value)))
        value = changed(
            value, place, draw(st.sampled_from(["drop", "null", "swap", "double", "other"])), draw(json_values)
        )
    body = json.dumps(value)
    cut = draw(st.none() | st.integers(0, len(body)))
    return body[:cut].encode()


bodies = st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()) | bent()


@pytest.mark.parametrize("provider", ALL)
@profile(max_examples=int(os.environ.get("FINTRACK_EXAMPLES", "400")))
@given(data=st.data())
def test_rubbish_gives_a_typed_error_or_right_rows(provider: Provider, data: st.DataObject) -> None:
    """Random bytes, random JSON, right answers that lost a field, a type, or their end."""
    crypto = [ask for ask in asks(provider) if ask.instrument.asset_class is AssetClass.CRYPTO] or asks(provider)
    ask = data.draw(st.sampled_from(crypto))
    headers = data.draw(st.just({}) | st.fixed_dictionaries({"retry-after": st.text(max_size=12)}))
    answers_rightly(provider, ask, HttpResponse(data.draw(statuses), data.draw(bodies), headers))


@pytest.mark.parametrize("provider", ALL)
def test_every_single_change_of_a_right_answer_is_borne(provider: Provider) -> None:
    """Not by chance: each place of each right answer, dropped, nulled, doubled and of each wrong type."""
    wrong = [0, -1, 10**30, 1e308, True, "x", "", "--5", "1e5", [], {}, [None], "NaN", {"raw": 1}]
    for ask in asks(provider):
        if ask.instrument.asset_class is not AssetClass.CRYPTO or ask.interval is Interval.M15:
            continue
        for good in GOOD:
            for place in paths(good):
                bodies = [changed(good, place, how, None) for how in ("drop", "null", "swap", "double")]
                for value in (*bodies, *(changed(good, place, "other", each) for each in wrong)):
                    answers_rightly(provider, ask, HttpResponse(200, json.dumps(value).encode()))


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_a_failing_server_is_worth_another_try(provider: Provider, status: int) -> None:
    response = HttpResponse(status, b"<html>Bad Gateway</html>", {"retry-after": "7"})
    with pytest.raises(ProviderError) as caught:
        provider.parse(asks(provider)[0], response)
    assert caught.value.reason == "transient"
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("provider", ALL)
def test_429_is_a_quota_whatever_its_body(provider: Provider) -> None:
    for body in (b"", b"Too Many Requests\r\n", b'{"message":"rate limit"}', b"<html>"):
        with pytest.raises(ProviderError) as caught:
            provider.parse(asks(provider)[0], HttpResponse(429, body, {"retry-after": "30"}))
        assert caught.value.reason == "quota"
        assert caught.value.retry_after == 30.0


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("body", [b"", b"<!DOCTYPE html><html></html>", b"null", b"[", b"\xff\xfe", b"{}", b"7"])
def test_a_body_that_is_no_answer_is_malformed(provider: Provider, body: bytes) -> None:
    for ask in asks(provider):
        with pytest.raises(ProviderError) as caught:
            provider.parse(ask, HttpResponse(200, body))
        assert caught.value.reason == "malformed"


def test_providers_are_found_by_their_files() -> None:
    assert {"coinbase", "yahoo_finance"} <= set(providers.names())
    assert list(providers.names()) == sorted(providers.names())


def test_an_unknown_provider_is_a_usage_error_that_names_the_known() -> None:
    with pytest.raises(UsageError, match="yahoo_finance"):
        providers.provider("yahu")
