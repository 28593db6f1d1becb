"""Registered instruments: what the schedule fetches, what it leaves alone, and who changed it."""

from __future__ import annotations

import psycopg
import pytest

from fintrack_tasks.domain import AssetClass, Instrument
from fintrack_tasks.store import instruments
from fintrack_tasks.store.instruments import State

pytestmark = pytest.mark.integration


def states(conn: psycopg.Connection) -> dict[tuple[str, str], State]:
    return {(i.symbol, i.asset_class.value): state for _, i, state in instruments.registered(conn)}


def test_a_paused_instrument_is_registered_and_not_fetched_until_it_is_resumed(conn: psycopg.Connection) -> None:
    instruments.add(conn, [Instrument.of("AAPL"), Instrument.of("GC=F")])
    [gold] = instruments.known_as(conn, ["GC=F"])
    instruments.set_state(conn, [gold.number], State.PAUSED)
    assert [i.symbol for _, i in instruments.active(conn)] == ["AAPL"]
    assert states(conn) == {("AAPL", "stock"): State.ACTIVE, ("GC=F", "commodity"): State.PAUSED}
    instruments.set_state(conn, [gold.number], State.ACTIVE)
    assert [i.symbol for _, i in instruments.active(conn)] == ["GC=F", "AAPL"]


def test_a_removed_instrument_is_known_and_its_registration_brings_it_back(conn: psycopg.Connection) -> None:
    instruments.add(conn, [Instrument.of("AAPL")])
    [apple] = instruments.known_as(conn, ["AAPL"])
    instruments.set_state(conn, [apple.number], State.KNOWN)
    assert states(conn) == {}
    assert instruments.find(conn, Instrument.of("AAPL")) == (apple.number, apple.instrument)
    assert not instruments.none_known(conn)
    instruments.add(conn, [Instrument.of("AAPL")])
    assert states(conn) == {("AAPL", "stock"): State.ACTIVE}


def test_a_symbol_of_two_classes_is_chosen_by_its_class(conn: psycopg.Connection) -> None:
    instruments.add(conn, [Instrument("BTC-USD", AssetClass.CRYPTO), Instrument("BTC-USD", AssetClass.STOCK)])
    assert len(instruments.known_as(conn, ["BTC-USD"])) == 2
    [stock] = instruments.known_as(conn, ["BTC-USD"], AssetClass.STOCK)
    instruments.edit(conn, [stock.number], {"calendar": "XNYS", "currency": None})
    [stock] = instruments.known_as(conn, ["BTC-USD"], AssetClass.STOCK)
    assert stock.instrument.calendar == "XNYS"
