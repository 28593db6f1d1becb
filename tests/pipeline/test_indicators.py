"""Whatever comes, in whichever order, each stored bar of an index has the indicators of the whole stored series."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import psycopg
import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.domain import Batch, Finding, Instrument, Interval, Item, Kind, to_micros, uuid7
from fintrack_tasks.pipeline.indicators import recompute
from fintrack_tasks.sandbox.prices import Daily, real_daily
from fintrack_tasks.store import index_indicators, instruments, quarantine, runs
from fintrack_tasks.transform import INDICATORS
from fintrack_tasks.transform.indicators import STATE, Prices, indicators, state
from tests.fixtures_stages import Stages
from tests.store.items import DAY, NOW

pytestmark = pytest.mark.integration

COLUMNS = ("open", "high", "low", "close", "volume")
HISTORY = {symbol: real_daily()[symbol][-700:] for symbol in ("^GSPC", "^IXIC")}


class Histories:
    """Pieces of the real histories, taken through transform and load."""

    def __init__(self, stages: Stages, conn: psycopg.Connection) -> None:
        self.stages, self.conn, self.now = stages, conn, NOW

    def item(self, symbol: str, kind: Kind) -> Item:
        [(instrument_id, instrument)] = instruments.ensure(self.conn, [Instrument.of(symbol)]).values()
        run, item_id = uuid7(self.now.timestamp()), uuid7(self.now.timestamp())
        item = Item(item_id, run, kind, instrument, instrument_id, Interval.D1)
        runs.create_run(self.conn, run, "fetch_market_index_data", {}, [item], self.now + DAY, self.now)
        return item

    def come(self, symbol: str, places: Sequence[int], factor: float = 1.0, kind: Kind = Kind.INDEX) -> None:
        item = self.item(symbol, kind)
        assert self.stages.load(item, batch(item, places, factor), self.now) == pipeline.Ended("loaded")

    def release(self, symbol: str, place: int) -> None:
        """What a check had rejected comes back by a person's decision."""
        item = self.item(symbol, Kind.INDEX)
        found = [Finding("outside_session", "reject", 0, "said so")]
        quarantine.add(self.conn, item, batch(item, [place]), found, self.now)
        row = self.stages.quarantined()[-1]
        assert self.stages.release(row.id, now=self.now).outcome == "released"

    def equals_the_whole(self, symbol: str) -> None:
        """Every stored indicator against those of all stored bars at once."""
        rows = self.conn.execute(
            f"SELECT {', '.join(f'b.{name}::float8' for name in COLUMNS)}, m.close::float8,"
            f" {', '.join(f'x.{name}::float8' for name in (*INDICATORS, *STATE))}"
            " FROM fintrack.bars b JOIN fintrack.instruments i ON i.id = b.instrument_id AND i.symbol = %s"
            " LEFT JOIN fintrack.index_indicators x USING (instrument_id, interval, timestamp)"
            " LEFT JOIN (fintrack.bars m JOIN fintrack.instruments g ON g.id = m.instrument_id AND g.symbol = '^GSPC')"
            " ON m.timestamp = b.timestamp AND m.interval = b.interval WHERE b.interval = '1d' ORDER BY b.timestamp",
            (symbol,),
        ).fetchall()
        table = np.array(rows, dtype=np.float64)
        prices = Prices(**dict(zip(COLUMNS, table.T, strict=False)), benchmark=table[:, 5])
        for place, (name, values) in enumerate((indicators(prices) | state(prices)).items()):
            np.testing.assert_allclose(table[:, 6 + place], values, rtol=1e-9, atol=1e-12, err_msg=f"{symbol} {name}")


def batch(item: Item, places: Sequence[int], factor: float = 1.0) -> Batch:
    days = [HISTORY[item.instrument.symbol][place] for place in sorted(places)]
    columns = {name: [repr(round(getattr(day, name) * factor, 6)) for day in days] for name in COLUMNS[:4]}
    columns["volume"] = [str(day.volume) for day in days]
    stamps = [stamp(day) for day in days]
    return Batch(item.kind, item.instrument.symbol, "bundled", {"timestamp": stamps, **columns}, "USD", Interval.D1)


def stamp(day: Daily) -> int:
    return to_micros(NOW.replace(year=day.day.year, month=day.day.month, day=day.day.day, hour=0))


@pytest.fixture
def store(make_stages: Callable[..., Stages], conn: psycopg.Connection) -> Histories:
    return Histories(make_stages(NOW), conn)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("moving", [True, False], ids=["later", "at-one-time"])
def test_random_pieces_with_holes_corrections_and_a_release(store: Histories, seed: int, moving: bool) -> None:
    """``at-one-time``: every load at the same microsecond, as clocks of several machines may have it."""
    dice = random.Random(seed)
    left = {symbol: set(range(700)) for symbol in HISTORY}
    for step in range(12):
        symbol = dice.choice(["^GSPC", "^IXIC"] if moving else ["^IXIC"])
        first = dice.randrange(650)
        piece = [place for place in range(first, first + dice.choice([5, 60, 250])) if place < 700]
        store.now += timedelta(seconds=moving)
        if step % 5 == 4:
            store.release(symbol, dice.choice(piece))
        elif step % 5 == 3:
            store.come(symbol, piece[:2], factor=1.01, kind=dice.choice([Kind.INDEX, Kind.BARS]))
        else:
            holes = set(dice.sample(piece, len(piece) // 5))  # they come later, or never
            store.come(symbol, sorted(set(piece) - holes))
            left[symbol] -= set(piece) - holes
        store.equals_the_whole(symbol)
    for symbol in ("^IXIC", "^GSPC") if moving else ("^IXIC",):
        store.now += timedelta(seconds=moving)
        if left[symbol]:
            store.come(symbol, sorted(left[symbol]))
        store.equals_the_whole(symbol)


@pytest.mark.parametrize("absent", [[300], [0], [10, 400, 401, 699]])
def test_bars_that_the_answer_lacks_count_where_they_are_stored(store: Histories, absent: list[int]) -> None:
    """Also in the event, which says what is stored."""
    store.come("^GSPC", range(700))
    store.come("^GSPC", [place for place in range(700) if place not in absent])
    store.equals_the_whole("^GSPC")
    [event] = store.conn.execute("SELECT value FROM fintrack.outbox ORDER BY id DESC LIMIT 1").fetchone() or []
    told = [float(cell) if cell else None for cell in json.loads(event)["data"]["ema_26"]]
    stored = store.conn.execute("SELECT ema_26::float8 FROM fintrack.index_indicators ORDER BY timestamp").fetchall()
    assert told == [value for place, (value,) in enumerate(stored) if place not in absent]


@pytest.mark.parametrize("place", [0, 1, 350, 699])
def test_a_bar_that_is_released_changes_those_behind_it(store: Histories, place: int) -> None:
    store.come("^GSPC", [each for each in range(700) if each != place])
    store.release("^GSPC", place)
    store.equals_the_whole("^GSPC")


def test_a_correction_by_another_job_is_in_the_indicators_at_once(store: Histories) -> None:
    store.come("^GSPC", range(700))
    store.come("^GSPC", [350], factor=1.1, kind=Kind.BARS)
    store.equals_the_whole("^GSPC")


def test_bars_that_another_job_has_loaded_have_indicators_as_well(store: Histories) -> None:
    store.come("^GSPC", range(500), kind=Kind.BARS)
    store.equals_the_whole("^GSPC")


def test_a_benchmarks_bar_that_came_later_is_in_beta_with_the_next_load(store: Histories) -> None:
    store.come("^GSPC", [place for place in range(699) if place % 100])
    store.come("^IXIC", range(699))
    store.now += timedelta(hours=1)
    store.come("^GSPC", range(0, 700, 100))
    store.come("^GSPC", [650], factor=1.01)
    store.now += timedelta(hours=1)
    store.come("^IXIC", [699])
    store.equals_the_whole("^IXIC")


def test_a_provisional_bar_that_does_not_replace_a_final_one_is_not_in_the_indicators(store: Histories) -> None:
    places = range(600)
    store.come("^GSPC", places)
    store.now = NOW.replace(year=HISTORY["^GSPC"][599].day.year, month=HISTORY["^GSPC"][599].day.month, hour=15)
    store.now = store.now.replace(day=HISTORY["^GSPC"][599].day.day)
    store.come("^GSPC", range(590, 600), factor=1.02)
    assert store.conn.execute("SELECT count(*) FROM fintrack.bar_versions").fetchone() == (9,)
    store.equals_the_whole("^GSPC")


def test_what_changes_between_transform_and_load_is_in_the_indicators(store: Histories) -> None:
    store.come("^GSPC", range(690))
    store.come("^IXIC", range(690))
    for symbol in ("^GSPC", "^IXIC"):
        item = store.item(symbol, Kind.INDEX)
        made = pipeline.transform_item(
            item,
            batch(item, range(690, 700)),
            context=store.stages.context,
        )
        store.now += timedelta(seconds=1)
        store.come("^GSPC", [680], factor=1.1 if symbol == "^GSPC" else 1.2)
        pipeline.load_item(item, made, context=store.stages.at(store.now))
        store.equals_the_whole(symbol)


def test_what_stands_is_not_computed_again(store: Histories, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of time, and when the same comes again, one batch is computed once."""
    counts: list[int] = []
    real = recompute
    monkeypatch.setattr("fintrack_tasks.pipeline.indicators.recompute", lambda *given: counts.append(real(*given)))
    store.come("^GSPC", range(500))
    store.come("^GSPC", range(500, 600))
    store.come("^GSPC", range(400, 600))
    store.come("^GSPC", range(590, 601))
    assert counts == [0, 0, 0, 0]
    store.come("^GSPC", range(602, 700))
    store.come("^GSPC", [601])
    assert counts == [0, 0, 0, 0, 0, 98]
    store.come("^GSPC", [700 - 1], factor=1.01)
    assert counts[-1] == 0
    item = store.item("^GSPC", Kind.INDEX)
    assert index_indicators.outdated(store.conn, item.instrument_id, Interval.D1, "^GSPC") == set()
    stock = replace(store.item("AAPL", Kind.BARS), window=None)
    assert recompute(store.conn, stock, Batch(Kind.BARS, "AAPL", "x", {"timestamp": [0]}), NOW) == 0


def test_many_bars_are_mended_by_the_batch(store: Histories, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fintrack_tasks.pipeline.indicators.BATCH_LIMIT", 64)
    store.come("^GSPC", range(100, 700))
    store.come("^GSPC", range(100))
    store.equals_the_whole("^GSPC")
