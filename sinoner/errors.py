"""The error tree: what a person did wrong, what can be continued, and nothing else.

Every other exception is a bug and may show its traceback.
"""

from __future__ import annotations


class SinonerError(Exception):
    """Base of the errors whose message is meant for a person: one line, no traceback.

    The message says what is wrong, where, and what to do next.
    """

    exit_code = 2


class InputError(SinonerError):
    """A file, a folder or a setting given by the person cannot be used."""


class BelowRequirementError(InputError):
    """The data were measured, and a figure is below what the recipe requires; nothing after it was started."""


class MissingExtraError(SinonerError):
    """A library of an optional extra is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed: pip install 'sinoner[{extra}]'")
        self._given = library, extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        """How it comes out of a worker process."""
        return MissingExtraError, self._given


class EndpointError(SinonerError):
    """The LLM endpoint cannot be used at all (no key, wrong key, unknown model, unreachable, no balance)."""


class StoppedError(SinonerError):
    """The run stopped early and the same command continues it (Ctrl-C, full disk, endpoint down)."""

    exit_code = 75
