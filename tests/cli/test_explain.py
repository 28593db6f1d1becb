"""``fintrack explain``, as a person types it, over a real database."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.domain import Batch, Kind, to_micros
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database
from fintrack_tasks.transform import clean_batch
from tests.cli.prices import DAYS, chart, ingest, told
from tests.e2e.harness import fintrack
from tests.store.items import NOW, make_run

pytestmark = pytest.mark.integration


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
