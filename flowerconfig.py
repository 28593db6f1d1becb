"""Flower's defaults: it listens on loopback, and anywhere else only behind a password.

Flower reads this file by itself; FLOWER_ADDRESS, FLOWER_PORT and FLOWER_BASIC_AUTH (user:password) come from the
environment, as does FLOWER_BASIC_AUTH_FILE.
"""

import sys

from fintrack_tasks.settings import settings

_settings = settings()
_options = [argument.partition("=") for argument in sys.argv if argument.startswith("--")]
_given = {name.lstrip("-").replace("-", "_"): value for name, _, value in _options}

address = _given.get("address", _settings.flower_address)
port = _settings.flower_port
persistent = False
natural_time = False

_password = _given.get("basic_auth") or _settings.flower_basic_auth.get_secret_value()
if _password:
    basic_auth = [_password]
elif address not in ("127.0.0.1", "localhost", "::1"):
    sys.exit(
        f"Flower would listen on {address or 'every address'} without a password: set FLOWER_BASIC_AUTH=user:password"
    )
