"""Vectors and tokens that a run folder keeps between searches."""
