"""Floor 3, training: Ctrl-C held back while weights move, and delivered where they stand still."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Held:
    """Within this `with`, Ctrl-C waits: it arrives at `deliver()`, or else at the end of the block.

    Whatever handler stood before (Python's own, which raises KeyboardInterrupt, or somebody's) gets the signal then.
    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self._previous: Any = None
        self._pending: tuple[int, FrameType | None] | None = None

    def __enter__(self) -> Held:
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            if callable(previous):  # neither ignored nor left to the system
                try:
                    signal.signal(signal.SIGINT, self._hold)
                except ValueError:  # a subinterpreter has no signals
                    return self
                self._previous = previous
        return self

    def _hold(self, number: int, frame: FrameType | None) -> None:
        self._pending = number, frame

    def deliver(self) -> None:
        """Hand over what was held back: usually this raises KeyboardInterrupt."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            self._previous(*pending)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self.deliver()
