"""Quotas of text, and as Celery's rates."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import Budget
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import Quota
from fintrack_tasks.fetch.quota.limits import (
    QuotaWindow,
    celery_rate_limit,
    effective_quotas,
    floors_of,
    longest_window,
    parse_quotas,
    seconds_per_request,
    windows,
)
from fintrack_tasks.settings import Settings

FACTS = replace(provider("coinbase").facts, name="venue", quotas=(Quota(10, 1.0),))


@pytest.mark.parametrize(
    ("text", "quotas"),
    [
        ("10/s", [(10, 1)]),
        ("20/s,600/m", [(20, 1), (600, 60)]),
        (" 5/M , 25/D ", [(5, 60), (25, 86_400)]),
        ("100/h", [(100, 3_600)]),
        ("5/s,100/min", [(5, 1), (100, 60)]),  # as the table of the README has them
        ("100/hour,800/day", [(100, 3_600), (800, 86_400)]),
        ("unlimited", []),
        (" Unlimited ", []),
        ("20/s:1", [(20, 1, 1)]),
        ("20/S:5, 600/m:600", [(20, 1, 5), (600, 60, 600)]),
    ],
)
def test_quotas_of_text(text: str, quotas: list[tuple[int, ...]]) -> None:
    assert parse_quotas(text) == tuple(Quota(*quota) for quota in quotas)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "10",
        "0/s",
        "-1/s",
        "1.5/s",
        "10/w",
        "10/mi",
        "10/days",
        "10/s,",
        "10 / s",
        "٣/s",
        "1/s;2/m",
        "20/s:0",
        "20/s:21",
        "20/s:",
        "20/s:-1",
        "20/s:1.5",
        ":1",
        "1000000000/d",
    ],
)
def test_text_that_is_no_quota_names_the_variable(text: str) -> None:
    with pytest.raises(ConfigurationError, match="COINBASE_QUOTA"):
        parse_quotas(text, "COINBASE_QUOTA")


@given(st.text(max_size=20))
def test_no_text_gives_another_error(text: str) -> None:
    try:
        quotas = parse_quotas(text)
    except ConfigurationError:
        return
    assert all(quota.limit >= 1 and quota.seconds >= 1 for quota in quotas)


@pytest.mark.parametrize(("limit", "seconds"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, -1.0)])
def test_a_quota_allows_something_in_some_time(limit: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="quota"):
        Quota(limit, seconds)


def test_the_override_replaces_and_the_cap_adds() -> None:
    assert effective_quotas(FACTS, None, 0) == (Quota(10, 1.0),)
    assert effective_quotas(FACTS, "3/s", 0) == (Quota(3, 1.0),)
    assert effective_quotas(FACTS, "unlimited", 0) == ()
    assert effective_quotas(FACTS, None, 100) == (Quota(10, 1.0), Quota(100, 60.0))
    assert effective_quotas(FACTS, "unlimited", 100) == (Quota(100, 60.0),)
    with pytest.raises(ConfigurationError, match="VENUE_QUOTA"):
        effective_quotas(FACTS, "many", 0)


def test_the_tightest_quota_sets_the_distance() -> None:
    assert seconds_per_request(()) == 0.0
    assert seconds_per_request([Quota(10, 1.0)]) == pytest.approx(0.1)
    assert seconds_per_request([Quota(5, 1.0), Quota(100, 60.0)]) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("text", "workers", "rate"),
    [
        ("10/s", 1, "10/s"),
        ("10/s", 2, "5/s"),
        ("5/s,100/m", 1, "100/m"),
        ("100/m", 3, "2000/h"),
        ("7/m", 1, "7/m"),
        ("90/m", 1, "90/m"),
        ("120/m", 1, "2/s"),
        ("5/m,25/d", 1, "5/m"),
        ("48/d", 1, "2/h"),
        ("unlimited", 1, None),
        ("unlimited", 8, None),
    ],
)
def test_rates_as_celery_writes_them(text: str, workers: int, rate: str | None) -> None:
    assert celery_rate_limit(parse_quotas(text), workers) == rate


@given(
    st.lists(st.tuples(st.integers(1, 10_000), st.sampled_from([1.0, 60.0, 3600.0])), min_size=1, max_size=3),
    st.integers(1, 16),
)
def test_all_workers_together_stay_below_the_quota(pairs: list[tuple[int, float]], workers: int) -> None:
    """But for the least rate that Celery can say, one an hour and worker."""
    quotas = [Quota(limit, seconds) for limit, seconds in pairs]
    rate = celery_rate_limit(quotas, workers)
    assert rate is not None
    count, unit = rate.split("/")
    if rate == "1/h":
        return
    per_second = int(count) / {"s": 1, "m": 60, "h": 3600}[unit]
    assert per_second * workers <= min(quota.limit / quota.seconds for quota in quotas) * (1 + 1e-6)


FLOORS = {Budget.REAL_TIME: 0.25, Budget.GAP_REPAIR: 0.15}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # limit, seconds, of, hold, caps of gap repair and backfill
        ("5/m,25/d", [(5, 60, 5, True, (3, 3)), (25, 86_400, 25, True, (18, 15))]),
        ("60/m", [(60, 60, 60, True, (45, 36)), (6, 60, 60, False, (6, 6))]),
        ("20/s:1", [(20, 1, 20, True, (15, 12)), (1, 1, 20, False, (1, 1))]),
        ("10/s", [(10, 1, 10, True, (7, 6))]),
        ("1/m", [(1, 60, 1, True, (1, 1))]),
        ("800/d", [(800, 86_400, 800, True, (600, 480))]),
        ("unlimited", []),
    ],
)
def test_each_quota_has_its_window_and_its_spacing_where_not_all_go_out_at_once(
    text: str, expected: list[tuple[int, float, int, bool, tuple[int, int]]]
) -> None:
    assert windows(parse_quotas(text), FLOORS) == tuple(QuotaWindow(*window) for window in expected)


def test_a_spacing_lets_a_heavy_request_through() -> None:
    """30 in half a minute, as the quota says."""
    [quota, spacing] = windows(parse_quotas("60/m"), FLOORS, weight=30)
    assert (quota.limit, spacing.limit, spacing.of) == (60, 30, 60)
    assert len(windows(parse_quotas("60/m"), FLOORS, weight=60)) == 1


def test_a_request_heavier_than_a_quota_is_a_mistake_of_the_settings() -> None:
    with pytest.raises(ConfigurationError, match="weighs 9, more than 8 in 60 s"):
        windows(parse_quotas("8/m,800/d"), FLOORS, weight=9)


quotas_of_any_kind = st.builds(
    lambda limit, seconds, burst: Quota(limit, seconds, burst and min(limit, burst)),
    st.integers(1, 100_000),
    st.sampled_from([1.0, 60.0, 3_600.0, 86_400.0]),
    st.one_of(st.none(), st.integers(1, 100_000)),
)


@given(st.lists(quotas_of_any_kind, max_size=4), st.floats(0, 0.99), st.floats(0, 0.99), st.integers(1, 50))
def test_windows_hold_their_quotas_leave_the_floors_and_let_everything_through(
    quotas: list[Quota], real_time: float, repair: float, weight: int
) -> None:
    floors = {Budget.REAL_TIME: real_time, Budget.GAP_REPAIR: repair}
    quotas = [quota for quota in quotas if quota.limit >= weight]
    made = windows(quotas, floors, weight)
    held = [window for window in made if window.hold]
    assert [(window.limit, window.seconds, window.of) for window in held] == [
        (q.limit, q.seconds, q.limit) for q in quotas
    ]
    for window in made:
        gap, backfill = window.caps
        assert weight <= window.limit <= window.of
        assert 1 <= backfill <= gap <= window.limit
        if window.hold:
            assert gap == 1 or gap <= window.limit * (1 - real_time) + 1e-6
            assert backfill == 1 or backfill <= window.limit * (1 - real_time - repair) + 1e-6
        else:
            assert window.caps == (window.limit, window.limit)  # a spacing spaces everybody alike
            assert window.limit < window.of
            assert window.seconds <= 3_600


def test_floors_are_the_operators_and_the_defaults_leave_backfill_three_fifths() -> None:
    assert floors_of(Settings.from_mapping({})) == FLOORS
    chosen = {"FINTRACK_QUOTA_FLOOR_REAL_TIME": "0.5", "FINTRACK_QUOTA_FLOOR_GAP_REPAIR": "0"}
    assert windows([Quota(8, 60.0)], floors_of(Settings.from_mapping(chosen)))[0].caps == (4, 4)


@pytest.mark.parametrize("value", ["-0.1", "1", "a quarter"])
def test_a_floor_that_is_no_share_names_the_variable(value: str) -> None:
    with pytest.raises(ConfigurationError, match="FINTRACK_QUOTA_FLOOR_REAL_TIME"):
        Settings.from_mapping({"FINTRACK_QUOTA_FLOOR_REAL_TIME": value})


def test_the_longest_window_is_a_minute_where_there_is_none() -> None:
    assert longest_window(parse_quotas("5/m,25/d")) == 86_400
    assert longest_window(()) == 60
