"""Requests to stop a run: the command line passes on Ctrl-C and SIGTERM, a library caller may ask as well."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


class Interrupts:
    """Whether a person asked to stop, and who takes care of it.

    Attributes:
        requested: whether somebody asked while it was heeded.
    """

    def __init__(self) -> None:
        self.requested = False
        self._noticed: Callable[[], None] | None = None

    @contextlib.contextmanager
    def heeded(self, noticed: Callable[[], None]) -> Iterator[None]:
        """Inside, the first request only sets ``requested``: who is at work looks at it and comes to an end.

        Args:
            noticed: called at that request.
        """
        self.requested, self._noticed = False, noticed
        try:
            yield
        finally:
            self._noticed = None

    def request(self) -> None:
        """Ask to stop, from a signal handler or another thread.

        Raises:
            KeyboardInterrupt: nobody heeds it, or it is the second time.
        """
        if self._noticed is None or self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._noticed()
