"""Long texts made short for people."""

from __future__ import annotations


def clip(said: str, most: int) -> str:
    """Cut a text to ``most`` code points, the last an ellipsis."""
    return said if len(said) <= most else said[: most - 1] + "…"
