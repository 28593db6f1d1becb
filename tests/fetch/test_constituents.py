"""The members of an index, from tables as editors have shaped them over the years; and from the recorded page."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from fintrack_tasks.errors import (
    EntitlementError,
    MalformedError,
    ProviderError,
    QuotaError,
    TransientError,
    UsageError,
)
from fintrack_tasks.fetch.constituents import FACTS, INDICES, Constituent, parse, request
from fintrack_tasks.fetch.providers.base import HttpResponse, Quota

SAMPLE = (
    Path(__file__).resolve().parents[3] / "shared/provider-samples/html/wikipedia-sp500-constituents-2026-05-10.html"
)
NOW = datetime(2026, 11, 1, tzinfo=UTC)
HEADERS = ("Symbol", "Security", "GICS Sector", "GICS Sub-Industry", "Date added", "CIK")
BERKSHIRE = ("BRK.B", "Berkshire Hathaway", "Financials", "Multi-Sector Holdings", "2010-02-16", "0001067983")
FILLING = [
    (f"M{number}", f"Member {number}", "Energy", "Integrated Oil", "1957-03-04", "1") for number in range(1, 500)
]


def row(cells: Sequence[str], kind: str = "td") -> str:
    return "<tr>\n" + "\n".join(f"<{kind}>{cell}\n</{kind}>" for cell in cells) + "</tr>"


def page(
    first: Sequence[str] = BERKSHIRE, headers: Sequence[str] = HEADERS, rows: Sequence[Sequence[str]] = FILLING
) -> str:
    """A page of the index, whose first row is the one that matters."""
    body = "\n".join([row(headers, "th"), row(first), *map(row, rows)])
    table = f'<table class="wikitable sortable" id="constituents">\n<tbody>{body}</tbody></table>'
    changes = '<table id="changes"><tr><th>Symbol</th><th>Security</th></tr><tr><td>OLD</td><td>Gone</td></tr></table>'
    return f"<!DOCTYPE html>\n<html><body><table><tr><td>note</td></tr></table>{table}{changes}</body></html>"


def read(text: str | bytes, status: int = 200) -> list[Constituent]:
    body = text if isinstance(text, bytes) else text.encode()
    return parse("sp500", HttpResponse(status, body), NOW)


# --- what is asked


def test_the_list_of_an_index_is_one_page() -> None:
    assert request("sp500").path == "/wiki/List_of_S%26P_500_companies"
    assert not request("sp500").params


def test_an_unknown_index_is_a_usage_error_that_names_the_known() -> None:
    with pytest.raises(UsageError, match="sp500"):
        request("dax")
    with pytest.raises(UsageError, match="sp500"):
        parse("dax", HttpResponse(200, b""), NOW)


def test_the_facts_are_polite_and_say_who_asks() -> None:
    assert FACTS.name == "wikipedia"
    assert FACTS.base_url == "https://en.wikipedia.org"
    assert FACTS.quotas == (Quota(1, 1.0, burst=1),)
    assert "fintrack-tasks" in FACTS.headers["User-Agent"]
    assert "Mozilla" not in FACTS.headers["User-Agent"]
    assert FACTS.largest_body > 1_000_000  # the whole page is 847 kB


# --- tables


def test_a_member_has_yahoos_symbol_a_name_a_sector_and_a_date() -> None:
    found = read(page())
    assert len(found) == 500
    assert found[0] == Constituent("BRK-B", "Berkshire Hathaway", "Financials", date(2010, 2, 16))
    assert [member.symbol for member in found[1:]] == [cells[0] for cells in FILLING]


def test_columns_are_found_by_their_headers_in_any_order() -> None:
    for order in ((5, 4, 3, 2, 1, 0), (1, 0, 4, 2, 3, 5)):
        moved = page(
            [BERKSHIRE[i] for i in order], [HEADERS[i] for i in order], [[cells[i] for i in order] for cells in FILLING]
        )
        assert read(moved) == read(page())


def test_headers_of_other_years_are_known() -> None:
    older = (
        "Ticker symbol",
        "Company",
        "GICS&#160;Sector",
        "GICS Sub Industry",
        "Date first added<sup>[3]</sup>",
        "CIK",
    )
    assert read(page(headers=older)) == read(page())
    broken = ("SYMBOL", "Security", "GICS<br>Sector", "x", '<a href="#">Date</a> added', "y")
    assert read(page(headers=broken)) == read(page())


@pytest.mark.parametrize(
    ("cells", "member"),
    [
        (
            (" BF.B\n", "Brown&ndash;Forman", "Consumer&nbsp;Staples", "", "1982-10-31", ""),
            Constituent("BF-B", "Brown\N{EN DASH}Forman", "Consumer Staples", date(1982, 10, 31)),
        ),
        (
            ('<a href="/x">T</a><sup id="cite_ref-4"><a>[4]</a></sup>', "AT&amp;T[a]", "<i>Tech</i>", "", "", ""),
            Constituent("T", "AT&T", "Tech", None),
        ),
        (
            ("GE", '<span style="display:none">General</span>General Electric', "", "", "1957-03-04[5]", ""),
            Constituent("GE", "General Electric", None, date(1957, 3, 4)),
        ),
        (("GE", "General<br />Electric", "S", "", "unknown", ""), Constituent("GE", "General Electric", "S", None)),
        (("GE", "GE", "S", "", "June 30, 1964", ""), Constituent("GE", "GE", "S", None)),
        (("GE", "GE", "S", "", "1964", ""), Constituent("GE", "GE", "S", None)),
        (("GE", "GE", "S", "", "1976-07-01 (1957-03-04)", ""), Constituent("GE", "GE", "S", date(1976, 7, 1))),
    ],
)
def test_footnotes_no_break_spaces_and_missing_dates_are_borne(cells: tuple[str, ...], member: Constituent) -> None:
    assert read(page(cells))[0] == member


def test_a_table_without_dates_is_still_a_list() -> None:
    without = [number for number in range(6) if number != 4]
    found = read(
        page([BERKSHIRE[i] for i in without], [HEADERS[i] for i in without], [[c[i] for i in without] for c in FILLING])
    )
    assert {member.date_added for member in found} == {None}


def test_headers_may_stand_in_a_head_of_their_own_and_again_at_the_foot() -> None:
    text = page().replace("<tbody><tr>", "<thead><tr>", 1).replace("</tr>\n<tr>", "</tr></thead><tbody>\n<tr>", 1)
    foot = f'<tfoot>{row(HEADERS, "th")}</tfoot></table><table id="changes">'
    assert read(text.replace('</table><table id="changes">', foot)) == read(page())


def test_a_symbol_that_heads_its_row_is_a_cell_like_the_others() -> None:
    text = page().replace("<td>BRK.B\n</td>", '<th scope="row">BRK.B\n</th>')
    assert read(text) == read(page())


# --- what is no list


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_column_that_is_missing_or_there_twice_is_malformed(column: int) -> None:
    for header in ("Something", HEADERS[(column + 1) % 3]):
        headers = [header if i == column else name for i, name in enumerate(HEADERS)]
        with pytest.raises(MalformedError, match="columns for the"):
            read(page(headers=headers))


@pytest.mark.parametrize(
    "cells",
    [
        ("", *BERKSHIRE[1:]),
        ("brk.b", *BERKSHIRE[1:]),
        ("BRK/B", *BERKSHIRE[1:]),
        ("TOOLONGASYMBOL", *BERKSHIRE[1:]),
        ("BRK.B", "", *BERKSHIRE[2:]),
        ("BRK.B", "[1]", *BERKSHIRE[2:]),
        ("BRK.B", "x" * 500, *BERKSHIRE[2:]),
        (*BERKSHIRE[:4], "2010-02-31", "1"),
        BERKSHIRE[:5],
        (*BERKSHIRE, "more"),
        ("M7", *BERKSHIRE[1:]),
        (),
    ],
)
def test_one_wrong_row_refuses_the_whole_list(cells: tuple[str, ...]) -> None:
    with pytest.raises(MalformedError) as caught:
        read(page(cells))
    assert len(str(caught.value)) < 200


def test_a_cell_that_spans_others_is_malformed() -> None:
    with pytest.raises(MalformedError, match="cells"):
        read(page().replace("<td>BRK.B\n</td>\n<td>", '<td colspan="2">BRK.B '))


def test_fewer_members_than_the_index_has_are_malformed() -> None:
    assert INDICES["sp500"].fewest >= 480
    assert len(read(page(rows=FILLING[:479]))) == 480
    with pytest.raises(MalformedError, match="479 members"):
        read(page(rows=FILLING[:478]))


def test_a_page_that_is_cut_is_malformed_even_behind_the_fewest() -> None:
    text = page()
    for end in (text.index("M490"), text.index("M490") + 2, text.index('<table id="changes">') - len("</table>")):
        with pytest.raises(MalformedError, match="cut"):
            read(text[:end])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "null",
        "<html><body>Our servers are currently under maintenance</body></html>",
        page().replace('id="constituents"', 'id="others"'),
        '<table id="constituents"></table>',
        '<table id="constituents"><tr></tr></table>',
        '<div id="constituents">text</div>',
        page().replace("<th>", "<td>").replace("</th>", "</td>"),
        page().replace("<tr>", "<p>").replace("</tr>", "</p>"),
        "\x00" * 100,
    ],
)
def test_another_page_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        read(text)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (429, QuotaError),
        (500, TransientError),
        (503, TransientError),
        (403, EntitlementError),
        (404, MalformedError),
        (301, MalformedError),
    ],
)
def test_a_status_that_is_not_200_is_never_a_list(status: int, meaning: type[ProviderError]) -> None:
    with pytest.raises(meaning):
        read(page(), status)


def test_a_deep_page_ends_in_an_error() -> None:
    for tags in ("<tr><td><b>", "<sup>", "<table>", "<br>", "<p>"):
        with pytest.raises(MalformedError):
            read(f'<table id="constituents">{tags * 5_000}</table>')


PIECES = ["<", ">", "</td>", "<td>", "</tr>", "<tr>", "</table>", "<table>", '"', "&", "&#0;", "<!--", "-->", "<sup>"]
PIECES += ["<br>", "<th>", "</th>", "[", "]", ".", "-", "\x00", "é", "<script>", "<![CDATA[", "colspan=2", "\n", "A"]


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """A right page with some text replaced, inserted or cut out among its headers, its first or its last rows."""
    text = page()
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.sampled_from(["constituents", "Symbol", "BRK.B", "M1\n", "M499", "</table>"]))
        start = max(0, text.find(place)) + draw(st.integers(-20, 150))
        start = max(0, start)
        text = text[:start] + draw(st.sampled_from(PIECES)) + text[start + draw(st.sampled_from([0, 1, 5, 40])) :]
    return text[: draw(st.none() | st.integers(0, len(text)))].encode()


@profile(max_examples=int(os.environ.get("FINTRACK_EXAMPLES", "60")), deadline=None)
@given(body=bent() | st.binary(max_size=100))
def test_a_bent_page_gives_a_whole_list_or_a_typed_error(body: bytes) -> None:
    seen: list[Constituent] | ProviderError
    try:
        seen = read(body)
    except ProviderError as error:
        seen = error
    if isinstance(seen, list):
        assert len({member.symbol for member in seen}) == len(seen) >= 480
        assert all(re.fullmatch(r"[A-Z][A-Z0-9]*(-[A-Z0-9]+)?", member.symbol) for member in seen)
        assert all(member.name.strip() == member.name != "" for member in seen)
    else:
        assert type(seen) is not ProviderError
        assert "\n" not in str(seen)
        assert len(str(seen)) < 400


# --- the recorded page


@pytest.mark.skipif(not SAMPLE.is_file(), reason="no recorded answers at ../shared/provider-samples")
def test_the_recorded_page_of_may_2026() -> None:
    """Expected values were read off the file by hand."""
    found = {member.symbol: member for member in read(SAMPLE.read_bytes())}
    assert len(found) == 503
    assert next(iter(found)) == "MMM"
    assert found["MMM"] == Constituent("MMM", "3M", "Industrials", date(1957, 3, 4))
    assert found["BRK-B"] == Constituent("BRK-B", "Berkshire Hathaway", "Financials", date(2010, 2, 16))
    assert found["ZTS"] == Constituent("ZTS", "Zoetis", "Health Care", date(2013, 6, 21))
    assert {symbol for symbol in found if "-" in symbol} == {"BRK-B", "BF-B"}
    assert len({member.sector for member in found.values()}) == 11
    assert all(member.date_added for member in found.values())
    with pytest.raises(MalformedError, match="cut"):
        read(SAMPLE.read_bytes()[: -len("</tbody></table>")])


# --- pages made to fill a memory, or to take for ever


def test_more_tags_than_the_page_has_are_not_parsed() -> None:
    with pytest.raises(MalformedError, match="more tags"):
        read(page().replace("</table>", "<b>" * 100_001 + "</table>", 1))


@pytest.mark.parametrize("start", ["id=constituents ", '<p id="constituents">', "<table id=constituents>"])
def test_a_page_of_many_beginnings_and_no_end_is_read_once(start: str) -> None:
    """Each of them was once looked through to the end of the page: two megabytes took hours."""
    with pytest.raises(MalformedError):
        read(start * 30_000)


@pytest.mark.parametrize("tag", ["<b>", "<td>", "<p style='display:none'>", "<table>"])
def test_deep_nesting_inside_the_table_ends_in_a_typed_error(tag: str) -> None:
    with pytest.raises(MalformedError):
        read(page().replace("<tbody>", f"<tbody><tr><td>{tag * 20_000}", 1))
