"""When what is due: many times of day, of which the next one is at hand."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)


class Alarms(Generic[Name]):
    """One time for each name, in seconds since 1970. A time that was set again or cancelled takes no room for long."""

    def __init__(self) -> None:
        self._times: dict[Name, float] = {}
        self._numbers = itertools.count()
        self._heap: list[tuple[float, int, Name]] = []
        """Those in `_times`, and others that no longer count."""

    def __len__(self) -> int:
        return len(self._times)

    def set(self, name: Name, when: float) -> None:
        """It is due then, and no longer at an earlier time that was set."""
        self._times[name] = when
        heapq.heappush(self._heap, (when, next(self._numbers), name))
        if len(self._heap) > 2 * len(self._times) + 64:
            self._heap = [(when, next(self._numbers), name) for name, when in self._times.items()]
            heapq.heapify(self._heap)

    def cancel(self, name: Name) -> None:
        """It is not due any more, if it was."""
        self._times.pop(name, None)

    def next_time(self) -> float | None:
        """When the next one is due; None when there is none."""
        while self._heap and self._times.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float) -> Name | None:
        """The next one that is due at `now`, which it is then no more."""
        when = self.next_time()
        if when is None or when > now:
            return None
        name = heapq.heappop(self._heap)[2]
        del self._times[name]
        return name
