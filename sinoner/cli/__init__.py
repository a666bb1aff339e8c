"""The command line: verbs and their flags, parsing only."""

from sinoner.cli.app import main

__all__ = ["main"]
