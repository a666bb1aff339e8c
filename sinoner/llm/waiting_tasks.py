"""Tasks that wait: for a free place at their endpoint, for another attempt, or for an answer already on its way."""

from __future__ import annotations

import heapq
import time
from collections import deque

from sinoner.llm.endpoints import Job

# No more tasks wait for a place, or for anything else, than this: memory does not grow with the corpus.
_READY = 64
_OTHERS = 2048


class Waiting:
    """The waiting tasks of a dispatcher. ``ready`` are those that only need a place, in their order."""

    def __init__(self) -> None:
        self.ready: deque[Job] = deque()
        self._retrying: list[tuple[float, int, Job]] = []
        # Keys on their way, with the tasks that wait for the same answer.
        self._claimed: dict[str, list[Job]] = {}
        self._number = 0
        self._followers = 0

    @property
    def full(self) -> bool:
        """Whether no further task should be taken from the source now."""
        return len(self.ready) >= _READY or len(self._retrying) + self._followers >= _OTHERS

    @property
    def empty(self) -> bool:
        """Whether no task waits and no key is on its way."""
        return not self.ready and not self._retrying and not self._claimed

    def add(self, job: Job, *, front: bool = False) -> None:
        """Queue a task; if the same question is on its way already, it waits for that answer instead."""
        same = self._claimed.get(job.request.key)
        if same is not None:
            same.append(job)
            self._followers += 1
            return
        self._claimed[job.request.key] = []
        if front:
            self.ready.appendleft(job)
        else:
            self.ready.append(job)

    def park(self, job: Job, seconds: float) -> None:
        """Queue a task for another attempt in so many seconds. Until then it takes no place."""
        self._number += 1
        heapq.heappush(self._retrying, (time.monotonic() + seconds, self._number, job))

    def wake(self, now: float) -> None:
        """Make the tasks ready whose time has come, before those that are ready."""
        while self._retrying and self._retrying[0][0] <= now:
            self.ready.appendleft(heapq.heappop(self._retrying)[2])

    def release(self, key: str) -> list[Job]:
        """A request came to its end: the tasks that waited for the same answer."""
        followers = self._claimed.pop(key)
        self._followers -= len(followers)
        return followers
