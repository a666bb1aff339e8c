"""The error tree: what a person did wrong, what can be continued, and nothing else.

Every other exception is a bug and may show its traceback.
"""

from __future__ import annotations


class SinonerError(Exception):
    """Base of the errors whose message is meant for a person: one line, no traceback.

    The message says what is wrong, where, and what to do next.

    Example:
        >>> from sinoner import SinonerError, read_corpus
        >>> try:
        ...     documents = list(read_corpus("missing.jsonl"))
        ... except SinonerError as error:
        ...     print(type(error).__name__)
        InputError
    """

    exit_code = 2


class InputError(SinonerError):
    """A file, a folder or a setting given by the person cannot be used.

    Example:
        >>> from sinoner import InputError, chunk
        >>> try:
        ...     chunk([], max_tokens=0)
        ... except InputError as error:
        ...     print("max_tokens" in str(error))
        True
    """


class BelowRequirementError(InputError):
    """The data were measured, and a figure is below what the recipe requires; nothing after it was started.

    Example:
        >>> from sinoner import BelowRequirementError, InputError
        >>> issubclass(BelowRequirementError, InputError)
        True
    """


class MissingExtraError(SinonerError):
    """A library of an optional extra is not installed.

    Example:
        >>> from sinoner import MissingExtraError
        >>> print(MissingExtraError("faiss", "retrieve"))
        faiss is not installed: pip install 'sinoner[retrieve]'
    """

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed: pip install 'sinoner[{extra}]'")
        self._given = library, extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        """How it comes out of a worker process."""
        return MissingExtraError, self._given


class EndpointError(SinonerError):
    """The LLM endpoint cannot be used at all (no key, wrong key, unknown model, unreachable, no balance).

    Example:
        >>> from sinoner import EndpointError, annotate_texts
        >>> try:
        ...     annotate_texts(["张伟在北京。"], by="llm")
        ... except EndpointError as error:
        ...     print("model" in str(error))
        True
    """


class StoppedError(SinonerError):
    """The run stopped early and the same command continues it (Ctrl-C, full disk, endpoint down).

    Example:
        >>> from sinoner import StoppedError
        >>> StoppedError.exit_code
        75
    """

    exit_code = 75
