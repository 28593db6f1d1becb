"""Quotas of text, and as Celery's rates."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import Quota
from fintrack_tasks.fetch.quota import celery_rate_limit, effective_quotas, parse_quotas, seconds_per_request

FACTS = replace(provider("coinbase").facts, name="venue", quotas=(Quota(10, 1.0),))


@pytest.mark.parametrize(
    ("text", "quotas"),
    [
        ("10/s", [(10, 1)]),
        ("20/s,600/m", [(20, 1), (600, 60)]),
        (" 5/M , 25/D ", [(5, 60), (25, 86_400)]),
        ("100/h", [(100, 3_600)]),
        ("unlimited", []),
        (" Unlimited ", []),
    ],
)
def test_quotas_of_text(text: str, quotas: list[tuple[int, float]]) -> None:
    assert parse_quotas(text) == tuple(Quota(limit, float(seconds)) for limit, seconds in quotas)


@pytest.mark.parametrize("text", ["", ",", "10", "0/s", "-1/s", "1.5/s", "10/w", "10/s,", "10 / s", "٣/s", "1/s;2/m"])
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
