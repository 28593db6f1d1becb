"""The quotas of providers: as settings say them, and held for the whole fleet by the gate before every request."""
