"""Embeddings and neighbours."""
