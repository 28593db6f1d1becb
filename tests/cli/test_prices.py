"""``fintrack aggregate``, ``explain`` and ``fx``, as a person types them, over a real database and the local market."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.cli import fx
from fintrack_tasks.domain import Batch, Interval, Item, Kind, TimeRange, to_micros
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.sandbox import Running, running
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database, run_items
from fintrack_tasks.store.payloads import Payload
from fintrack_tasks.transform import clean_batch
from tests.e2e.harness import fintrack
from tests.store.items import NOW, make_run

pytestmark = pytest.mark.integration

LONDON = "Europe/London"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    with running(seed=7) as server:
        yield server


@pytest.fixture
def where(database_settings: Settings, stack: dict[str, str], sandbox: Running) -> dict[str, str]:
    return {**stack, **sandbox.environment, "DB_NAME": database_settings.db_name, "ECB_QUOTA": "unlimited"}


def told(home: Path, where: dict[str, str], *words: str, code: int = 0) -> dict[str, Any]:
    finished = fintrack(home, *words, "--json", check=False, environment=where)
    assert finished.returncode == code, finished.stderr
    assert "Traceback" not in finished.stderr
    return dict(json.loads(finished.stdout.splitlines()[-1]))


def chart(prices: dict[str, float], *, split: str | None = None, dividend: tuple[str, float] | None = None) -> bytes:
    """Yahoo's answer for a stock of London, in pence: four equal prices a day."""
    stamps = {day: int(datetime.fromisoformat(f"{day}T08:00:00+00:00").timestamp()) for day in prices}
    events: dict[str, Any] = {}
    if split:
        events["splits"] = {"1": {"date": stamps[split], "numerator": 2, "denominator": 1, "splitRatio": "2:1"}}
    if dividend:
        events["dividends"] = {"1": {"date": stamps[dividend[0]], "amount": dividend[1]}}
    values = list(prices.values())
    quotes = dict.fromkeys(("open", "high", "low", "close"), values) | {"volume": [1000] * len(values)}
    meta = {
        "currency": "GBp", "symbol": "OCDO.L", "exchangeTimezoneName": LONDON, "dataGranularity": "1d",
        "regularMarketTime": stamps[max(prices)],
    }  # fmt: skip
    result = {"meta": meta, "timestamp": list(stamps.values()), "indicators": {"quote": [quotes]}, "events": events}
    return json.dumps({"chart": {"result": [result], "error": None}}).encode()


def ingest(database: Database, settings: Settings, body: bytes, now: datetime) -> Item:
    """A recorded answer on the way that a fetched one takes: kept, parsed, cleaned, loaded."""
    with database.connection() as conn:
        _, [item] = make_run(conn, ["OCDO.L"], Kind.BARS, days=30, now=now)
        kept = Payload.of("yahoo_finance", "/v8/finance/chart/OCDO.L", 200, {}, body, now)
        run_items.keep_answer(conn, item, kept)
    item = replace(item, window=TimeRange(item.window.start, now)) if item.window else item
    ask = Ask(Kind.BARS, item.instrument, now, Interval.D1, item.window)
    batch = provider("yahoo_finance").parse(ask, HttpResponse(200, body))
    ended = pipeline.load_item(item, clean_batch(batch), context=StageContext(database, settings, now))
    assert ended.state == "loaded"
    return item


DAYS = {"2024-04-29": 400.0, "2024-04-30": 402.5, "2024-05-01": 410.0, "2024-05-02": 416.0, "2024-05-03": 420.0}


def test_explain_names_the_provider_the_raw_answer_the_revision_and_the_actions_behind_a_bar(
    tmp_path: Path, where: dict[str, str], database: Database, database_settings: Settings, conn: psycopg.Connection
) -> None:
    first = ingest(database, database_settings, chart(DAYS), NOW)
    later = NOW + timedelta(days=2)
    after = {"2024-05-03": 421.0, "2024-05-07": 200.0, "2024-05-08": 199.0}
    second = ingest(database, database_settings, chart(after, split="2024-05-07", dividend=("2024-05-08", 4.0)), later)
    found = told(tmp_path, where, "explain", "OCDO.L", "2024-05-02")
    [bar] = found["bars"]
    assert (bar["close"], bar["currency"], bar["source"]) == ("4.160", "GBP", "yahoo_finance")
    assert (bar["item"]["item_id"], bar["item"]["job"]) == (str(first.id), "fetch_market_data")
    sha = conn.execute(
        "SELECT encode(payload_sha, 'hex') FROM fintrack.run_items WHERE id = %s", (first.id,)
    ).fetchone()
    assert sha == (bar["payload"]["sha256"],)
    assert (bar["provider_row"]["close"], bar["provider_row"]["currency"]) == ("416.0", "GBp")
    # 4.16 / 2, and of that 1 - 0.04 / 2.00 = 0.98
    assert [bar["adjusted"][name] for name in ("split_factor", "dividend_factor", "split_close", "total_close")] == [
        "0.5", "0.98", "2.08", "2.0384"
    ]  # fmt: skip
    assert [(each["ex_date"], each["kind"], each["applied"]) for each in bar["actions"]] == [
        ("2024-05-07", "split", True), ("2024-05-08", "dividend", True)
    ]  # fmt: skip
    assert bar["actions"][0]["item_id"] == str(second.id)
    assert bar["revisions"] == []

    [changed] = told(tmp_path, where, "explain", "OCDO.L", "2024-05-03", "--interval", "1d")["bars"]
    assert [(old["close"], old["item_id"], old["replaced_by"]) for old in changed["revisions"]] == [
        ("4.200", str(first.id), str(second.id))
    ]
    # Fetched after the split: Yahoo has restated it, and it is not halved again.
    assert (changed["adjusted"]["split_factor"], changed["actions"][0]["applied"]) == ("1", False)
    shown = fintrack(tmp_path, "explain", "OCDO.L", "2024-05-02", environment=where).stdout
    assert "sessions by: XLON" in shown
    assert bar["payload"]["sha256"][:20] in shown
    assert "416.0" in shown


def test_explain_says_what_is_nearest_where_there_is_nothing(
    tmp_path: Path, where: dict[str, str], database: Database, database_settings: Settings
) -> None:
    ingest(database, database_settings, chart(DAYS), NOW)
    for words, said in (
        (("OCDO.L", "2024-04-28"), "the nearest is at 2024-04-29T00:00:00+00:00"),
        (("AAPL", "2024-04-28"), "nothing is known of AAPL"),
        (("OCDO.L", "soon"), "is no time"),
        (("not a symbol", "2024-04-28"), "not a symbol"),
    ):
        refused = fintrack(tmp_path, "explain", *words, check=False, environment=where)
        assert refused.returncode == 2
        assert said in " ".join(refused.stderr.split())


def test_explain_shows_a_quote_in_dollars_and_the_rate_behind_it(
    tmp_path: Path, where: dict[str, str], database: Database, database_settings: Settings, conn: psycopg.Connection
) -> None:
    _, [pair, stock] = make_run(conn, ["GBPUSD=X", "OCDO.L"])
    for item, price, currency, at in ((pair, "1.25", "USD", NOW - timedelta(hours=1)), (stock, "416", "GBp", NOW)):
        columns = {"timestamp": [to_micros(at)], "price": [price]}
        batch = clean_batch(Batch(Kind.QUOTE, item.instrument.symbol, "x", columns, currency))
        pipeline.load_item(item, batch, context=StageContext(database, database_settings, NOW))
    [found] = told(tmp_path, where, "explain", "OCDO.L", NOW.isoformat())["quotes"]
    assert (found["price"], found["price_usd"], found["usd_rate"], found["usd_rate_path"]) == (
        "4.16", "5.2000", "1.25", "GBP/USD"
    )  # fmt: skip
    assert found["payload"] is None


def test_aggregate_prints_the_weeks(
    tmp_path: Path, where: dict[str, str], database: Database, database_settings: Settings
) -> None:
    ingest(database, database_settings, chart(DAYS), NOW)
    found = told(tmp_path, where, "aggregate", "OCDO.L", "--to", "1w")
    [week] = found["bars"]
    assert (found["symbol"], found["interval"], found["from"], found["splits_inside"]) == ("OCDO.L", "1w", "1d", [])
    assert (week["timestamp"], week["open"], week["close"], week["volume"]) == (
        "2024-04-29T00:00:00Z", "4.000", "4.200", "5000"
    )  # fmt: skip
    shown = fintrack(tmp_path, "aggregate", "OCDO.L", "--to", "1mo", environment=where).stdout
    assert "2024-04-01" in shown
    refused = fintrack(tmp_path, "aggregate", "OCDO.L", "--to", "1h", "--from", "1d", check=False, environment=where)
    assert (refused.returncode, refused.stdout) == (2, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--max-age", "1e9"), "no date lies 1e+09 days (--max-age) before 2"),
        (("--max-age", "1000000"), "no date lies 1e+06 days (--max-age) before 2"),
        (("--max-age", "inf"), "no date lies inf days"),
        (("--at", "0001-01-01"), "no date lies 6 days (--max-age) before 0001-01-01"),
        (("--at", "0001-01-01T00:00+14:00"), "--at is no time"),
    ],
)
def test_a_rate_from_before_all_dates_is_refused_in_one_line(
    tmp_path: Path, where: dict[str, str], words: tuple[str, ...], said: str
) -> None:
    refused = fintrack(tmp_path, "fx", "show", "EUR/USD", *words, check=False, environment=where)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert len(refused.stderr.splitlines()) == 1
    assert said in refused.stderr


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("GBX/GBP", "5 GBX = 0.05 GBP, by definition"),
        ("KWF/KWD", "5 KWF = 0.005 KWD, by definition"),
        ("EUR/EUR", "5 EUR = 5 EUR, by definition"),
    ],
)
def test_a_minor_unit_needs_no_rate_and_is_told_in_one_line(
    tmp_path: Path, where: dict[str, str], database: Database, pair: str, said: str
) -> None:
    assert fintrack(tmp_path, "fx", "show", pair, "--amount", "5", environment=where).stdout.splitlines() == [said]


def test_where_no_bars_are_stored_aggregate_says_which(
    tmp_path: Path, where: dict[str, str], database: Database, database_settings: Settings
) -> None:
    ingest(database, database_settings, chart(DAYS), NOW)
    for words, missing in (
        (("--to", "1h"), "no 15m bars of OCDO.L are stored; fetch them with: fintrack run historical"),
        (("--to", "1w", "--start", "2031-01-01"), "no 1d bars of OCDO.L are stored in that time; fetch them"),
    ):
        refused = fintrack(tmp_path, "aggregate", "OCDO.L", *words, check=False, environment=where)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert missing in " ".join(refused.stderr.split())


def test_aggregate_says_how_many_bars_open_in_no_session(
    tmp_path: Path, where: dict[str, str], database: Database, database_settings: Settings, conn: psycopg.Connection
) -> None:
    """Friday, 26 April 2024, closed at 17:00 in New York, 21:00 UTC."""
    _, [item] = make_run(conn, ["EURUSD=X"], Kind.BARS)
    late = datetime(2024, 4, 26, 20, tzinfo=UTC)
    item = replace(item, interval=Interval.H1, window=TimeRange(late, late + timedelta(hours=2)))
    stamps = [to_micros(late), to_micros(late + timedelta(hours=1))]
    columns: dict[str, list[Any]] = {name: ["1.07", "1.08"] for name in ("open", "high", "low", "close")}
    batch = Batch(
        Kind.BARS, "EURUSD=X", "x", {"timestamp": stamps, **columns, "volume": [None] * 2}, "USD", Interval.H1
    )
    pipeline.load_item(item, batch, context=StageContext(database, database_settings, NOW))
    found = told(tmp_path, where, "aggregate", "EURUSD=X", "--to", "1d")
    [day] = found["bars"]
    assert (day["parts"], day["missing"], found["outside"]) == (1, 23, 1)
    shown = fintrack(tmp_path, "aggregate", "EURUSD=X", "--to", "1d", environment=where).stderr
    assert "1 of the stored bars opens in no session" in " ".join(shown.split())


def test_rates_are_updated_and_shown_as_of_a_time(tmp_path: Path, where: dict[str, str]) -> None:
    first = told(tmp_path, where, "fx", "update")
    assert first["changed"] == first["rates"] > 80_000
    assert told(tmp_path, where, "fx", "update")["changed"] == 0
    # 2024-03-28 at 15:00 UTC: the ECB's 1.0811 dollars and 0.8551 pounds; Easter follows.
    found = told(tmp_path, where, "fx", "show", "eur/usd", "--at", "2024-04-01T12:00", "--amount", "250")
    assert (found["pair"], found["amount"], found["rate"]) == ("EUR/USD", "270.2750", "1.0811")
    assert (found["as_of"], found["source"], found["finding"]) == ("2024-03-28T15:00:00Z", "ecb", None)
    pence = told(tmp_path, where, "fx", "show", "GBp/USD", "--at", "2024-04-01T12:00", "--amount", "1259.5")
    assert pence["amount"].startswith("15.923815343")
    assert [leg["pair"] for leg in pence["legs"]] == ["1/(EUR/GBP)", "EUR/USD"]
    stale = told(tmp_path, where, "fx", "show", "EUR/USD", "--at", "2024-04-01", "--max-age", "1", code=3)
    assert (stale["amount"], stale["rate"]) == (None, None)
    assert "no rate from EUR to USD" in stale["finding"]
    assert told(tmp_path, where, "fx", "show", "EUR/USD", "--at", "1998-12-31", code=3)["rate"] is None
    refused = fintrack(tmp_path, "fx", "show", "EUR/USD", "--at", "1998-12-31", check=False, environment=where)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr == (
        "fintrack: no rate from EUR to USD at 1998-12-31T00:00:00+00:00, nor in the 6 days before; "
        "fintrack fx update brings them up to date, --max-age takes older ones\n"
    )
    for wrong in (("fx", "show", "EURUSD"), ("fx", "show", "EUR/USD", "--amount", "much")):
        assert fintrack(tmp_path, *wrong, check=False, environment=where).returncode == 2
    shown = fintrack(tmp_path, "fx", "show", "EUR/USD", "--max-age", "36500", environment=where).stdout
    assert re.search(r"^ *as of \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 *$", shown, re.MULTILINE)
    assert datetime.fromisoformat(first["newest"]) < datetime.now(tz=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("117.06", "117.06"),
        ("23.4138145199999999999998", "23.4138"),
        ("-1234567.891", "-1234567.891"),
        ("5", "5.00"),
        ("0", "0.00"),
        ("0.0064516129032258064516129", "0.00645161"),
        ("0.00000123456789", "0.00000123457"),
    ],
)
def test_an_amount_is_shown_with_as_many_decimals_as_anybody_can_use(value: str, shown: str) -> None:
    assert fx._shown(Decimal(value)) == shown


def test_a_machine_gets_fifteen_digits_of_what_a_division_left() -> None:
    assert fx._plain(Decimal(1) / 155) == "0.00645161290322581"
    assert fx._plain(Decimal("270.2750")) == "270.2750"
