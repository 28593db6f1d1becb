"""Indicators of a million bars in one process, beside the same in plain pandas; a quote's way in milliseconds.

The bars are the bundled real histories, repeated under other names until there are enough; the benchmark of beta and
correlation is ^GSPC. Indicators need one symbol's bars in the order of time: the bars come so, as a store gives them.

    python benchmarks/transform.py [ROWS]
"""

import json
import sys
import time
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from fintrack_tasks.domain import Batch, Kind, to_micros
from fintrack_tasks.sandbox.prices import real_daily
from fintrack_tasks.transform import INDICATORS, DataTransformer, clean_batch
from fintrack_tasks.validate import check_batch

ROWS = 1_000_000
PRICES = ["open", "high", "low", "close", "volume"]


def real_bars(rows: int = ROWS) -> tuple[pd.DataFrame, pd.Series]:
    """So many daily bars with symbol and timestamp, and the benchmark's closes by time."""
    frames = []
    for symbol, days in real_daily().items():
        columns = {name: np.array([getattr(day, name) for day in days], dtype=np.float64) for name in PRICES}
        stamps = pd.DatetimeIndex([day.day for day in days]).tz_localize("UTC").as_unit("us")
        frames.append(pd.DataFrame({"symbol": symbol, "timestamp": stamps, **columns}))
    market = next(frame for frame in frames if frame["symbol"].iloc[0] == "^GSPC")
    copies = -(-rows // sum(map(len, frames)))
    named = [frame.assign(symbol=f"{frame['symbol'].iloc[0]}.{copy}") for copy in range(copies) for frame in frames]
    bars = pd.concat(named, ignore_index=True).iloc[:rows]
    return bars, pd.Series(market["close"].to_numpy(), index=pd.DatetimeIndex(market["timestamp"]))


def measure(bars: pd.DataFrame, benchmark: pd.Series, rounds: int = 3) -> float:
    """Bars a second through ``DataTransformer().enrich`` with all indicators; the best round."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        enriched = DataTransformer().enrich(bars, benchmark=benchmark)
        best = min(best, time.perf_counter() - began)
        if not set(INDICATORS) <= set(enriched.columns) or len(enriched) != len(bars):
            raise SystemExit("the transformer left something out")
        del enriched
    return len(bars) / best


def measure_pandas(bars: pd.DataFrame, benchmark: pd.Series) -> float:
    """Bars a second through :func:`plain_pandas`, symbol by symbol."""
    began = time.perf_counter()
    parts = [plain_pandas(part, benchmark) for _, part in bars.groupby("symbol", sort=False)]
    seconds = time.perf_counter() - began
    if sum(map(len, parts)) != len(bars):
        raise SystemExit("pandas left something out")
    return len(bars) / seconds


def plain_pandas(bars: pd.DataFrame, benchmark: pd.Series, per_year: int = 252) -> pd.DataFrame:
    """The same indicators (without VWAP, which daily bars have not) as one writes them in pandas."""
    close, high, low, volume = bars["close"], bars["high"], bars["low"], bars["volume"]
    change, returns, log = close.diff(), close.pct_change(), np.log(close).diff()
    out = pd.DataFrame({"change": change, "change_pct": returns, "log_change": log})
    for length in (20, 50, 200):
        out[f"sma_{length}"] = close.rolling(length).mean()
    for length in (12, 26):
        out[f"ema_{length}"] = seeded_ewm(close, length, 2 / (length + 1))
    gain = seeded_ewm(change.clip(lower=0).iloc[1:], 14, 1 / 14).reindex(close.index)
    loss = seeded_ewm((-change).clip(lower=0).iloc[1:], 14, 1 / 14).reindex(close.index)
    out["rsi_14"] = 100 * gain / (gain + loss)
    fast, slow = seeded_ewm(close.iloc[14:], 12, 2 / 13).reindex(close.index), out["ema_26"]
    line = fast - slow
    signal = seeded_ewm(line.iloc[25:], 9, 2 / 10).reindex(close.index)
    out["macd"], out["macd_signal"], out["macd_histogram"] = line.where(signal.notna()), signal, line - signal
    spread = 2 * close.rolling(20).std(ddof=0)
    out["bollinger_upper"], out["bollinger_lower"] = out["sma_20"] + spread, out["sma_20"] - spread
    before = close.shift()
    true_range = pd.concat([high - low, (high - before).abs(), (low - before).abs()], axis=1).max(axis=1)
    out["atr_14"] = seeded_ewm(true_range.iloc[1:], 14, 1 / 14).reindex(close.index)
    out["obv"] = volume.iloc[0] + (np.sign(change.fillna(0)) * volume).cumsum()
    out["volatility_20"] = log.rolling(20).std() * np.sqrt(per_year)
    ranges, inside = np.log(high / low) ** 2, np.log(close / bars["open"]) ** 2
    out["parkinson_20"] = np.sqrt(ranges.rolling(20).mean() / (4 * np.log(2)) * per_year)
    out["garman_klass_20"] = np.sqrt((ranges / 2 - (2 * np.log(2) - 1) * inside).rolling(20).mean() * per_year)
    out["drawdown"] = close / close.cummax() - 1
    own = close.set_axis(bars["timestamp"])
    market = benchmark.reindex(own.index).dropna()
    own_returns, market_returns = own.reindex(market.index).pct_change(), market.pct_change()
    beta = own_returns.rolling(60).cov(market_returns) / market_returns.rolling(60).var()
    out["beta_60"] = beta.reindex(own.index).to_numpy()
    out["correlation_60"] = own_returns.rolling(60).corr(market_returns).reindex(own.index).to_numpy()
    out["sharpe_252"] = returns.rolling(252).mean() / returns.rolling(252).std() * np.sqrt(per_year)
    out["var_95_252"] = -returns.rolling(252).quantile(0.05)
    return out


def seeded_ewm(values: pd.Series, length: int, weight: float) -> pd.Series:
    """An exponential average that begins with the mean of the first ``length`` values."""
    begun = values.astype("float64").copy()
    if len(begun) < length:
        return begun * np.nan
    begun.iloc[length - 1] = begun.iloc[:length].mean()
    return begun.iloc[length - 1 :].ewm(alpha=weight, adjust=False).mean().reindex(values.index)


def quote_ms(rounds: int = 200) -> float:
    """Milliseconds of one quote through its checks and its transform; the median round."""
    now = datetime(2024, 5, 6, 15, 0, tzinfo=UTC)
    columns = {"timestamp": [to_micros(now)], "price": ["182.50"], "previous_close": ["181.00"], "volume": ["1000"]}
    batch = Batch(Kind.QUOTE, "AAPL", "yahoo_finance", columns, "USD")
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        if check_batch(batch, now):
            raise SystemExit("the quote was found wrong")
        clean_batch(batch)
        times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times))


def main() -> None:
    """Print the figures, then one JSON line."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    bars, benchmark = real_bars(rows)
    ours = measure(bars, benchmark)
    plain = measure_pandas(bars, benchmark)
    quote = quote_ms()
    print(f"{len(bars):,} bars, {len(INDICATORS)} indicators: {ours:,.0f} bars/s; plain pandas {plain:,.0f} bars/s")
    print(f"a quote through validate and transform: {quote:.3f} ms")
    figures = {"transform_rows_per_s": round(ours), "pandas_rows_per_s": round(plain), "quote_ms": round(quote, 3)}
    print(json.dumps({"rows": len(bars), **figures, "ratio": round(ours / plain, 2)}))


if __name__ == "__main__":
    main()
