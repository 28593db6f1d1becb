"""The default indicators over many real bars, beside a plain pandas version of the same indicators in the same run.

    .venv/bin/python benchmarks/transform.py [--rows 1000000]

The last line is a JSON object: ``transform_rows_per_s``, ``pandas_rows_per_s``, ``ratio``.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import pandas as pd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    close, benchmark = real_bars(parser.parse_args().rows)
    ours, plain = measure(close, benchmark), measure_pandas(close, benchmark)
    print(f"{len(close):,} bars at {ours:,.0f}/s; plain pandas {plain:,.0f}/s")
    figures = {"transform_rows_per_s": round(ours), "pandas_rows_per_s": round(plain), "ratio": round(ours / plain, 2)}
    print(json.dumps(figures))


def real_bars(rows: int) -> tuple[np.ndarray[Any, np.dtype[np.float64]], None]:
    """Closes of the bundled S&P 500, repeated; none of these indicators needs a benchmark."""
    from fintrack_tasks.sandbox.prices import real_daily

    close = np.array([day.close for day in real_daily()["^GSPC"]])
    return np.tile(close, rows // len(close) + 1)[:rows], None


def measure(close: Any, _benchmark: None = None) -> float:
    """Bars per second through the pipeline's own indicators."""
    from fintrack_tasks.transform.indicators import indicators

    began = time.perf_counter()
    made = indicators(close)
    seconds = time.perf_counter() - began
    assert len(made["sma_50"]) == len(close)
    return len(close) / seconds


def measure_pandas(close: Any, _benchmark: None = None) -> float:
    """Bars per second through the same indicators as a plain pandas program writes them."""
    began = time.perf_counter()
    series = pd.Series(close)
    change = series.diff()
    gain, loss = (part.clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean() for part in (change, -change))
    macd = series.ewm(span=12, adjust=False).mean() - series.ewm(span=26, adjust=False).mean()
    signal = macd.ewm(span=9, adjust=False).mean()
    made = pd.DataFrame(
        {
            "sma_20": series.rolling(20).mean(),
            "sma_50": series.rolling(50).mean(),
            "rsi_14": 100 - 100 / (1 + gain / loss),
            "macd": macd,
            "macd_signal": signal,
            "macd_histogram": macd - signal,
            "volatility_20": np.log(series).diff().rolling(20).std() * np.sqrt(252),
        }
    )
    seconds = time.perf_counter() - began
    assert len(made) == len(close)
    return len(close) / seconds


if __name__ == "__main__":
    main()
