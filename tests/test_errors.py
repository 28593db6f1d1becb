"""The tree of errors: what its docstring draws is what the classes are."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest
from celery import Celery

from fintrack_tasks import errors
from fintrack_tasks.errors import FinTrackError, MissingKeyError, OutageError, ProviderError, QuotaError

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == errors.__name__
}


def drawn() -> dict[str, tuple[str | None, int | None]]:
    """Each class of the drawing: its parent, and its exit code where the drawing gives one."""
    found: dict[str, tuple[str | None, int | None]] = {}
    parents: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ([ │├└─]*)(\w+Error)\b(.*)$", line)
        if not match:
            continue
        depth, name = len(match[1]), match[2]
        while parents and parents[-1][0] >= depth:
            parents.pop()
        code = re.search(r"exit (\d)", match[3])
        found[name] = (parents[-1][1] if parents else None, int(code[1]) if code else None)
        parents.append((depth, name))
    return found


def test_the_drawn_tree_is_the_tree_of_the_classes() -> None:
    parents = {name: (None if kind is FinTrackError else kind.__bases__[0].__name__) for name, kind in CLASSES.items()}
    assert {name: parent for name, (parent, _) in drawn().items()} == parents


def test_the_drawn_exit_codes_are_those_of_the_classes() -> None:
    codes = {name: code for name, (_, code) in drawn().items() if code is not None}
    assert codes == {name: CLASSES[name].exit_code for name in codes}
    assert {CLASSES[name].exit_code for name in CLASSES if issubclass(CLASSES[name], ProviderError)} == {3}


def test_every_error_is_exported() -> None:
    assert sorted(errors.__all__) == sorted(CLASSES)


def test_every_providers_error_has_a_reason_of_its_own() -> None:
    reasons = [kind.reason for kind in CLASSES.values() if issubclass(kind, ProviderError)]
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize(
    ("name", "retryable", "reroute"),
    [
        ("TransientError", True, True),
        ("QuotaError", True, True),
        ("EntitlementError", False, True),
        ("KeyRejectedError", False, True),
        ("UnknownSymbolError", False, True),
        ("UnavailableRangeError", False, True),
        ("EmptyError", False, False),
        ("NoPriceError", False, True),
        ("MalformedError", False, True),
    ],
)
def test_the_type_says_what_happens_next(name: str, retryable: bool, reroute: bool) -> None:
    assert (CLASSES[name].retryable, CLASSES[name].reroute) == (retryable, reroute)


def test_a_providers_error_tells_its_detail_or_its_reason() -> None:
    assert str(QuotaError("5 calls a minute", retry_after=12.5)) == "5 calls a minute"
    assert QuotaError(retry_after=12.5).retry_after == 12.5
    assert str(QuotaError()) == "quota"


def test_an_outage_names_the_server_its_address_and_the_remedy() -> None:
    text = str(OutageError("PostgreSQL", "127.0.0.1:5432"))
    assert "PostgreSQL" in text
    assert "127.0.0.1:5432" in text
    assert "fintrack up" in text


def test_a_missing_key_names_the_variable_and_its_file_form() -> None:
    text = str(MissingKeyError("finnhub", "API_KEY_FINNHUB"))
    assert "API_KEY_FINNHUB" in text
    assert "API_KEY_FINNHUB_FILE" in text


@pytest.mark.parametrize(
    "error",
    [
        OutageError("Redis", "127.0.0.1:6379", "start it", "hides"),
        MissingKeyError("finnhub", "API_KEY_FINNHUB"),
        errors.UsageError("nothing lies there"),
        QuotaError("5 calls a minute"),
    ],
)
def test_an_error_comes_back_from_the_store_of_celery_results_as_what_it_was(error: FinTrackError) -> None:
    backend = Celery(backend="cache+memory://").backend
    back = backend.exception_to_python(backend.prepare_exception(error, "json"))
    assert (type(back), str(back)) == (type(error), str(error))


def test_an_outage_comes_through_pickle_as_worker_processes_send_it() -> None:
    error = pickle.loads(pickle.dumps(OutageError("Redis", "127.0.0.1:6379", "start it")))
    assert (error.server, error.address, error.remedy) == ("Redis", "127.0.0.1:6379", "start it")
