"""Conversations → model answers."""
