"""Metrics of named entity recognition."""
