"""Errors put into real bars, and which rule catches them; real bars that are rejected; how fast bars are checked.

So many errors of each kind of ``injections.py`` go one by one into windows of the seven bundled histories. The matrix
shows, for each kind, in which share of the cases each rule fired on the row with the error; the rule that has to is
in brackets. Beside it the untouched bars, as a batch of a provider each, and what learned detection flags by itself:
models retrained every 250 bars on the bars before only, so that none has seen what it judges.

    .venv/bin/python benchmarks/quality.py [--each 1000] [--rows 1000000]

The last line is a JSON object: ``recall`` (kind to share caught by the named rule), ``false_reject`` (share of the
untouched bars), ``validate_rows_per_s``, ``transform_rows_per_s`` and ``pandas_rows_per_s`` (the same indicators in
plain pandas), ``anomalies`` (for each detector ``recall`` by kind, and ``precision``).
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import cycle
from typing import Any

import injections
import numpy as np
import transform
from injections import BEFORE, KINDS, LENGTH, NOW, Bars, History, HistoryPart, Injected

from fintrack_tasks.domain import BATCH_LIMIT, Batch
from fintrack_tasks.validate import PriorBars, ValidationContext, anomalies, check_batch

SEED = 4
RETRAINED = 250
"""Bars after which a model is trained anew."""
ECHO = 1
"""Bars after an error whose numbers it changes: a flag there is neither right nor wrong."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=1000, help="errors of each kind")
    parser.add_argument("--rows", type=int, default=1_000_000, help="bars to check and to transform")
    arguments = parser.parse_args()
    histories = injections.real_histories()
    figures = rules(histories, arguments.each)
    figures |= untouched(histories)
    figures |= speeds(histories, arguments.rows)
    figures["anomalies"] = learned(histories, arguments.each)
    print(json.dumps(figures))


# --- the rules


def rules(histories: Mapping[str, History], each: int) -> dict[str, Any]:
    """The matrix, and the share of each kind that the named rule catches."""
    rng = np.random.default_rng(SEED)
    fired: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    named: dict[str, str] = {}
    for kind, inject in KINDS.items():
        for _ in range(each):
            window = injections.some_window(histories, rng)
            made = inject(window.bars, rng)
            fired[kind].update(injections.rules_on(injections.judge(window, made.bars), made.rows))
            named[kind] = made.rule
    show_matrix(fired, named, each)
    return {"recall": {kind: round(fired[kind][named[kind]] / each, 4) for kind in KINDS}}


def show_matrix(fired: Mapping[str, Counter[str]], named: Mapping[str, str], each: int) -> None:
    columns = sorted({rule for counts in fired.values() for rule in counts} | set(named.values()))
    print(f"{each} errors of each kind, share in which a rule fired on the row; [the rule that has to]")
    print(" " * 22 + " ".join(f"{column[:12]:>12}" for column in columns))
    for kind, counts in fired.items():
        cells = []
        for column in columns:
            text = f"{counts[column] / each:.1%}" if counts[column] or column == named[kind] else "."
            cells.append(f"[{text}]" if column == named[kind] else f"{text} ")
        print(f"{kind:<22}" + " ".join(f"{cell:>12}" for cell in cells))


def untouched(histories: Mapping[str, History]) -> dict[str, Any]:
    """The share of real bars that a rule rejects, and by which."""
    rejected: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    total = wrong = 0
    for history in histories.values():
        for batch, context in batches(history):
            found = check_batch(batch, NOW, context=context)
            total += len(batch)
            wrong += len({one.row for one in found if one.severity == "reject"})
            rejected.update(one.rule for one in found if one.severity == "reject")
            flagged.update(one.rule for one in found if one.severity != "reject")
    print(f"{total:,} untouched bars: {wrong} rejected ({wrong / total:.4%}) {dict(rejected)}; flagged {dict(flagged)}")
    return {"false_reject": round(wrong / total, 6), "real_bars": total}


def batches(history: History) -> Iterator[tuple[Batch, ValidationContext]]:
    """A whole history as a provider's answers, each with what the pipeline knows before it."""
    for start in range(0, len(history.bars["timestamp"]), BATCH_LIMIT):
        window = injections.window_at(history, start, start + BATCH_LIMIT)
        names = ("timestamp", "open", "high", "low", "close", "volume")
        before = PriorBars(*(window.before[name] for name in names))
        context = ValidationContext(history.instrument.asset_class, history.sessions, before, history.splits)
        yield injections.batch_of(history.instrument, window.bars), context


def speeds(histories: Mapping[str, History], rows: int) -> dict[str, int]:
    """Bars a second: all checks with their context, and all indicators; beside them the indicators in plain pandas."""
    once = [pair for history in histories.values() for pair in batches(history)]
    count, began = 0, time.perf_counter()
    for batch, context in cycle(once):
        check_batch(batch, NOW, context=context)
        count += len(batch)
        if count >= rows:
            break
    validated = count / (time.perf_counter() - began)
    bars, benchmark = transform.real_bars(rows)
    transformed, plain = transform.measure(bars, benchmark), transform.measure_pandas(bars, benchmark)
    print(f"{count:,} bars validated at {validated:,.0f}/s, all rules")
    print(f"{len(bars):,} bars transformed at {transformed:,.0f}/s; plain pandas {plain:,.0f}/s")
    return {
        "validate_rows_per_s": round(validated),
        "transform_rows_per_s": round(transformed),
        "pandas_rows_per_s": round(plain),
    }


# --- what is learned


def wrong_volume(bars: Bars, rng: np.random.Generator) -> Injected:
    """One bar's volume is that of another unit: thirty times or a thirtieth of it."""
    row, factor = int(rng.integers(len(bars["timestamp"]))), float(rng.choice([30.0, 1 / 30]))
    changed = {name: values.copy() for name, values in bars.items()}
    changed["volume"][row] = np.round(changed["volume"][row] * factor)
    return Injected(changed, (row,), "volume_anomaly")


LEARNED: Mapping[str, Callable[[Bars, np.random.Generator], Injected]] = {
    **{kind: KINDS[kind] for kind in ("unit_error", "missed_split", "spike", "conflicting_duplicate", "stale_repeat")},
    "wrong_volume": wrong_volume,
}
"""Errors that change what a model looks at. That a bar is too like the one before it, or off by a little, is hardly
unlike: the rules tell that."""
DETECTORS = ("robust", "forest", "either")


def learned(histories: Mapping[str, History], each: int) -> dict[str, Any]:
    """What models flag of bars that they were not trained on: recall by kind, precision over all, one error in 60."""
    rng = np.random.default_rng(SEED)
    hits: dict[str, Counter[str]] = defaultdict(Counter)
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    model_of = trainer(histories)
    for kind, inject in LEARNED.items():
        for _ in range(each):
            symbol, start = some_place(histories, rng)
            window = injections.window_at(histories[symbol], start, start + LENGTH)
            made = inject(window.bars, rng)
            flags = flags_on(model_of(symbol, start // RETRAINED * RETRAINED), window, made)
            near = {row + step for row in changed(window.bars, made) for step in range(ECHO + 1)}
            for detector in DETECTORS:
                rows = {row for row, by in flags.items() if detector in by}
                found = bool(rows & set(made.rows))
                hits[detector][kind] += found
                right[detector] += found
                wrong[detector] += len(rows - near)
    figures = {
        detector: {
            "recall": {kind: round(hits[detector][kind] / each, 4) for kind in LEARNED},
            "precision": round(right[detector] / max(1, right[detector] + wrong[detector]), 4),
        }
        for detector in DETECTORS
    }
    show_learned(figures, wrong, each)
    return figures


def show_learned(figures: Mapping[str, Any], wrong: Counter[str], each: int) -> None:
    print(f"learned: {each} errors of each kind in {LENGTH} bars each, share flagged; one error in {LENGTH} bars")
    print(" " * 10 + " ".join(f"{kind[:13]:>13}" for kind in LEARNED) + f"{'precision':>11}{'real flagged':>14}")
    for detector, figure in figures.items():
        cells = " ".join(f"{share:>13.1%}" for share in figure["recall"].values())
        real = wrong[detector] / (each * len(LEARNED) * LENGTH)
        print(f"{detector:<10}{cells}{figure['precision']:>11.1%}{real:>14.2%}")


def some_place(histories: Mapping[str, History], rng: np.random.Generator) -> tuple[str, int]:
    """A symbol and a place in its history with two years of bars before it, each place being as likely as any other."""
    room = {symbol: len(each.bars["timestamp"]) - LENGTH - 2 * RETRAINED for symbol, each in histories.items()}
    room = {symbol: size for symbol, size in room.items() if size > 0}
    sizes = np.array(list(room.values()), dtype=np.float64)
    symbol = list(room)[int(rng.choice(len(sizes), p=sizes / sizes.sum()))]
    return symbol, 2 * RETRAINED + int(rng.integers(room[symbol]))


def trainer(histories: Mapping[str, History]) -> Callable[[str, int], anomalies.Model]:
    @cache
    def trained(symbol: str, until: int) -> anomalies.Model:
        history = histories[symbol]
        return anomalies.train({name: values[:until] for name, values in history.bars.items()}, history.splits)

    return trained


def changed(bars: Bars, made: Injected) -> set[int]:
    """The rows that differ from the real ones: a missed split changes all that follow, prices and volumes."""
    if len(made.bars["timestamp"]) != len(bars["timestamp"]):
        return set(made.rows)
    differs = [made.bars[name] != bars[name] for name in ("open", "high", "low", "close", "volume")]
    return set(made.rows) | set(np.flatnonzero(np.any(differs, axis=0)).tolist())


def flags_on(model: anomalies.Model, window: HistoryPart, made: Injected) -> dict[int, set[str]]:
    """Row of the window to the detectors that flag it."""
    names = ("timestamp", "open", "high", "low", "close", "volume")
    bars = {name: np.concatenate([window.before[name], made.bars[name]]) for name in names}
    shift = len(window.before["timestamp"])
    return {
        one.row - shift: {*one.detectors, "either"}
        for one in anomalies.score(model, bars, window.history.splits)
        if one.row >= shift
    }


if __name__ == "__main__":
    if BEFORE <= anomalies.ANOMALY_LOOKBACK:
        raise SystemExit("the windows know too few bars before them")
    main()
