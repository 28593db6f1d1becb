"""Each known trap of the ECB's files, in the smallest file that has it."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from fintrack_tasks.domain import (
    BATCH_LIMIT,
    AssetClass,
    Batch,
    FxRate,
    Interval,
    Kind,
    TimeRange,
    to_micros,
)
from fintrack_tasks.errors import (
    EmptyError,
    EntitlementError,
    MalformedError,
    ProviderError,
    QuotaError,
    TransientError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers.base import HttpRequest, HttpResponse, Quota
from fintrack_tasks.fetch.providers.ecb import PROVIDER, rates
from tests.fetch.providers.asking import ALL_TIME, answer, question

NOW = datetime(2024, 7, 10, 18, 30, tzinfo=UTC)  # a Wednesday; 20:30 in Frankfurt
SPACES = (
    'xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref"'
)
WEEK = {
    "2024-07-10": {"USD": "1.0830", "JPY": "174.95", "GBP": "0.84420"},
    "2024-07-09": {"USD": "1.0814", "JPY": "174.16", "GBP": "0.84495"},
    "2024-07-08": {"USD": "1.0835", "JPY": "174.26"},
}


def xml(days: Mapping[str, Mapping[str, str]] = WEEK, quote: str = '"', before: str = "") -> bytes:
    """A file of rates, newest day first as the ECB has them."""
    cubes = "".join(
        f"<Cube time={quote}{day}{quote}>"
        + "".join(f"<Cube currency={quote}{c}{quote} rate={quote}{r}{quote}/>" for c, r in rated.items())
        + "</Cube>\n"
        for day, rated in days.items()
    )
    sender = "<gesmes:Sender><gesmes:name>European Central Bank</gesmes:name></gesmes:Sender>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{before}<gesmes:Envelope {SPACES}>'
        f"<gesmes:subject>Reference rates</gesmes:subject>{sender}<Cube>{cubes}</Cube></gesmes:Envelope>"
    ).encode()


def parse(
    body: bytes, symbol: str = "EURUSD=X", window: TimeRange | None = ALL_TIME, status: int = 200, now: datetime = NOW
) -> Batch:
    """Daily bars inside the window; without one, the quote."""
    ask = question(symbol, Interval.D1 if window else None, now, window or ALL_TIME, AssetClass.FOREX)
    return PROVIDER.parse(ask, answer(body, status))


def request(start: datetime | None = None, symbol: str = "EURUSD=X", now: datetime = NOW) -> HttpRequest:
    if start is None:
        return PROVIDER.request(question(symbol, None, now, asset_class=AssetClass.FOREX))
    day = TimeRange(start, start + timedelta(days=1))
    return PROVIDER.request(question(symbol, Interval.D1, now, day, AssetClass.FOREX))


# --- what is asked


def test_a_quote_asks_for_the_file_of_the_newest_day() -> None:
    assert request() == HttpRequest("/stats/eurofxref/eurofxref-daily.xml", endpoint="eurofxref-daily")


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (datetime(2024, 7, 10, tzinfo=UTC), "eurofxref-daily"),
        (datetime(2024, 7, 9, tzinfo=UTC), "eurofxref-hist-90d"),
        (datetime(2024, 4, 16, tzinfo=UTC), "eurofxref-hist-90d"),
        (datetime(2024, 4, 1, tzinfo=UTC), "eurofxref-hist"),
        (datetime(1999, 1, 4, tzinfo=UTC), "eurofxref-hist"),
    ],
)
def test_bars_ask_for_the_smallest_file_that_holds_the_window(start: datetime, name: str) -> None:
    assert request(start).path == f"/stats/eurofxref/{name}.xml"


def test_the_newest_day_is_frankfurts() -> None:
    """23:00 UTC in July is one in the morning there: yesterday's window is no longer the newest day's."""
    late = datetime(2024, 7, 10, 23, tzinfo=UTC)
    assert request(datetime(2024, 7, 10, tzinfo=UTC), now=late).endpoint == "eurofxref-hist-90d"


@pytest.mark.parametrize("symbol", ["USDJPY=X", "USDEUR=X", "EUREUR=X", "INR=X", "EURUSD", "XEURUSD=X", "EURUS=X"])
def test_what_is_no_euro_pair_is_unknown_before_it_is_asked_for(symbol: str) -> None:
    """An inverse would be a number that the ECB never published."""
    with pytest.raises(UnknownSymbolError, match="what a euro buys") as caught:
        request(symbol=symbol)
    assert symbol in str(caught.value)
    with pytest.raises(UnknownSymbolError, match="what a euro buys"):
        parse(xml(), symbol)


def test_the_facts_are_polite_and_leave_room_for_all_days() -> None:
    facts = PROVIDER.facts
    assert facts.quotas == (Quota(1, 1.0, burst=1),)
    assert facts.key is None
    assert facts.serves(AssetClass.FOREX, Kind.BARS, Interval.D1)
    assert facts.serves(AssetClass.FOREX, Kind.QUOTE)
    assert not facts.serves(AssetClass.FOREX, Kind.BARS, Interval.H1)
    assert not facts.serves(AssetClass.CRYPTO, Kind.QUOTE)
    assert facts.largest_body > 16 * 1024 * 1024  # 7,000 days of 30 to 40 currencies are some 8 MB


# --- quotes


@pytest.mark.parametrize(
    ("day", "published"),
    [
        ("2024-07-10", datetime(2024, 7, 10, 14, 0, tzinfo=UTC)),
        ("2024-01-10", datetime(2024, 1, 10, 15, 0, tzinfo=UTC)),
        ("2024-03-28", datetime(2024, 3, 28, 15, 0, tzinfo=UTC)),
        ("2024-04-02", datetime(2024, 4, 2, 14, 0, tzinfo=UTC)),
    ],
)
def test_a_quote_is_stamped_at_sixteen_hours_in_frankfurt(day: str, published: datetime) -> None:
    """In summer and in winter."""
    row = parse(xml({day: {"USD": "1.0830"}}), window=None).row(0)
    assert row == {"timestamp": to_micros(published), "price": "1.0830"}


def test_the_newest_day_is_the_quote_wherever_it_stands() -> None:
    upside_down = dict(reversed(WEEK.items()))
    batch = parse(xml(upside_down), "EURJPY=X", None)
    assert (batch.columns["price"], batch.currency) == (["174.95"], "JPY")
    assert (batch.kind, batch.interval, batch.source) == (Kind.QUOTE, None, "ecb")
    assert batch.meta == {"reference_rate": True}


def test_a_rate_that_came_early_is_not_stamped_in_the_future() -> None:
    early = datetime(2024, 7, 10, 13, 57, tzinfo=UTC)
    assert parse(xml(), window=None, now=early).columns["timestamp"] == [to_micros(early)]


# --- bars


def test_a_bar_has_the_rate_four_times_and_no_volume() -> None:
    batch = parse(xml())
    stamps = [to_micros(datetime(2024, 7, day, tzinfo=UTC)) for day in (8, 9, 10)]
    rated = ["1.0835", "1.0814", "1.0830"]
    nothing = [None] * 3
    assert batch.columns == {
        "timestamp": stamps, "open": rated, "high": rated, "low": rated, "close": rated, "adj_close": nothing,
        "volume": nothing,
    }  # fmt: skip
    assert (batch.currency, batch.interval, batch.meta) == ("USD", Interval.D1, {"reference_rate": True})


def test_single_and_double_quotes_and_other_prefixes_are_one() -> None:
    expected = parse(xml()).columns
    assert parse(xml(quote="'")).columns == expected
    other = xml().replace(b"gesmes:", b"g:").replace(b"xmlns:gesmes", b"xmlns:g")
    assert parse(other).columns == expected
    named = xml().replace(b"<Cube", b"<e:Cube").replace(b"</Cube", b"</e:Cube").replace(b" xmlns=", b" xmlns:e=")
    assert parse(named).columns == expected
    assert parse(b"\xef\xbb\xbf" + xml()).columns == expected


def test_names_of_another_namespace_are_no_rates() -> None:
    with pytest.raises(MalformedError):
        parse(xml().replace(b"eurofxref", b"something-else"))
    with pytest.raises(MalformedError, match="Envelope"):
        parse(xml().replace(b"www.gesmes.org", b"www.example.org"))


def test_rows_stay_inside_the_window_whose_end_is_open() -> None:
    window = TimeRange(datetime(2024, 7, 8, tzinfo=UTC), datetime(2024, 7, 10, tzinfo=UTC))
    assert parse(xml(), window=window).columns["close"] == ["1.0835", "1.0814"]


def test_a_day_that_has_no_rate_yet_is_empty() -> None:
    morning = datetime(2024, 7, 11, 8, tzinfo=UTC)
    window = TimeRange(datetime(2024, 7, 11, tzinfo=UTC), datetime(2024, 7, 12, tzinfo=UTC))
    with pytest.raises(EmptyError):
        parse(xml({"2024-07-10": {"USD": "1.0830"}}), window=window, now=morning)


def test_a_currency_that_was_not_quoted_on_a_day_has_no_bar_there() -> None:
    assert parse(xml(), "EURGBP=X").columns["close"] == ["0.84495", "0.84420"]
    cell = {"2024-07-10": {"USD": "N/A", "GBP": "0.84420"}, "2024-07-09": {"USD": "1.0814", "GBP": ""}}
    assert parse(xml(cell)).columns["close"] == ["1.0814"]
    assert parse(xml(cell), "EURGBP=X").columns["close"] == ["0.84420"]


def test_a_currency_that_the_file_lacks_altogether_is_unknown() -> None:
    for window in (ALL_TIME, None):
        with pytest.raises(UnknownSymbolError, match="RUB"):
            parse(xml(), "EURRUB=X", window)


def test_more_days_than_a_batch_holds_are_malformed() -> None:
    days = {f"{date(2015, 1, 1) + timedelta(days=n)}": {"USD": "1.1"} for n in range(BATCH_LIMIT + 1)}
    with pytest.raises(MalformedError, match="1001"):
        parse(xml(days))


# --- all currencies


def test_the_rates_of_an_answer_are_exact_and_oldest_first() -> None:
    found = rates(HttpResponse(200, xml()), NOW)
    assert len(found) == 8
    assert found[0] == FxRate("EUR", "USD", datetime(2024, 7, 8, 14, tzinfo=UTC), Decimal("1.0835"), "ecb")
    assert found[-1] == FxRate("EUR", "GBP", datetime(2024, 7, 10, 14, tzinfo=UTC), Decimal("0.84420"), "ecb")
    assert str(found[-1].rate) == "0.84420"


def test_the_rates_of_no_answer_are_an_error() -> None:
    for response, meaning in ((HttpResponse(503, b""), TransientError), (HttpResponse(200, b"{}"), MalformedError)):
        with pytest.raises(meaning):
            rates(response, NOW)


# --- the CSV form

CSV = (
    "Date,USD,JPY,CYP,GBP,\n"
    "2024-07-10,1.0830,174.95,N/A,0.84420,\n"
    "2024-07-09,1.0814,174.16,N/A,0.84495,\n"
    "2024-07-08,1.0835,174.26,N/A,N/A,\n"
)


def test_the_csv_form_has_not_available_cells_and_a_nameless_last_column() -> None:
    assert parse(CSV.encode(), "EURGBP=X").columns == parse(xml(), "EURGBP=X").columns
    assert {rate.quote for rate in rates(HttpResponse(200, CSV.encode()), NOW)} == {"USD", "JPY", "GBP"}
    with pytest.raises(UnknownSymbolError, match="CYP"):
        parse(CSV.encode(), "EURCYP=X")


@pytest.mark.parametrize(
    "text",
    [
        CSV[:-1],
        CSV[:-6],
        CSV.replace("174.26,N/A,N/A,", "174.26,N/A,"),
        CSV.replace("Date,USD", "Date,dollar"),
        CSV.replace("JPY", "USD"),
        CSV.replace("1.0830", "one"),
        CSV.replace("2024-07-10", "10 July 2024"),
        CSV.replace("CYP", ""),
        CSV.replace("0.84495,", "0.84495,7"),
        CSV.replace("1.0830", "1.083é"),
        "Date,\n",
    ],
)
def test_a_csv_that_is_cut_or_wrong_is_malformed(text: str) -> None:
    for window in (ALL_TIME, None):
        with pytest.raises(MalformedError):
            parse(text.encode(), window=window)


# --- wrong answers


@pytest.mark.parametrize("end", [0, 1, 40, 200, 400, 500, -1])
def test_a_cut_file_is_malformed_however_many_days_it_holds(end: int) -> None:
    with pytest.raises(MalformedError):
        parse(xml()[:end])


@pytest.mark.parametrize(
    "rate",
    [
        "0",
        "0.000",
        "-1.08",
        "+1.08",
        "1e3",
        "NaN",
        "Infinity",
        "1,0830",
        "1.",
        ".5",
        "1_0",
        "\u0661.\u0665",
        "1" * 40,
        "one",
    ],
)
def test_a_rate_that_is_no_plain_number_above_nought_is_malformed(rate: str) -> None:
    for window in (ALL_TIME, None):
        with pytest.raises(MalformedError, match="USD"):
            parse(xml({"2024-07-10": {"USD": rate}}), window=window)


@pytest.mark.parametrize(
    "day",
    [
        "",
        "2024-7-10",
        "20240710",
        "2024-W28-3",
        "2024-02-30",
        "2024-07-10T00:00",
        "\u0662\u0660\u0662\u0664-07-10",
        "2024-07-11",
    ],
)
def test_a_date_that_is_none_or_still_to_come_is_malformed(day: str) -> None:
    with pytest.raises(MalformedError, match=r"date of rates|still to come"):
        parse(xml({day: {"USD": "1.0830"}}))


def test_what_stands_twice_is_malformed() -> None:
    """One of the two would be wrong."""
    with pytest.raises(MalformedError, match="twice"):
        parse(xml().replace(b"2024-07-09", b"2024-07-10"))
    with pytest.raises(MalformedError, match="twice"):
        parse(xml().replace(b'"JPY"', b'"USD"'))


@pytest.mark.parametrize(
    "body",
    [
        xml().replace(b' rate="1.0830"', b""),
        xml().replace(b'currency="USD" ', b""),
        xml().replace(b'currency="USD"', b'currency="usd"'),
        xml().replace(b"</Cube>\n", b"<b>bold</b></Cube>\n", 1),
        xml({}),
        xml({"2024-07-10": {"USD": "1.1"}}).replace(b"time=", b"when="),
        b"<html><body>Service Unavailable</body></html>",
        b"<!DOCTYPE html><html><body></body></html>",
        b"\x1f\x8b\x08\x00",
    ],
)
def test_another_shape_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(body)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (429, QuotaError),
        (500, TransientError),
        (503, TransientError),
        (403, EntitlementError),
        (404, MalformedError),
        (302, MalformedError),
    ],
)
def test_a_status_that_is_not_200_is_never_rates(status: int, meaning: type[ProviderError]) -> None:
    with pytest.raises(meaning):
        parse(xml(), status=status)


# --- entities and other attacks


@pytest.mark.parametrize(
    "declared",
    [
        '<!ENTITY x SYSTEM "file:///etc/passwd">',
        '<!ENTITY x SYSTEM "http://127.0.0.1:9/x">',
        '<!ENTITY x "1.0830">',
        '<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;',
    ],
)
def test_an_entity_is_never_resolved(declared: str) -> None:
    body = xml({"2024-07-10": {"USD": "&x;"}}, before=f"<!DOCTYPE r [{declared}]>")
    with pytest.raises(MalformedError, match="document type") as caught:
        parse(body)
    assert "root:" not in str(caught.value)


def test_an_external_document_type_is_not_fetched() -> None:
    with pytest.raises(MalformedError, match="document type"):
        parse(xml(before='<!DOCTYPE r SYSTEM "http://127.0.0.1:9/rates.dtd">'))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-7"])
def test_another_encoding_hides_no_document_type(encoding: str) -> None:
    text = xml({"2024-07-10": {"USD": "&x;"}}, before='<!DOCTYPE r [<!ENTITY x "1.0830">]>').decode()
    with pytest.raises(MalformedError):
        parse(text.replace("UTF-8", encoding.upper()).encode(encoding))


def test_a_billion_laughs_take_no_memory() -> None:
    laughs = '<!ENTITY l0 "ha">' + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    body = xml({"2024-07-10": {"USD": "&l9;"}}, before=f"<!DOCTYPE r [{laughs}]>")
    tracemalloc.start()
    with pytest.raises(MalformedError):
        parse(body)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_deep_nesting_and_long_text_end_in_an_error() -> None:
    for body in (b"<a>" * 100_000, xml().replace(b"<Cube>", b"<Cube>" * 5_000), b"<" * 1_000_000):
        with pytest.raises(MalformedError) as caught:
            parse(body)
        assert len(str(caught.value)) < 400


def test_a_parsers_complaint_stays_one_line() -> None:
    with pytest.raises(MalformedError) as caught:
        parse(xml().replace(b"</gesmes:Envelope>", b"</gesmes:\nEnvelope" + b"x" * 5_000 + b">"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


PIECES = [
    b"<",
    b">",
    b'"',
    b"'",
    b"&",
    b"&#0;",
    b"&lt;",
    b"]]>",
    b"<Cube ",
    b"/>",
    b"</Cube>",
    b"time=",
    b"N/A",
    b"NaN",
]
PIECES += [b"1e9", b"-", b"\x00", b"\xff", b"2024-07-10", b"USD", b"<!--", b"<![CDATA[", b"<?x ?>", b"\n", b","]


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """A right file with some bytes replaced, inserted or cut out, perhaps cut."""
    body = draw(st.sampled_from([xml(), CSV.encode()]))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(body)))
        length = draw(st.sampled_from([0, 1, 2, 7, 30]))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=4))
        body = body[:start] + piece + body[start + length :]
    return body[: draw(st.none() | st.integers(0, len(body)))]


@profile(max_examples=int(os.environ.get("FINTRACK_EXAMPLES", "400")))
@given(body=bent() | st.binary(max_size=100), window=st.sampled_from([ALL_TIME, None]))
def test_a_bent_file_gives_plain_positive_numbers_or_a_typed_error(body: bytes, window: TimeRange | None) -> None:
    seen: Batch | ProviderError
    try:
        seen = parse(body, window=window)
    except ProviderError as error:
        seen = error
    if isinstance(seen, Batch):
        for value in seen.columns["close" if window else "price"]:
            assert Decimal(value) > 0
            assert value in body.decode("utf-8", errors="replace")
    else:
        assert type(seen) is not ProviderError
        assert "\n" not in str(seen)
        assert len(str(seen)) < 400


# --- documents made to fill a memory

HEAD = b'<g:Envelope xmlns:g="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">'
TAIL = b"</g:Envelope>"
PARSED_APART = """
import resource, sys
from datetime import UTC, datetime
from fintrack_tasks.errors import MalformedError
from fintrack_tasks.fetch.providers.base import HttpResponse
from fintrack_tasks.fetch.providers.ecb import rates
body = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    rates(HttpResponse(200, body), datetime.now(tz=UTC))
except MalformedError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_millions_of_elements_cost_no_memory() -> None:
    """30 kB of gzip; as a tree they took a gigabyte, most of it outside of what tracemalloc sees."""
    body = HEAD + b"<a/>" * 8_000_000 + TAIL
    done = subprocess.run([sys.executable, "-c", PARSED_APART], input=body, capture_output=True, check=True, timeout=60)
    said, grown = done.stdout.decode().splitlines()
    assert "more elements" in said
    assert int(grown) < 100


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (HEAD + b"<a>" * 100 + b"</a>" * 100 + TAIL, "more elements"),
        (HEAD + b'<Cube time="2024-07-10">' + b"<Cube/>" * 10 + b"</Cube>" + TAIL, "no currency"),
        (b"Date," + b"," * 1000 + b"\n", "1002 columns"),
        (b"Date,USD,\n" + b"\n" * 1000, "line 2 has 1 columns"),
    ],
)
def test_what_all_days_of_rates_never_are_is_refused_before_it_is_read_through(body: bytes, said: str) -> None:
    with pytest.raises(MalformedError, match=said):
        parse(body)


def test_all_days_since_the_first_are_read() -> None:
    """As many as there will have been in ten years, of 42 currencies; here on days that follow each other."""
    names = [f"{a}{b}X" for a in "ABCDEFG" for b in "ABCDEF"]
    cells = "".join(f'<Cube currency="{name}" rate="1.2345"/>' for name in names)
    first = date(1999, 1, 4)
    days = "".join(f'<Cube time="{first + timedelta(days=n)}">{cells}</Cube>' for n in range(9_400))
    body = HEAD + f"<Cube>{days}</Cube>".encode() + TAIL
    assert len(body) < PROVIDER.facts.largest_body
    window = TimeRange(datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 7, 9, tzinfo=UTC))
    batch = parse(body, "EURABX=X", window, now=datetime(2026, 7, 1, tzinfo=UTC))
    assert batch.columns["close"] == ["1.2345"] * 8


def test_no_rate_is_older_than_the_euro() -> None:
    with pytest.raises(MalformedError, match="before there was a euro"):
        parse(xml({"1970-01-01": {"USD": "1.1"}}))
