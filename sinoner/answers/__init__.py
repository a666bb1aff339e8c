"""Model text → mentions or verdicts, or the reason it cannot be read. Parsing only: nothing is executed or altered."""

from sinoner.answers.repair import repair_mentions
from sinoner.answers.strict import Mentions, Surfaces, parse_mentions, parse_surfaces
from sinoner.answers.verdicts import Verdict, Verdicts, parse_verdicts

__all__ = [
    "Mentions",
    "Surfaces",
    "Verdict",
    "Verdicts",
    "parse_mentions",
    "parse_surfaces",
    "parse_verdicts",
    "repair_mentions",
]
