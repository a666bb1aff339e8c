"""Model text → mentions, or the reason it cannot be read. Parsing only: nothing is executed, no mention altered."""

from sinoner.answers.repair import repair_mentions
from sinoner.answers.strict import Mentions, Surfaces, parse_mentions, parse_surfaces

__all__ = ["Mentions", "Surfaces", "parse_mentions", "parse_surfaces", "repair_mentions"]
