"""One file per provider: its paths, its shapes, its error bodies, its limits."""
