"""Faults: which requests they befall, the same again under a seed, and what is no fault."""

from __future__ import annotations

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.sandbox import FAKE_APIS, Running
from fintrack_tasks.sandbox.fake_apis.base import Reply
from fintrack_tasks.sandbox.faults import KINDS, Fault, Faults


def befallen(seed: int, probability: float, n: int = 200) -> list[bool]:
    faults = Faults(seed)
    faults.add(Fault("cut", probability=probability))
    return [faults.next_fault("coinbase", "BTC-USD") is not None for _ in range(n)]


@given(st.integers(min_value=0, max_value=2**40), st.floats(min_value=0.0, max_value=1.0))
def test_the_same_seed_befalls_the_same_requests(seed: int, probability: float) -> None:
    assert befallen(seed, probability, 50) == befallen(seed, probability, 50)


def test_about_as_many_as_the_probability_says() -> None:
    assert befallen(7, 0.0) == [False] * 200
    assert befallen(7, 1.0) == [True] * 200
    assert 40 < sum(befallen(7, 0.3)) < 80


def test_clearing_begins_the_random_numbers_anew() -> None:
    faults = Faults(7)
    seen = []
    for _ in range(2):
        faults.add(Fault("cut", probability=0.5))
        seen.append([faults.next_fault("p", "S") is not None for _ in range(30)])
        faults.clear()
        assert faults.next_fault("p", "S") is None
    assert seen[0] == seen[1]


def test_a_fault_fits_its_provider_and_symbols_and_is_used_up() -> None:
    faults = Faults(7)
    faults.add(Fault("cut", provider="coinbase", symbol="BTC-*", count=2))
    faults.add(Fault("html", symbol="BTC-USD", count=1))
    taken = [
        faults.next_fault(provider, symbol)
        for provider, symbol in [
            ("yahoo_finance", "BTC-EUR"), ("coinbase", "ETH-USD"), ("coinbase", "BTC-EUR"), ("coinbase", "BTC-USD"),
            ("coinbase", "BTC-USD"), ("coinbase", "BTC-USD"),
        ]
    ]  # fmt: skip
    assert [fault and fault.kind for fault in taken] == [None, None, "cut", "cut", "html", None]
    assert faults.report() == []


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_can_be_wanted(kind: str) -> None:
    assert Fault.of({"kind": kind, "provider": "coinbase", "count": 3}) == Fault(kind, "coinbase", count=3)


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        [],
        {},
        {"kind": "flood"},
        {"kind": "cut", "colour": "red"},
        {"kind": "cut", "count": 0},
        {"kind": "cut", "count": -1},
        {"kind": "cut", "count": True},
        {"kind": "cut", "probability": 1.1},
        {"kind": "cut", "probability": float("nan")},
        {"kind": "latency", "seconds": -1},
        {"kind": "latency", "seconds": 1e300},
        {"kind": "status", "status": 200},
        {"kind": "status", "status": "500"},
        {"kind": "storm429", "retry_after": -1},
        {"kind": "cut", "provider": None},
    ],
)
def test_what_is_no_fault_is_said_to_be_none(wanted: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        Fault.of(wanted)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("ecb/stats/eurofxref/eurofxref-daily.xml", "text/xml"),
        ("wikipedia/wiki/List_of_S%26P_500_companies", "text/html; charset=UTF-8"),
    ],
)
def test_nulls_leave_an_answer_alone_that_is_no_json(fresh: Running, path: str, content_type: str) -> None:
    whole = requests.get(f"{fresh.url}/{path}", timeout=5)
    fresh.control.add_fault("nulls")
    again = requests.get(f"{fresh.url}/{path}", timeout=5)
    assert (again.status_code, again.headers["Content-Type"]) == (200, content_type)
    assert again.content == whole.content


def test_nulls_come_with_the_headers_of_the_answer_and_befall_no_error() -> None:
    faults, nulls, yahoo = Faults(7), Fault("nulls"), FAKE_APIS["yahoo_finance"]
    said = b'{"chart":{"result":[{"meta":{"regularMarketPrice":1.5},"indicators":{"quote":[{}]}}],"error":null}}'
    spoilt = faults.spoil(nulls, Reply(200, said, headers={"Date": "today"}), yahoo)
    assert spoilt == Reply(200, said.replace(b"1.5", b"null"), headers={"Date": "today"})
    error = Reply(404, said)
    assert faults.spoil(nulls, error, yahoo) == error
