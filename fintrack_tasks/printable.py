"""Untrusted text made safe to show: control and invisible characters are escaped.

A company's name, a note or a file's name may hold ESC, NUL, a change of direction or half a character. Shown as it is
it would move the cursor, hide text before it, or be refused by PostgreSQL, an SVG or the terminal's encoding.
"""

from __future__ import annotations

import unicodedata

__all__ = ["printable"]


def printable(text: str, keep: str = "") -> str:
    """The text with every other character spelled as Python does (``\\x1b``), and spaces of any kind as spaces.

    :param keep: characters that may stay, such as a line break.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else _spelled(each) for each in text)


def _spelled(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode("ascii")
