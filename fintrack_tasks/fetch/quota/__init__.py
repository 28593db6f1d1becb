"""The quotas of providers: parsed from the settings, and kept by a gate before every request."""
