"""Masking of secrets in logs and stored text: known values in any encoding, and values beside names of secrets."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, unquote_plus

from fintrack_tasks.settings import SECRET_NAMES, Settings

__all__ = ["MASK", "Masker", "add_secrets", "secrets_of", "spellings"]

MASK: Final = "[masked]"
_SHORTEST: Final = 4
"""A shorter value is masked only as a word of its own: it would mask a part of half the words of every line."""

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


_ESCAPES: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}

_added: set[str] = set()


def add_secrets(secrets: Iterable[str]) -> None:
    """Mask these too, in every masker of this process: keys may be exchanged while it runs."""
    _added.update(secret for secret in secrets if secret.strip())


def secrets_of(settings: Settings) -> list[str]:
    """Every secret value of the settings, and each part of it that is a secret by itself.

    A list of keys has its keys, a compound key (``key:secret:passphrase``, ``user:password``) its parts behind the
    first, and a URL its password, also where that stands in the query.
    """
    found: list[str] = []
    for name in SECRET_NAMES:
        value = getattr(settings, name.lower()).get_secret_value()
        for part in {value, *value.split(",")} if "://" not in value else {value}:
            found += _parts(part.strip(), name)
    return found


def _parts(value: str, name: str) -> list[str]:
    if "://" in value:
        rest = value.partition("://")[2]
        password = rest.rpartition("@")[0].partition(":")[2]
        query = [text for key, text in parse_qsl(rest.partition("?")[2]) if _BY_NAME.search(key)]
        # An URL without any secret in it (redis://localhost:6379/0) is an address, and stands in many a line.
        return [value, password, *query] if password or query else []
    first, *others = value.split(":")
    # The key of key:secret:passphrase names an account at the provider; the user of user:password is no secret.
    return [value, *others, *([first] if others and name.startswith("API_KEY_") else [])]


@lru_cache(maxsize=256)
def spellings(secret: str) -> str:
    """A regular expression that finds a secret however it is spelled.

    Each of its characters raw, percent-encoded (once to three times, also as ``+``), escaped as in JSON, in ``repr`` of
    text or bytes, or as in HTML, in any mixture; and the same of what the secret means percent-decoded.
    """
    meant = _longest_first({secret, unquote(secret), unquote_plus(secret)})
    spelled = ["".join(f"(?:{'|'.join(_forms(character))})" for character in text) for text in meant]
    if len(secret) < _SHORTEST:
        spelled = [rf"(?<![A-Za-z0-9]){text}(?![A-Za-z0-9])" for text in spelled]
    return "|".join(spelled)


def _longest_first(texts: Iterable[str]) -> list[str]:
    return sorted({text for text in texts if text}, key=lambda text: (-len(text), text))


def _forms(character: str) -> list[str]:
    # Every repetition is bounded: a body of backslashes must not cost the square of its length. Every form begins with
    # one literal character, which lets the search skip all others.
    code, encoded = ord(character), character.encode("utf-8", "surrogatepass")
    forms = ["".join(f"%(?:25){{0,2}}{_hex(f'{byte:02x}')}" for byte in encoded)]
    forms += [rf"&#0{{0,4}}{code};", rf"&#[xX]0{{0,4}}{_hex(f'{code:x}')};"]
    units = character.encode("utf-16-be", "surrogatepass").hex()
    forms.append("".join(rf"\\\\{{0,3}}u{_hex(units[at : at + 4])}" for at in range(0, len(units), 4)))
    forms.append(rf"\\\\{{0,3}}U{_hex(f'{code:08x}')}")
    forms.append("".join(rf"\\\\{{0,3}}x{_hex(f'{byte:02x}')}" for byte in encoded))
    if code < 256:
        forms.append(rf"\\\\{{0,3}}x{_hex(f'{code:02x}')}")
    if character == " ":
        forms.append(r"\+")
    if character in "\"'\\/":
        forms.append(r"\\\\{0,3}" + re.escape(character))
    if character in _ESCAPES:
        forms.append(r"\\\\{0,3}" + _ESCAPES[character])
    if (named := html.escape(character)) != character:
        forms.append(named)
    return [*forms, re.escape(character)]  # last: a raw % or \\ is the beginning of the encoded one


def _hex(digits: str) -> str:
    """The digits in either case."""
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)


class Masker:
    """Replaces secrets in text and in nested values."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._own = {s.strip() for s in secrets if s.strip()}
        self._compiled_for: set[str] | None = None
        self._spelled: list[re.Pattern[str]] = []

    def text(self, text: str) -> str:
        """The text without secrets."""
        if _added != self._compiled_for:
            self._compile()
        for pattern in self._spelled:
            text = pattern.sub(MASK, text)
        for pattern, replacement in _IN_TEXT:
            text = pattern.sub(replacement, text)
        return text

    def _compile(self) -> None:
        self._compiled_for = set(_added)
        # The longest first, or a part of it would be replaced and the rest left standing.
        # One pattern each: the search for a single one skips what none of its spellings begins with.
        self._spelled = [re.compile(spellings(secret)) for secret in _longest_first(self._own | _added)]

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
