"""Secrets out of everything that is written down: known values, and what looks like one by its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from fintrack_tasks.settings import SECRET_NAMES, Settings

__all__ = ["Masker", "learn", "secrets_of"]

MASK: Final = "[masked]"
_SHORTEST: Final = 4
"""A shorter value would mask half of every line; such passwords are still masked where their place betrays them."""

_BY_NAME: Final = re.compile(r"(?i)(pass(word|wd)?|secret|token|api_?key|authorization|auth|crumb|cookie)$")
_NAME: Final = r"(?<![A-Za-z0-9])(?:[A-Za-z0-9]+[_-]){0,5}?(?:api[_-]?key|token|password|passwd|secret|crumb)"
_IN_TEXT: Final = (
    # The scheme's word and what is behind it: "Authorization: Bearer ..."
    (re.compile(r"""(?i)\b(authorization["']?\s*[=:]\s*["']?)(?:[a-z]+ +)?[^\s"',;]+"""), r"\1" + MASK),
    # name=value and "name": "value"
    (re.compile(rf"""(?i)({_NAME}["']?\s*[=:]\s*["']?)[^\s"'&,;]+"""), r"\1" + MASK),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{6,}"), r"\1 " + MASK),
    (re.compile(r"://[^/\s:@]*:[^/\s@]+@"), "://" + MASK + "@"),
)


_learnt: set[str] = set()


def learn(secrets: Iterable[str]) -> None:
    """Mask these too, in every masker of this process: keys may be exchanged while it runs."""
    _learnt.update(secret for secret in secrets if len(secret) >= _SHORTEST)


def secrets_of(settings: Settings) -> list[str]:
    """Every secret value of the settings, each key of a list by itself."""
    found: list[str] = []
    for name in SECRET_NAMES:
        value = getattr(settings, name.lower()).get_secret_value()
        found += [value, *value.split(",")]
        if "@" in value and "://" in value:  # a URL: its password alone must not show either
            found.append(value.partition("://")[2].rpartition("@")[0].partition(":")[2])
        if ":" in value and "://" not in value:  # user:password
            found.append(value.partition(":")[2])
    return found


class Masker:
    """Replaces secrets in text and in nested values."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._own = {s.strip() for s in secrets if len(s.strip()) >= _SHORTEST}
        self._count = -1
        self._known: re.Pattern[str] | None = None

    def text(self, text: str) -> str:
        """The text without secrets."""
        if len(_learnt) != self._count:
            self._compile()
        if self._known:
            text = self._known.sub(MASK, text)
        for pattern, replacement in _IN_TEXT:
            text = pattern.sub(replacement, text)
        return text

    def _compile(self) -> None:
        self._count = len(_learnt)
        # The longest first, or a part of it would be replaced and the rest left standing.
        plain = self._own | _learnt
        encoded = {form for secret in plain for form in (quote(secret, safe=""), json.dumps(secret)[1:-1])}
        slashed = {form.replace("/", "\\/") for form in plain}  # as some write JSON
        known = sorted(plain | encoded | slashed, key=len, reverse=True)
        self._known = re.compile("|".join(re.escape(s) for s in known)) if known else None

    def value(self, value: Any, name: str = "") -> Any:
        """The value without secrets: text, mappings and lists, however deep; other types by their text when masked."""
        if name and _BY_NAME.search(name) and value not in (None, "", 0, False):
            return MASK
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(each, str(key)) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(each) for each in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.text(str(value))
