"""The one HTTP client to providers, and what keeps its requests and answers within bounds and free of secrets."""
