"""Transformation and cleaning of a user's DataFrame; those of the pipeline's batches are one level up."""
