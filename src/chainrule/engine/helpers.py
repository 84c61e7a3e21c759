"""Floor 2, engine: other processes that do what will be wanted soon, while this one does something else."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

# A job takes some seconds; one that takes so long hangs.
_LONGEST = 300.0


class Helpers:
    """Python processes that run a program, each for one job, which it is told on its standard input.

    Nobody asks whether a job was done: it leaves a file, or not, and then this process does it. When this process ends,
    so do they.

    program : the text of the program
    """

    def __init__(self, program: str):
        self._program = program
        self._forget()
        atexit.register(self._end)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Nothing is asked for: the child of a fork has neither the threads nor the processes."""
        self._parents = getattr(self, "_under_way", {})  # let go, Python would warn that they still run
        self._changed = threading.Condition()
        self._waiting: dict[str, bytes] = {}
        self._under_way: dict[str, subprocess.Popen] = {}
        self._threads = 0
        self._ended = False

    def ask(self, jobs: Mapping[str, bytes], most: int) -> None:
        """Have these named jobs done, the first ones first, by at most so many processes at a time."""
        if not _can_start_python():
            return
        with self._changed:
            self._waiting.update({name: told for name, told in jobs.items() if name not in self._under_way})
            for _ in range(min(len(self._waiting), most) - self._threads):
                self._threads += 1
                threading.Thread(target=self._serve, name="chainrule-helper", daemon=True).start()

    def settle(self, name: str, meanwhile: Callable[[str], object]) -> None:
        """Take this job back if nobody has begun it, else wait until it is over; meanwhile jobs that nobody has begun
        are handed to `meanwhile`."""
        with self._changed:
            self._waiting.pop(name, None)
        while name in self._under_way:
            with self._changed:
                other = next(iter(self._waiting), None)
                if other is None:
                    self._changed.wait_for(lambda: name not in self._under_way)
                    return
                del self._waiting[other]
            meanwhile(other)

    def _serve(self) -> None:
        while True:
            with self._changed:
                name = next(iter(self._waiting), None)
                process = None if name is None or self._ended else self._started()
                if name is None or process is None:
                    self._waiting.clear()
                    self._threads -= 1
                    return
                told = self._waiting.pop(name)
                self._under_way[name] = process
            try:
                process.communicate(told, timeout=_LONGEST)
            except (OSError, subprocess.TimeoutExpired):
                process.kill()
                process.communicate()
            finally:
                with self._changed:
                    del self._under_way[name]
                    self._changed.notify_all()

    def _started(self) -> subprocess.Popen | None:
        """A new Python that finds the modules where this one does; None where the system allows none."""
        nowhere = subprocess.DEVNULL
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        window = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        with suppress(OSError):
            return subprocess.Popen(
                [sys.executable, "-P", "-W", "ignore", "-c", self._program], stdin=subprocess.PIPE, stdout=nowhere,
                stderr=nowhere, env=environment, creationflags=window,
            )  # fmt: skip
        return None

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._waiting.clear()
            for process in self._under_way.values():
                process.kill()
            self._changed.wait_for(lambda: not self._under_way, timeout=1.0)


def _can_start_python() -> bool:
    """Whether the program that runs is Python by its name, and not another in which Python lives."""
    return bool(sys.executable) and not getattr(sys, "frozen", False) and "python" in Path(sys.executable).stem.lower()
