"""Mutated answers: every recorded one and every one of the project's own, bent, cut, nested and mixed up.

Whatever comes, a parser gives rows that the checks and the tables take, or an error with a type. The seed is fixed and
each mutation has its own: a failure names its number, and ``mutant(number)`` makes it again. Where the recorded answers
are absent (``../shared/provider-samples``), the project's own are bent alone.
"""

from __future__ import annotations

import gc
import json
import random
import re
import resource
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final

import pytest

from fintrack_tasks.domain import Batch, FxRate, Instrument, Interval, Kind
from fintrack_tasks.errors import ProviderError
from fintrack_tasks.fetch import constituents, providers
from fintrack_tasks.fetch.providers import ecb
from fintrack_tasks.fetch.providers.base import Ask, Batching, HttpResponse, Profiling
from fintrack_tasks.transform import clean_batch
from fintrack_tasks.transform.corporate_actions import actions_of
from fintrack_tasks.validate import ValidationContext, check_batch, split
from tests.fetch.providers.asking import ALL_TIME, RIGHT_ANSWERS, SAMPLES, status_of

FOLDERS: Final = {"alphavantage": "alpha_vantage", "twelvedata": "twelve_data", "yahoo": "yahoo_finance", "fx": "ecb"}
SEED: Final = 20_261_128
NOW: Final = datetime(2026, 11, 27, 21, 0, tzinfo=UTC)
SYMBOLS: Final = ("AAPL", "MSFT", "IBM", "BTC-USD", "BTC-EUR", "EURUSD=X", "EURJPY=X", "USDJPY=X", "^GSPC", "GC=F")
WIKIPEDIA: Final = "wikipedia"
MOST_MEGABYTES: Final = 200
MOST_SECONDS: Final = 0.5

Outcome = Batch | ProviderError | list[Any] | Instrument


@dataclass(frozen=True)
class Sample:
    """An answer, who gave it, and the questions that are put to it; ``right`` where it answers these with rows."""

    provider: str
    name: str
    body: bytes
    status: int
    asks: tuple[Ask, ...]
    right: bool


# --- The answers that are bent


def ecb_files() -> Iterator[tuple[str, bytes]]:
    cubes = "".join(
        f'<Cube time="2026-11-{day:02}"><Cube currency="USD" rate="1.{day}"/><Cube currency="JPY" rate="160.5"/></Cube>'
        for day in range(27, 2, -1)
    )
    head = (
        'xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref"'
    )
    yield "own.xml", f'<?xml version="1.0"?><gesmes:Envelope {head}><Cube>{cubes}</Cube></gesmes:Envelope>'.encode()
    yield "own.csv", b"Date,USD,JPY,\n" + b"".join(b"2026-11-%02d,1.1,N/A,\n" % day for day in range(27, 2, -1))


def own_page() -> bytes:
    rows = "".join(f"<tr><td>M{n}</td><td>Member {n}</td><td>Energy</td><td>1957-03-04</td></tr>\n" for n in range(490))
    head = "<tr><th>Symbol</th><th>Security</th><th>GICS Sector</th><th>Date added</th></tr>"
    return f'<!DOCTYPE html>\n<html><body><table id="constituents">{head}{rows}</table></body></html>'.encode()


def bodies() -> Iterator[tuple[str, str, bytes]]:
    """Provider, name and body of each answer."""
    for path in sorted(RIGHT_ANSWERS.glob("*.json")):
        for number, body in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            yield path.stem, f"own-{number}.json", json.dumps(body).encode()
    yield from (("ecb", name, body) for name, body in ecb_files())
    yield WIKIPEDIA, "own.html", own_page()
    for path in sorted(SAMPLES.glob("*/*")):
        folder = path.parent.name
        yield WIKIPEDIA if folder == "html" else FOLDERS.get(folder, folder), path.name, path.read_bytes()


@cache
def samples() -> tuple[Sample, ...]:
    return tuple(Sample(name, file, body, status_of(file), *asks(name, file, body)) for name, file, body in bodies())


@cache
def right_samples() -> tuple[Sample, ...]:
    return tuple(sample for sample in samples() if sample.right)


def asks(provider: str, file: str, body: bytes) -> tuple[tuple[Ask, ...], bool]:
    """The questions that the answer answers with rows; where there is none, two that are put to it all the same."""
    if provider == WIKIPEDIA:
        return (), True
    named = [word for word in re.split(r"[-_](?=\D)|\.\w+$", file) if re.fullmatch(r"[A-Z^][A-Z0-9.=^]{0,11}", word)]
    pairs = [
        f"{word[:3]}{mark}{word[3:]}{end}" for word in named if len(word) == 6 for mark, end in (("-", ""), ("", "=X"))
    ]
    found, put = [], []
    for symbol in dict.fromkeys([*named, *pairs, *SYMBOLS]):
        instrument = Instrument.of(symbol)
        put = [Ask(Kind.QUOTE, instrument, NOW)]
        put += [Ask(Kind.BARS, instrument, NOW, interval, ALL_TIME) for interval in Interval]
        for ask in put:
            try:
                providers.provider(provider).parse(ask, HttpResponse(200, body))
            except ProviderError:
                continue
            found.append(ask)
    return tuple(found or put[:2]), bool(found)


# --- How they are bent

NUMBERS: Final = (
    *(0, -1, 1, 10**15, 10**40, -(10**40), 2**63, 1e308, 5e-324, 1e-300, -0.0, 0.1 + 0.2, True, None),
    *("1e999", "1e1000000", "1e-1000000000", "-1e-400", "9" * 500, "1." + "0" * 500, "0e999999999", "NaN", "-Infinity"),
    *("", " 7 ", "0x10", "1_000", "\u0663", "--5", "1,5", "1" * 64, "0.000000000000000000000000000000000000000001"),
    *(946_684_799, 946_684_800, 1_704_153_600, 4_102_444_801, -62_135_596_800, 1_704_153_600_000, 1.5e9),
)
TEXTS: Final = (
    *("", "x", "\x00", "\x1b[2J", "a" * 70, "\ud800", "\u202e", "US Dollar", "NONE", "None", "null", "/../", "error"),
    *("1970-01-01", "0001-01-01", "9999-12-31", "2024-02-30", "2024-03-10 02:30:00", "2026-11-27T00:00:00+14:00"),
    *("Europe/Nowhere", "../../etc/passwd", "UTC", "GMT+99", "Invalid API call", "API limit reached", "${jndi:x}"),
)
TOKEN: Final = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
BRACKETS: Final = (b"[", b"]", b"{", b"}", b'"', b":", b",", b"<", b"</", b">", b"&", b"\\", b"\x00", b"\xff", b"\n")


def nested(rng: random.Random, core: Any) -> Any:
    for _ in range(rng.choice((2, 20, 33, 60, 300, 900))):
        core = [core] if rng.random() < 0.7 else {"a": core}
    return core


def anything(rng: random.Random) -> Any:
    return rng.choice(
        (
            lambda: rng.choice(NUMBERS),
            lambda: rng.choice(TEXTS),
            lambda: nested(rng, 1),
            lambda: [rng.choice(NUMBERS) for _ in range(rng.randrange(4))],
            lambda: {str(rng.choice(TEXTS)): rng.choice(NUMBERS) for _ in range(rng.randrange(4))},
        )
    )()


def places(value: Any) -> list[tuple[Any, Any]]:
    """Container and key of every value inside."""
    found: list[tuple[Any, Any]] = []
    level = [value]
    while level:
        node = level.pop()
        if isinstance(node, dict | list):
            inner = list(node.items() if isinstance(node, dict) else enumerate(node))
            found += [(node, key) for key, _ in inner]
            level += [child for _, child in inner]
    return found


def bend_json(body: bytes, rng: random.Random) -> bytes:
    """One to three values replaced, dropped, doubled, swapped or wrapped."""
    value = json.loads(body.removeprefix(b"\xef\xbb\xbf"))
    for _ in range(rng.randint(1, 3)):
        found = places(value)
        if not found:
            return json.dumps(anything(rng)).encode(errors="replace")
        node, key = rng.choice(found)
        how = rng.randrange(7)
        if how <= 2:
            node[key] = anything(rng)
        elif how == 3:
            del node[key]
        elif how == 4 and isinstance(node, list):
            node.insert(key, json.loads(json.dumps(node[key])))
        elif how == 5:
            other, place = rng.choice(found)
            node[key], other[place] = json.loads(json.dumps(other[place])), json.loads(json.dumps(node[key]))
        else:
            node[key] = nested(rng, node[key])
    return json.dumps(value).encode()


def bend_number(body: bytes, rng: random.Random) -> bytes:
    """A number as it stands in the text, whatever the format, becomes another."""
    found = list(TOKEN.finditer(body))
    if not found:
        return body
    match = rng.choice(found)
    number = str(rng.choice(NUMBERS)).encode()
    return body[: match.start()] + number + body[match.end() :]


def bend_gently(body: bytes, rng: random.Random) -> bytes:
    """A number becomes one that could stand there: rows go on to the checks with it."""
    found = list(TOKEN.finditer(body))
    for match in sorted(rng.sample(found, min(len(found), rng.randint(1, 4))), key=lambda each: -each.start()):
        number = match[0]
        other = rng.choice(
            (
                lambda n=number: n[:-1] + rng.choice(b"0123456789").to_bytes(),
                lambda n=number: n + b"0",
                lambda n=number: b"-" + n.lstrip(b"-"),
                lambda n=number: str(Decimal(n.decode()) * rng.choice((100, Decimal("0.01"), 10**6))).encode(),
                lambda: rng.choice(found)[0],
                lambda: b"0",
                lambda: b"null",
            )
        )()
        body = body[: match.start()] + other + body[match.end() :]
    return body


def cut(body: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(body) + 1)
    return rng.choice((body[:place], body[place:], body[:place] + body[place + rng.randrange(1, 200) :]))


def damage(body: bytes, rng: random.Random) -> bytes:
    changed = bytearray(body)
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(len(changed) + 1)
        changed[place : place + rng.randrange(2)] = rng.choice(BRACKETS)
    return bytes(changed)


def repeat(body: bytes, rng: random.Random) -> bytes:
    """A stretch of it stands there twice, as it is or with a number changed: names and times that conflict."""
    start = rng.randrange(len(body) + 1)
    stretch = body[start : start + rng.randrange(1, 400)]
    if rng.random() < 0.5:
        stretch = bend_number(stretch, rng)
    return body[:start] + rng.choice((b"", b",")) + stretch + body[start:]


def repeat_name(body: bytes, rng: random.Random) -> bytes:
    """A name of an object stands there twice with two values."""
    found = list(re.finditer(rb'"[^"\\]{1,40}"\s*:', body))
    if not found:
        return repeat(body, rng)
    match = rng.choice(found)
    return body[: match.start()] + match[0] + json.dumps(anything(rng)).encode() + b"," + body[match.start() :]


def nest_text(body: bytes, rng: random.Random) -> bytes:
    depth = rng.choice((50, 500, 992, 1010, 1023, 1500, 20_000))
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"<a>", b"</a>"), (b"<Cube>", b"</Cube>")))
    place = rng.choice((0, rng.randrange(len(body) + 1)))
    return body[:place] + opening * depth + body[place:] + closing * depth


def many(_body: bytes, rng: random.Random) -> bytes:
    unit = rng.choice((b"[],", b"{},", b"1,", b'"",', b'{"a":1},', b"<a/>", b"\n", b","))
    return rng.choice((b"[", b'{"values":[', b"Date,", b"<a>")) + unit * rng.choice((10, 1000, 30_000))


def foreign(_body: bytes, rng: random.Random) -> bytes:
    return rng.choice(samples()).body


WAYS: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    *(bend_gently,) * 12,
    *(bend_json,) * 6,
    *(bend_number,) * 4,
    *(repeat_name,) * 2,
    *(cut, damage, damage, repeat, repeat, nest_text, foreign),
)


@dataclass(frozen=True)
class Mutant:
    provider: str
    name: str
    response: HttpResponse
    ask: Ask | None


def mutant(number: int) -> Mutant:
    """The mutation of that number, the same ever again over the same samples."""
    rng = random.Random(f"{SEED}:{number}")
    sample = rng.choice(right_samples() if rng.random() < 0.8 else samples())
    body = sample.body
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        way = many if rng.random() < 0.02 else rng.choice(WAYS)
        try:
            body = way(body, rng)
        except (ValueError, ArithmeticError, RecursionError):  # it is no JSON, or none any more
            body = damage(body, rng)
    status = sample.status if rng.random() < 0.9 else rng.choice((200, 400, 401, 403, 404, 422, 429, 500, 999))
    headers = {"retry-after": str(rng.choice(NUMBERS))} if rng.random() < 0.05 else {}
    ask = rng.choice(sample.asks) if sample.asks else None
    return Mutant(sample.provider, sample.name, HttpResponse(status, body, headers), ask)


# --- What may come of it


def outcomes(bent: Mutant) -> Iterator[Outcome]:
    """What every reader of such an answer makes of it."""
    ask, response = bent.ask, bent.response
    if ask is None:
        yield constituents.parse("sp500", response, NOW)
        return
    provider = providers.provider(bent.provider)
    readers: list[Callable[[], Outcome]] = [lambda: provider.parse(ask, response)]
    if isinstance(provider, Batching):
        readers.append(lambda: provider.parse_many([ask], response))
    if isinstance(provider, Profiling):
        readers.append(lambda: provider.parse_profile(ask.instrument, response, NOW))
    if bent.provider == "ecb":
        readers.append(lambda: ecb.rates(response, NOW))
    for read in readers:
        try:
            yield read()
        except ProviderError as error:
            yield error


def examine(outcome: Outcome, ask: Ask | None) -> None:
    if isinstance(outcome, list):
        for each in outcome:
            if isinstance(each, FxRate):
                assert each.rate > 0
            elif isinstance(each, Batch | ProviderError):
                examine(each, ask)
    elif isinstance(outcome, ProviderError):
        assert type(outcome) is not ProviderError
        assert len(str(outcome)) <= 300
        assert str(outcome).isprintable()
    elif isinstance(outcome, Batch):
        assert ask is not None
        stored(outcome, ask)


def stored(batch: Batch, ask: Ask) -> None:
    """Through the checks, the cleaning and the message: what is left fits the columns of the tables."""
    assert Batch.from_message(json.loads(json.dumps(batch.to_message()))) == batch
    assert len(json.dumps(batch.to_message())) < 2_000_000
    findings = check_batch(batch, NOW, context=ValidationContext(ask.instrument.asset_class))
    good, rejected = split(batch, findings)
    assert len(good) + len(rejected) == len(batch)
    for one in findings:
        assert one.detail.isprintable()
    cleaned = clean_batch(good)
    assert cleaned.currency is None or cleaned.currency.isalnum()
    signed = ask.instrument.asset_class.is_signed(ask.instrument.symbol)
    for name, cells in cleaned.columns.items():
        for cell in cells:
            if name == "timestamp":
                assert type(cell) is int
            elif cell is not None:
                fits(name, cell, signed=signed)
    for action in actions_of(cleaned):
        for number in (action.numerator, action.denominator, action.amount):
            assert number is None or (number > 0 and -60 < number.adjusted() < 60)


def fits(name: str, cell: str, *, signed: bool) -> None:
    """What a NUMERIC column takes, in bounded room, and what its constraints demand."""
    assert isinstance(cell, str)
    assert len(cell) <= 120
    number = Decimal(cell)
    assert number.is_finite()
    assert not number or -60 < number.adjusted() < 60
    if name in ("price", "open", "high", "low", "close") and not signed:
        assert number > 0 or (name != "price" and number == 0)
    if name == "volume":
        assert number >= 0


def run(numbers: range) -> dict[int, float]:
    """Try them all; returns those that took too much processor time, with the least of three measurements each.

    What else the machine does, and a collection of garbage, fall on one of fifty thousand now and then, not on one
    three times.
    """
    slow: dict[int, float] = {}
    for number in numbers:
        bent = mutant(number)
        began = time.process_time()
        try:
            found = list(outcomes_of(bent))
        except Exception as error:
            raise AssertionError(f"mutant({number}) of {bent.provider}/{bent.name}: {error!r:.200}") from error
        if (taken := time.process_time() - began) >= MOST_SECONDS:
            slow[number] = min(taken, seconds_of(bent), seconds_of(bent))
        for outcome in found:
            try:
                examine(outcome, bent.ask)
            except Exception as error:
                told = f"mutant({number}) of {bent.provider}/{bent.name}: {outcome!r:.300}"
                raise AssertionError(f"{told}: {error!r:.300}") from error
    return {number: seconds for number, seconds in slow.items() if seconds >= MOST_SECONDS}


def seconds_of(bent: Mutant) -> float:
    """The processor time of one more try."""
    began = time.process_time()
    list(outcomes_of(bent))
    return time.process_time() - began


def outcomes_of(bent: Mutant) -> Iterator[Outcome]:
    try:
        yield from outcomes(bent)
    except ProviderError as error:
        yield error


def test_the_answers_that_are_bent_are_right_ones() -> None:
    """Of every provider there are some that give rows: a mutation begins where something can be lost."""
    assert {sample.provider for sample in right_samples()} == {*providers.names(), WIKIPEDIA}
    assert mutant(7) == mutant(7)
    assert mutant(7) != mutant(8)


def test_two_thousand_mutations_give_typed_errors_or_rows_that_the_checks_accept() -> None:
    run(range(2_000))


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_fifty_thousand_mutations_give_typed_errors_or_rows_in_bounded_time_and_memory() -> None:
    samples()
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slow = run(range(2_000, 52_000))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    assert grown < MOST_MEGABYTES
    assert slow == {}


# --- Answers made to fill a memory

LARGEST: Final = 8 * 1024 * 1024
HOSTILE: Final[dict[str, Callable[[], bytes]]] = {
    "lists": lambda: b"[" + b"[]," * (LARGEST // 3) + b"1]",
    "objects": lambda: b"[" + b'{"a":1},' * (LARGEST // 8) + b"1]",
    "numbers": lambda: b"[" + b"1.5," * (LARGEST // 4) + b"1]",
    "texts": lambda: b"[" + b'"ab",' * (LARGEST // 5) + b"1]",
    "names": lambda: b"{" + b",".join(b'"%d":1' % n for n in range(LARGEST // 11)) + b"}",
    "one text": lambda: b'{"message":"' + b"x" * LARGEST + b'"}',
    "one number": lambda: b'{"c":' + b"9" * LARGEST + b"}",
    "one decimal": lambda: b'{"c":1.' + b"9" * LARGEST + b"}",
    "depth": lambda: b"[" * (LARGEST // 2),
    "just within": lambda: b'[{"a":[' + b"1.25," * 190_000 + b"1]}," + b"{}," * 59_000 + b"1]",
    "long numbers within": lambda: b'{"values":[' + b"123.45678901234567890123456789," * 240_000 + b"1]}",
    "rows": lambda: b"[" + b"[1704153600,1,2,1,2,5]," * 41_000 + b"1]",
    "lines": lambda: b"Date,USD\n" + b"\n" * LARGEST,
    "elements": lambda: b"<a>" + b"<b/>" * (LARGEST // 4) + b"</a>",
    "blanks": lambda: b" " * LARGEST,
    "brackets in a text": lambda: b'{"Note":"' + b"[{" * (LARGEST // 2) + b'"}',
}


@pytest.mark.parametrize("made", HOSTILE.values(), ids=HOSTILE)
def test_no_body_of_the_largest_size_takes_much_memory(made: Callable[[], bytes]) -> None:
    """Of the readers of objects, of lists and of documents; all others read JSON by the same function."""
    body = made()
    for name, symbol in (("yahoo_finance", "BTC-USD"), ("coinbase", "BTC-USD"), ("ecb", "EURUSD=X")):
        ask = Ask(Kind.BARS, Instrument.of(symbol), NOW, Interval.D1, ALL_TIME)
        tracemalloc.start()
        try:
            with pytest.raises(ProviderError):
                providers.provider(name).parse(ask, HttpResponse(200, body))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < MOST_MEGABYTES << 20
