"""The members of an index, from a public HTML table: Wikipedia's list of S&P 500 companies.

Like a provider it is declared facts with pure :func:`request` and :func:`parse`; it is not one, since it has no prices.
Columns are found by their headers, because editors move them; a list that may be incomplete is refused as a whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.errors import EntitlementError, MalformedError, UsageError
from fintrack_tasks.fetch.providers.answers import raise_for_status
from fintrack_tasks.fetch.providers.base import Facts, HttpRequest, HttpResponse, Quota

if TYPE_CHECKING:
    from bs4 import Tag

__all__ = ["FACTS", "INDICES", "Constituent", "parse", "request"]

FACTS: Final = Facts(
    name="wikipedia",
    base_url="https://en.wikipedia.org",
    asset_classes=frozenset({AssetClass.STOCK}),
    kinds=frozenset(),
    intervals=frozenset(),
    page_size=1,
    quotas=(Quota(1, 1.0, burst=1),),
    # The foundation's policy: a client identifies itself and does not pretend to be a browser.
    headers={"User-Agent": "fintrack-tasks (market-data ETL; lists of index members)", "Accept": "text/html"},
    largest_body=2 * 1024 * 1024,  # the page has 0.9 MB
)

_SYMBOL: Final = re.compile(r"[A-Z][A-Z0-9]{0,5}(?:[.-][A-Z0-9]{1,2})?")
_DATE: Final = re.compile(r"(?<![0-9])([0-9]{4}-[0-9]{2}-[0-9]{2})(?![0-9])")
_HIDDEN: Final = re.compile(r"display:\s*none")
_FOOTNOTE: Final = re.compile(r"\[[^\]]{1,12}\]")
_LONGEST: Final = 120
_MOST_TAGS: Final = 100_000
"""The whole page has some 50,000. Each costs a kilobyte or more once it is parsed."""
_DEEPEST: Final = 100
_END: Final = b"</table"
_HEADERS: Final = MappingProxyType(
    {
        "symbol": {"symbol", "ticker", "ticker symbol"},
        "name": {"security", "company", "company name", "name"},
        "sector": {"gics sector", "sector"},
        "date_added": {"date added", "date first added"},
    }
)
"""A field to its column's headers over the years. Only the date may be absent."""


@dataclass(frozen=True, slots=True)
class _Index:
    path: str
    table: str
    fewest: int
    """Fewer members are a part of the list, or another list."""


INDICES: Final = MappingProxyType({"sp500": _Index("/wiki/List_of_S%26P_500_companies", "constituents", 480)})
"""The indices whose members are known here, by the name that a person gives."""


@dataclass(frozen=True, slots=True)
class Constituent:
    """A member of an index.

    :param symbol: in Yahoo's form, ``BRK-B`` where the page has ``BRK.B``.
    :param date_added: since when it is a member; ``None`` where the page has no full date.
    """

    symbol: str
    name: str
    sector: str | None
    date_added: date | None


def request(index: str) -> HttpRequest:
    """The page that lists an index.

    :raises UsageError: names the indices that there are.
    """
    return HttpRequest(_find_index(index).path, endpoint="wiki")


def parse(index: str, response: HttpResponse, now: datetime) -> list[Constituent]:
    """All members in the page's order, each once; never a part of them.

    :raises fintrack_tasks.errors.ProviderError: the subclass says what the answer means.
    :raises UsageError: names the indices that there are.
    """
    known = _find_index(index)
    raise_for_status(response, now)
    if response.status == 403:
        raise EntitlementError("the page is refused to this client (HTTP status 403)")
    if response.status != 200:
        raise MalformedError(f"HTTP status {response.status}")
    names, rows = _table(response.body, known.table)
    columns = {field: _column(field, names) for field in _HEADERS}
    found = [_member(position, row, len(names), columns) for position, row in enumerate(rows, start=1)]
    if len(found) < known.fewest:
        raise MalformedError(f"{len(found)} members, where {index} has {known.fewest} at the least")
    symbol, times = Counter(member.symbol for member in found).most_common(1)[0]
    if times > 1:
        raise MalformedError(f"{symbol} stands there {times} times")
    return found


def _find_index(index: str) -> _Index:
    try:
        return INDICES[index]
    except KeyError:
        raise UsageError(f"no index {index!r:.40}; the indices are {', '.join(INDICES)}") from None


def _table(page: bytes, name: str) -> tuple[list[str], list[list[str]]]:
    """The headers, and the cells of each row of members, as plain text."""
    from bs4 import BeautifulSoup, Tag  # noqa: PLC0415  the names of the indices are asked for without it
    from bs4.exceptions import ParserRejectedMarkup  # noqa: PLC0415  see above
    from bs4.filter import SoupStrainer  # noqa: PLC0415  see above

    _raise_if_beyond(page)
    try:
        soup = BeautifulSoup(page, "lxml", parse_only=SoupStrainer("table", id=name), from_encoding="utf-8")
    except ParserRejectedMarkup:
        raise MalformedError("no HTML where a page was promised") from None
    table = soup.find("table")
    if not isinstance(table, Tag):
        raise MalformedError(f"no table {name!r} on the page")
    start = re.search(rb"\bid=[\"']?%b\b" % name.encode(), page, re.IGNORECASE)
    if start is None or _END not in page[start.end() :].lower():
        raise MalformedError("the table has no end: the page is cut")  # the parser would close it unasked
    for unread in [*table.find_all(["sup", "style", "script"]), *table.find_all(style=_HIDDEN)]:
        unread.decompose()
    for line_break in table.find_all("br"):
        line_break.append(" ")
    bodies = [table, *table.find_all(["thead", "tbody", "tfoot"], recursive=False)]
    rows = [row for body in bodies for row in body.find_all("tr", recursive=False)]
    if not rows or rows[0].find("td", recursive=False) or not (names := _cells(rows[0])):
        raise MalformedError("the table's first row is none of headers")
    # Long tables may repeat their headers at the foot.
    return names, [cells for row in rows[1:] if (cells := _cells(row)) != names]


def _raise_if_beyond(page: bytes) -> None:
    """Refuse what a tree could not be made of in bounded time and memory; each level costs every tag inside it."""
    from lxml import etree  # noqa: PLC0415  see _table

    if page.count(b"<") > _MOST_TAGS:
        raise MalformedError("more tags than a page of members has")
    parser = etree.HTMLParser(target=_Nesting(), encoding="utf-8", no_network=True, huge_tree=False)
    try:
        parser.feed(page)
        parser.close()
    except etree.LxmlError:
        raise MalformedError("no HTML where a page was promised") from None


class _Nesting:
    """A target of lxml's parser that counts how deep the tags are nested."""

    def __init__(self) -> None:
        self._depth = 0

    def start(self, _tag: str, _attributes: object) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise MalformedError("tags nested deeper than on a page of members")

    def end(self, _tag: str) -> None:
        self._depth -= 1

    def close(self) -> None:
        """The end of the page."""


def _cells(row: Tag) -> list[str]:
    """The texts of a row's cells, without footnotes; split() knows the no-break space."""
    cells = row.find_all(["th", "td"], recursive=False)
    return [" ".join(_FOOTNOTE.sub("", cell.get_text()).split()) for cell in cells]


def _column(field: str, names: Sequence[str]) -> int | None:
    columns = [i for i, name in enumerate(names) if name.lower() in _HEADERS[field]]
    if len(columns) > 1 or (not columns and field != "date_added"):
        raise MalformedError(f"{len(columns)} columns for the {field} of a member")
    return columns[0] if columns else None


def _member(position: int, row: Sequence[str], width: int, columns: dict[str, int | None]) -> Constituent:
    if len(row) != width:
        raise MalformedError(f"row {position} has {len(row)} cells, the headers are {width}")
    cells = {field: "" if i is None else row[i] for field, i in columns.items()}
    if not _SYMBOL.fullmatch(cells["symbol"]):
        raise MalformedError(f"row {position}: no symbol: {cells['symbol']!r:.40}")
    if not cells["name"] or len(cells["name"]) > _LONGEST or len(cells["sector"]) > _LONGEST:
        raise MalformedError(f"row {position}: no name or sector of a company")
    symbol = cells["symbol"].replace(".", "-")
    return Constituent(symbol, cells["name"], cells["sector"] or None, _date(position, cells["date_added"]))


def _date(position: int, text: str) -> date | None:
    match = _DATE.search(text)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        raise MalformedError(f"row {position}: no date: {text!r:.40}") from None
