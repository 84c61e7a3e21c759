"""Floor 3, training: Ctrl-C held back while weights move, and delivered where they stand still."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class _Guard:
    """The handler of SIGINT while anything is held: it notes the signal, or passes it on where a window is open."""

    def __init__(self, previous: Any):
        self.previous = previous
        self.depth = 1  # how many `Held` there are; 0 in a window
        self.pending: tuple[int, FrameType | None] | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.depth:
            self.pending = number, frame
        else:
            self.previous(number, frame)

    def deliver(self) -> None:
        if self.pending is not None:
            pending, self.pending = self.pending, None
            self.previous(*pending)


# The guard of the main thread, the only one in which Python runs handlers.
_guard: _Guard | None = None


def _in_main_thread() -> bool:
    return threading.get_ident() == threading.main_thread().ident


class Held:
    """Within this `with`, Ctrl-C waits: it arrives at `deliver()`, or else where nothing holds it any more.

    Whatever handler stood before (Python's own, which raises KeyboardInterrupt, or somebody's) gets the signal then.
    Outside the main thread it does nothing.
    """

    def __init__(self) -> None:
        self._guard: _Guard | None = None
        self._outermost = False

    def __enter__(self) -> Held:
        global _guard
        if not _in_main_thread():
            return self
        if _guard is not None:
            self._guard = _guard
            _guard.depth += 1
            return self
        previous = signal.getsignal(signal.SIGINT)
        if callable(previous):  # neither ignored nor left to the system
            guard = _Guard(previous)
            try:
                signal.signal(signal.SIGINT, guard.handle)
            except ValueError:  # a subinterpreter has no signals
                return self
            self._guard, self._outermost = guard, True
            _guard = guard
        return self

    def deliver(self) -> None:
        """Hand over what was held back: usually this raises KeyboardInterrupt."""
        if self._guard is not None:
            self._guard.deliver()

    def __exit__(self, *exc: object) -> None:
        global _guard
        if self._guard is None:
            return
        if not self._outermost:
            self._guard.depth -= 1
            if self._guard.depth:
                return
        else:
            _guard = None
            signal.signal(signal.SIGINT, self._guard.previous)
        self._guard.deliver()


class Window:
    """Within this `with`, Ctrl-C arrives at once, although a `Held` is around it: code of somebody else runs here."""

    def __init__(self) -> None:
        self._guard = _guard if _in_main_thread() else None
        self._depth = 0

    def __enter__(self) -> Window:
        if self._guard is not None:
            self._depth, self._guard.depth = self._guard.depth, 0
        return self

    def __exit__(self, *exc: object) -> None:
        if self._guard is not None:
            self._guard.depth = self._depth
