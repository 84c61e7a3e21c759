"""A process that trains in forks of itself and kills them: one JSON line in, one out for each. Not a test.

Imports and kernels are loaded once, before the forks, so that a kill at a random moment falls into the training.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import job

import chainrule.files as files


class SlowFile:
    """A file that takes its time over every write, so that a kill falls into the middle of one."""

    def __init__(self, file):
        self.file = file

    def write(self, data):
        piece = max(1, len(data) // 8)
        for k in range(0, len(data), piece):
            self.file.write(data[k : k + piece])
            self.file.flush()
            time.sleep(0.002)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.file.close()


def slow_down():
    """Let each stage of a checkpoint's way to the disk take a while."""
    fsync, replace = os.fsync, os.replace

    def opened(path, mode, **options):
        file = open(path, mode, **options)  # noqa: SIM115 (whoever asked closes it)
        return SlowFile(file) if mode == "xb" else file

    files.open = opened
    files.os.fsync = lambda *a: (time.sleep(0.004), fsync(*a))
    files.os.replace = lambda *a: (time.sleep(0.004), replace(*a), time.sleep(0.004))

    class SlowJournal(job.EvaluationJournal):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self._file = SlowFile(self._file)

    job.EvaluationJournal = SlowJournal


def work(order):
    if order["slow"]:
        slow_down()
    if order["method"] == "lbfgs":
        job.Job(**order["options"]).lbfgs(order["path"], resume=True)
    else:
        job.Job(**order["options"]).train(order["path"], resume=True, every=order["every"])


def run(order, wait=None):
    """Do the work in a fork, killed after `wait` seconds; (how it ended, seconds that it took)."""
    child, began = os.fork(), time.perf_counter()
    if child == 0:
        work(order)
        os._exit(0)
    if wait is not None:
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return "killed" if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), time.perf_counter() - began


def main():
    job.Job(epochs=2).train()
    job.Job(epochs=2).lbfgs()
    whole = {}  # seconds that the work takes when it is left alone
    for line in sys.stdin:
        order = json.loads(line)
        kind = json.dumps(order["options"]) + order["method"]
        if kind not in whole:
            whole[kind] = run(order | {"path": order["path"] + ".timed"})[1]
        print(json.dumps(run(order, order["fraction"] * whole[kind])[0]), flush=True)


if __name__ == "__main__":
    main()
