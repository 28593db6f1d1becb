"""Transformation and cleaning of a user's DataFrame; the pipeline's batches are transformed one level up."""
