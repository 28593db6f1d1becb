"""The checks over a user's DataFrame; those of the pipeline's batches are one level up."""
