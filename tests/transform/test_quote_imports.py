"""A single quote costs neither pandas nor TA-Lib; ``benchmarks/transform.py`` prints what it costs."""

from __future__ import annotations

import subprocess
import sys


def test_a_quotes_way_imports_neither_pandas_nor_ta_lib() -> None:
    program = (
        "import sys\n"
        "from datetime import UTC, datetime\n"
        "from fintrack_tasks.domain import Batch, Kind\n"
        "from fintrack_tasks.transform import clean_batch\n"
        "from fintrack_tasks.validate import check_batch\n"
        "batch = Batch(Kind.QUOTE, 'AAPL', 'x', {'timestamp': [0], 'price': ['1'], 'previous_close': ['2']}, 'USD')\n"
        "check_batch(batch, datetime(1970, 1, 1, tzinfo=UTC))\n"
        "assert clean_batch(batch).columns['price_change'] == ['-1']\n"
        "print(sorted({'pandas', 'numpy', 'talib'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
