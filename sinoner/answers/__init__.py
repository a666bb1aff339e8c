"""Model text → mentions or verdicts, or the reason it cannot be read. Parsing only: nothing is executed or altered."""

from sinoner.answers.repair import repair_by_type, repair_mentions
from sinoner.answers.strict import ByType, Mentions, Surfaces, parse_by_type, parse_mentions, parse_surfaces
from sinoner.answers.verdicts import Verdict, Verdicts, parse_verdicts

__all__ = [
    "ByType",
    "Mentions",
    "Surfaces",
    "Verdict",
    "Verdicts",
    "parse_by_type",
    "parse_mentions",
    "parse_surfaces",
    "parse_verdicts",
    "repair_by_type",
    "repair_mentions",
]
