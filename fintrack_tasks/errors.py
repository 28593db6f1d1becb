"""The tree of errors. Retry, reroute and exit code follow from an error's type, never from its text.

::

    FinTrackError                  exit code, one line for a person
    ├── UsageError                 the call is invalid; nothing was enqueued                    exit 2
    ├── ConfigurationError         a setting is missing or wrong; names the variable            exit 2
    │   ├── MissingKeyError        a provider's key is missing                                  exit 2
    │   └── CalendarError          an instrument's calendar is unknown; it alone fails          exit 2
    ├── OutageError                a server of ours does not answer or refuses; names it        exit 4
    ├── ForgedMessageError         a message that no stage signed; its item is not touched      exit 1
    ├── StoreError                 the database refused what we sent (never a lost connection)  exit 1
    └── ProviderError              what a provider's answer means for the item                  exit 3
        ├── TransientError         network, time-out, 5xx                → retry, then reroute
        ├── QuotaError             429, or a limit text inside a 200     → reroute, or wait
        ├── EntitlementError       not in this plan                      → reroute, never retry
        ├── KeyRejectedError       the key itself is refused             → reroute, set the key aside
        ├── UnknownSymbolError     the provider does not know it         → reroute, then fail
        ├── UnavailableRangeError  it does not keep, or give, that range → reroute, the range counts as unavailable
        ├── EmptyError             a valid answer without rows           → the item ends as empty
        │   └── NoPriceError       rows, or a quote, without any price   → reroute, then empty
        └── MalformedError         not the documented form               → reroute, then fail

This module imports nothing of the project.
"""

from __future__ import annotations

from datetime import datetime

__all__ = [
    "CalendarError",
    "ConfigurationError",
    "EmptyError",
    "EntitlementError",
    "FinTrackError",
    "ForgedMessageError",
    "KeyRejectedError",
    "MalformedError",
    "MissingKeyError",
    "NoPriceError",
    "OutageError",
    "ProviderError",
    "QuotaError",
    "StoreError",
    "TransientError",
    "UnavailableRangeError",
    "UnknownSymbolError",
    "UsageError",
]

_LONGEST_DETAIL = 300


class FinTrackError(Exception):
    """The base of all errors that FinTrack raises. ``str(error)`` is one line for a person."""

    exit_code = 1


class UsageError(FinTrackError):
    """The arguments are invalid (end before start, unknown job, no symbols)."""

    exit_code = 2


class ConfigurationError(FinTrackError):
    """A setting is missing or wrong. The text names the environment variable."""

    exit_code = 2


class CalendarError(ConfigurationError):
    """The calendar of an instrument is unknown or cannot be computed; the text names it."""

    reason = "misconfigured"


class MissingKeyError(ConfigurationError):
    """A provider needs an API key and none is set.

    :param provider: the provider's name.
    :param variable: the environment variable for the key.
    """

    def __init__(self, provider: str, variable: str) -> None:
        self.provider = provider
        self.variable = variable
        super().__init__(provider, variable)  # pickle and Celery's results rebuild it from these

    def __str__(self) -> str:
        return (
            f"{self.provider} needs an API key: set {self.variable} (or {self.variable}_FILE);"
            " providers that need no key go on working"
        )


class OutageError(FinTrackError):
    """A server of ours (PostgreSQL, Redis, Kafka, workers) does not answer, or refuses the connection.

    :param server: its name for a person.
    :param address: where it was expected, without any secret.
    :param remedy: what to do about it: the command that starts it, or the setting to correct.
    :param problem: what is wrong, as a predicate.
    """

    exit_code = 4
    START = "start it with: fintrack up --detach"

    def __init__(self, server: str, address: str, remedy: str = START, problem: str = "does not answer") -> None:
        self.server = server
        self.address = address
        self.remedy = remedy
        self.problem = problem
        super().__init__(server, address, remedy, problem)  # pickle and Celery's results rebuild it from these

    def __str__(self) -> str:
        return f"{self.server} {self.problem} at {self.address}; {self.remedy}"


class ForgedMessageError(FinTrackError):
    """A message without the signature of the stage before. It is logged and dropped; its item is not touched."""


class StoreError(FinTrackError):
    """The database refused a statement for a reason that a retry does not remove."""


class ProviderError(FinTrackError):
    """What a provider's answer, or the lack of one, means for an item.

    :param detail: one line, free of secrets, about what was seen.
    :param retry_after: seconds after which the same provider may answer, where that is known.
    :param asked: whether the provider was asked; False when it was held back before that.
    :ivar detail: that line, cut to 300 characters and with spaces for what cannot be printed: it may contain a
        provider's text, with control characters that a terminal obeys or a database refuses.
    :ivar partial: the part of an answer that arrived before the connection broke, if any.
    :cvar reason: the item's ``reason`` when it ends because of this error.
    :cvar retryable: the same request to the same provider may succeed in a moment.
    :cvar reroute: another provider may answer.
    """

    exit_code = 3
    reason = "provider_error"
    retryable = False
    reroute = True

    def __init__(self, detail: str = "", *, retry_after: float | None = None, asked: bool = True) -> None:
        self.detail = "".join(c if c.isprintable() else " " for c in detail[:_LONGEST_DETAIL])
        self.retry_after = retry_after
        self.asked = asked
        self.partial: object = None
        super().__init__(self.detail or self.reason)


class TransientError(ProviderError):
    """The network, a time-out or a 5xx: the same request may succeed in a moment."""

    reason = "transient"
    retryable = True


class QuotaError(ProviderError):
    """The provider's quota is used up. ``retry_after`` is in seconds, ``None`` when it gave none."""

    reason = "quota"
    retryable = True


class EntitlementError(ProviderError):
    """The plan behind the key does not include this endpoint."""

    reason = "entitlement"


class KeyRejectedError(ProviderError):
    """The provider does not accept the key, or requires one and got none."""

    reason = "key_rejected"


class UnknownSymbolError(ProviderError):
    """The provider does not know the symbol."""

    reason = "unknown_symbol"


class UnavailableRangeError(ProviderError):
    """The provider refuses the range: it begins before what is kept there, or is longer than what one request gives.

    Another provider may have bars in the range, and this one may have its later part.

    :param earliest: aware UTC, the first moment that can safely be asked for, where the answer contains it.
    """

    reason = "unavailable"

    def __init__(
        self,
        detail: str = "",
        *,
        earliest: datetime | None = None,
        retry_after: float | None = None,
        asked: bool = True,
    ) -> None:
        super().__init__(detail, retry_after=retry_after, asked=asked)
        self.earliest = earliest


class EmptyError(ProviderError):
    """A valid and complete answer that holds no rows for what was asked."""

    reason = "empty"
    reroute = False


class NoPriceError(EmptyError):
    """An answer of the right form without any price: a quote without one, bars that are all null.

    It may be a provider's error: the item ends as empty only when no other provider of its route has a price.
    """

    reason = "no_price"
    reroute = True


class MalformedError(ProviderError):
    """The answer does not have the documented form: truncated, of another type, HTML in place of JSON."""

    reason = "malformed"
