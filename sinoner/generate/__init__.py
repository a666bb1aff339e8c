"""Prompts → model answers."""
