"""A local market: it answers over HTTP as the real providers do, over bundled real prices."""

from fintrack_tasks.sandbox.prices import real_daily_bars
from fintrack_tasks.sandbox.server import VENUES, Running, base_urls, running, serve

__all__ = ["VENUES", "Running", "base_urls", "real_daily_bars", "running", "serve"]
