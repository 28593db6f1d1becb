"""A local market: it answers over HTTP as the real providers do, over bundled real prices."""

from fintrack_tasks.sandbox.control import Control
from fintrack_tasks.sandbox.prices import real_daily_bars
from fintrack_tasks.sandbox.running import Running, running
from fintrack_tasks.sandbox.server import FAKE_APIS, base_urls, serve

__all__ = ["FAKE_APIS", "Control", "Running", "base_urls", "real_daily_bars", "running", "serve"]
