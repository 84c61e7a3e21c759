"""The problems of `benchmarks.second_order`: data from a seed, a network, and what is fair to ask of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_diabetes, load_digits, make_friedman1, make_friedman2, make_friedman3
from sklearn.preprocessing import StandardScaler

Rows = tuple[np.ndarray, np.ndarray]
Data = tuple[Rows, Rows]


@dataclass(frozen=True)
class Problem:
    """One problem.

    data : seed -> ((X, y) to fit, (X, y) to test on); y is N × 1 and standardised, or N class numbers
    hidden : sizes of the hidden layers
    noise_free : whether a network can make the error as small as it likes
    smooth : whether the goals of smooth regression are asked of it
    seconds : what each method may take at most
    most : iterations of scikit-learn's L-BFGS and epochs of its Adam, which take no time limit
    keeps_jacobian : whether J, and SciPy's copies of it, fit into memory
    step : of Adam
    """

    name: str
    data: Callable[[int], Data]
    hidden: tuple[int, ...]
    noise_free: bool = False
    smooth: bool = True
    seconds: float = 5.0
    step: float = 0.01
    activation: str = "tanh"
    classes: int = 0
    most: tuple[int, int] = (20_000, 2_000)
    keeps_jacobian: bool = True


def _standard(y: np.ndarray, like: np.ndarray) -> np.ndarray:
    return ((y - like.mean()) / like.std())[:, None]


def _xor(seed: int) -> Data:
    X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    rows = X, np.array([[0.0], [1.0], [1.0], [0.0]])
    return rows, rows


def sine(seed: int, noise: float, N: int = 60) -> Data:
    """sin 2πx on [−1, 1], with normal noise; tested on the curve itself."""
    rng = np.random.default_rng(seed)
    x, x_test = rng.uniform(-1, 1, N), np.linspace(-1, 1, 500)
    y, y_test = np.sin(2 * np.pi * x) + noise * rng.normal(size=N), np.sin(2 * np.pi * x_test)
    return (x[:, None], y[:, None]), (x_test[:, None], y_test[:, None])


def _friedman(make: Callable, N: int = 500) -> Callable[[int], Data]:
    def data(seed: int) -> Data:
        X, y = make(2 * N, noise=0.0, random_state=seed)
        X = StandardScaler().fit_transform(X)
        y = _standard(y, y[:N])
        return (X[:N], y[:N]), (X[N:], y[N:])

    return data


def _diabetes(seed: int) -> Data:
    X, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    X, y = StandardScaler().fit_transform(X)[order], y[order]
    y = _standard(y, y[:331])
    return (X[:331], y[:331]), (X[331:], y[331:])


def _control(seed: int) -> Data:
    """The command of a fuzzy-like controller over error and its rate: a plane that saturates, with a soft dead zone."""
    rng = np.random.default_rng(seed)

    def command(e: np.ndarray) -> np.ndarray:
        u = 2.0 * e[:, 0] + e[:, 1]
        return np.tanh(u) * (1.0 - np.exp(-2.0 * u * u)) + 0.2 * np.sin(3.0 * e[:, 0]) * e[:, 1]

    X, X_test = rng.uniform(-1, 1, (400, 2)), rng.uniform(-1, 1, (400, 2))
    y = command(X)
    return (X, _standard(y, y)), (X_test, _standard(command(X_test), y))


def _digits(seed: int) -> Data:
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    X, y = X[order] / 16.0, y[order]
    return (X[:1347], y[:1347]), (X[1347:], y[1347:])


def _large(seed: int) -> Data:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60_000, 20))
    y = np.sin(X[:, 0]) * X[:, 1] + np.abs(X[:, 2]) + 0.5 * X[:, 3] * X[:, 4] + 0.3 * rng.normal(size=len(X))
    y = _standard(y, y[:50_000])
    return (X[:50_000], y[:50_000]), (X[50_000:], y[50_000:])


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem("xor", _xor, (3, 3), noise_free=True, seconds=1.0, step=0.03),
        Problem("sine", lambda seed: sine(seed, 0.0), (10,), noise_free=True, seconds=3.0),
        Problem("noisy sine", lambda seed: sine(seed, 0.2), (10,), seconds=3.0),
        Problem("friedman1", _friedman(make_friedman1), (20,), noise_free=True),
        Problem("friedman2", _friedman(make_friedman2), (20,), noise_free=True),
        Problem("friedman3", _friedman(make_friedman3), (20,), noise_free=True),
        Problem("control surface", _control, (20,), noise_free=True),
        Problem("diabetes", _diabetes, (5,), seconds=3.0),
        Problem("digits", _digits, (30,), smooth=False, step=0.003, classes=10),
        Problem(
            "table of 50,000",
            _large,
            (64,),
            smooth=False,
            seconds=20.0,
            step=0.003,
            most=(500, 40),
            keeps_jacobian=False,
        ),
    )
}
