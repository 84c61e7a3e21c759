"""Levenberg-Marquardt from several first weights: python -m benchmarks.starts [PROBLEM …] [--seeds 20] [--starts 5]

The error at the end of the best of 1, 2, … starts over that of scikit-learn's best solver, and their time over its
time: medians over the seeds, each start for at most `--seconds`.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.curved_problems import PROBLEMS, Problem
from benchmarks.second_order import ROUNDING, Task, by_minimize, by_sklearn


class Start(Task):
    """A task's rows with other first weights: those of its own seed for number 0."""

    def __init__(self, problem: Problem, seed: int, number: int):
        super().__init__(problem, seed)
        self.number = number

    def network(self, initialiser: str = "auto") -> cr.Network:
        seed: Any = [self.seed, self.number] if self.number else self.seed
        return self.with_seed(seed, initialiser)


def of_seed(problem: Problem, starts: int, seconds: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(errors at the end over scikit-learn's best, seconds over its seconds) of each start."""
    rivals = [by_sklearn(solver)(Task(problem, seed), seconds) for solver in ("lbfgs", "adam")]
    rival = min(rivals, key=lambda trial: trial.end)
    fit = by_minimize("levenberg_marquardt")
    own = [fit(Start(problem, seed, number), seconds) for number in range(starts)]
    ends = np.array([max(trial.end, ROUNDING) / max(rival.end, ROUNDING) for trial in own])
    return ends, np.array([trial.took / rival.took for trial in own])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [name for name, problem in PROBLEMS.items() if problem.noise_free]
    parser.add_argument("problems", nargs="*", metavar="PROBLEM", help=f"of {', '.join(names)}; default friedman3")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    given = parser.parse_args()
    unknown = [name for name in given.problems if name not in names]
    if unknown:
        parser.error(f"unknown problem {unknown[0]!r}; there are {', '.join(names)}")
    for name in given.problems or ["friedman3"]:
        problem = PROBLEMS[name]
        by_minimize("levenberg_marquardt")(Task(problem, 0), 0.0)  # what a first call compiles is compiled before
        found = map(partial(of_seed, problem, given.starts, given.seconds), range(given.seeds))
        ends, times = map(np.array, zip(*found, strict=True))
        print(f"{name}, {given.seeds} seeds, at most {given.seconds:g} s a start: medians")
        for count in range(1, given.starts + 1):
            lowest, spent = np.median(ends[:, :count].min(axis=1)), np.median(times[:, :count].sum(axis=1))
            print(f"  best of {count}: {lowest:.3g} of scikit-learn's error, in {spent:.2g} of its time", flush=True)


if __name__ == "__main__":
    main()
