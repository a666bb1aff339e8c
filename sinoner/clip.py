"""Shortening texts for display."""

from __future__ import annotations


def clip(text: str, most: int) -> str:
    """Cut a text to ``most`` code points, the last an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"
