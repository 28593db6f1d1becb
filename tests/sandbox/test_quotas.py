"""The sandbox's own count is what the product's quotas are judged by: it is held against a plain model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.fetch.providers.base import Quota
from fintrack_tasks.sandbox.quotas import Refusal, Request, RequestLog, most_in_window


@given(
    gaps=st.lists(st.floats(0, 3), max_size=60),
    quotas=st.lists(st.tuples(st.integers(1, 6), st.floats(0.5, 5)), min_size=1, max_size=3),
)
def test_a_request_is_admitted_exactly_when_no_window_would_hold_too_many(
    gaps: list[float], quotas: list[tuple[int, float]]
) -> None:
    request_log = RequestLog({"p": [Quota(limit, seconds) for limit, seconds in quotas]})
    admitted: list[float] = []
    now = 0.0
    for gap in gaps:
        now += gap
        allowed = all(sum(now - seconds < at for at in admitted) < limit for limit, seconds in quotas)
        assert (request_log.admit("p", "", now) is None) is allowed
        if allowed:
            admitted.append(now)


@given(st.lists(st.floats(0, 100), max_size=80).map(sorted), st.floats(0.1, 20))
def test_the_fullest_window_is_found(times: list[float], seconds: float) -> None:
    expected = max((sum(end - seconds < at <= end for at in times) for end in times), default=0)
    assert most_in_window(times, seconds) == expected


def test_keys_have_quotas_of_their_own() -> None:
    request_log = RequestLog({"p": [Quota(1, 10)]})
    assert request_log.admit("p", "a", 0.0) is None
    assert request_log.admit("p", "b", 0.0) is None
    assert request_log.admit("p", "a", 1.0) == Refusal(9.0, 10)


def test_of_two_windows_that_are_used_up_the_one_that_opens_last_is_told() -> None:
    request_log = RequestLog({"p": [Quota(1, 5), Quota(2, 60)]})
    assert request_log.admit("p", "", 0.0) is None
    assert request_log.admit("p", "", 1.0) == Refusal(4.0, 5)
    assert request_log.admit("p", "", 5.0) is None
    assert request_log.admit("p", "", 6.0) == Refusal(54.0, 60)


def test_a_refusal_is_no_served_request_whatever_its_status() -> None:
    request_log = RequestLog()
    for at, status, refused in ((0.0, 200, False), (1.0, 200, True), (2.0, 429, True), (3.0, 200, False)):
        request_log.note(Request(at, "p", "k", "query", status, refused))
    report = request_log.report([60.0])
    assert report["max_in_window"]["60"] == {"p|k": 2}
    assert (report["total"], report["refused"], report["status_429"]) == (4, 2, 1)
