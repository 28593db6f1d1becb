"""Checks of a user's DataFrame with pandas; the pipeline's batches are checked one level up."""
