"""Fitted models of every kind that a file holds, small and made once; each with rows to predict on."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd

import chainrule as cr
from chainrule.descent import SECOND_ORDER
from chainrule.network import INITIALISERS


def bent(z):
    """An activation of one's own, with a constant of NumPy's type and a choice."""
    return np.where(z > 0, z, np.float64(0.3) * np.tanh(z)) + 0.01 * z**2


def rows(N=40, D=3, seed=0):
    return np.random.default_rng(seed).normal(size=(N, D))


def mlp(cls, y, dtype=np.float64, **settings):
    settings = {"hidden_layer_sizes": (5,), "max_iter": 6, "random_state": 0, **settings}
    X = rows().astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cls(**settings).fit(X, y(X)), X


def labels(*names, dtype=None):
    return lambda X: np.array(names, dtype)[np.digitize(X[:, 0], np.linspace(-0.5, 0.5, len(names) - 1))]


def frame(N=60):
    rng = np.random.default_rng(1)
    days = pd.Timestamp("2020-01-30") + pd.to_timedelta(rng.integers(0, 4000, N), unit="D")
    found = pd.DataFrame(
        {
            "size": rng.normal(size=N),
            "colour": rng.choice(["red", "grün", "blue", None], N),
            "sure": rng.choice([True, False], N),
            "when": days,
            "side": rng.choice(["left", "right"], N),
            "zone": rng.choice([1, 2, 7], N),
        }
    )
    found.loc[::7, "size"] = np.nan
    found.loc[3::11, "when"] = pd.NaT
    return found


def table(cls, y, **settings):
    X = frame()
    settings = {
        "hidden_layer_sizes": (6,), "epochs": 3, "random_state": 0, "kinds": {"zone": "category"}, **settings,
    }  # fmt: skip
    return cls(**settings).fit(X, y(X)), X


C, R = cr.MLPClassifier, cr.MLPRegressor
MODELS = {
    "two words": lambda: mlp(C, labels("no", "yes")),
    "three words": lambda: mlp(C, labels("a", "bb", "ccc")),
    "objects": lambda: mlp(C, labels("a", "bb", "ccc", dtype=object)),
    "integers": lambda: mlp(C, labels(3, 5, 9), solver="sgd"),
    "small integers": lambda: mlp(C, labels(1, 2, 3, dtype=np.int16)),
    "truth": lambda: mlp(C, lambda X: X[:, 0] > 0),
    "floats": lambda: mlp(C, labels(0.0, 1.0), dtype=np.float32),
    "multilabel": lambda: mlp(C, lambda X: (X > 0).astype(int)),
    "early stopping": lambda: mlp(C, labels("a", "b"), early_stopping=True, validation_fraction=0.3),
    "one number": lambda: mlp(R, lambda X: X[:, 0] ** 2, activation="logistic"),
    "two numbers": lambda: mlp(R, lambda X: X[:, :2], dtype=np.float32, hidden_layer_sizes=[4, 3]),
    "poisson": lambda: mlp(R, lambda X: np.exp(X[:, 0]), loss="poisson", activation=["tanh"]),
    "lbfgs": lambda: mlp(R, lambda X: X[:, 0], solver="lbfgs", activation=("leaky_relu", {"alpha": 0.2})),
    "rows of tables": lambda: mlp(
        R, lambda X: X[:, 0], solver=SECOND_ORDER["trainlm"], initialiser=INITIALISERS["he_normal"], n_init=3,
    ),
    "own activation": lambda: mlp(R, lambda X: X[:, 0], activation=bent),
    "own activations": lambda: mlp(
        R, lambda X: X[:, 0], activation=[bent, np.tanh, cr.Activation("mine", lambda z, k: k * z, parameters={"k": 0.5})],
        hidden_layer_sizes=(3, 4, 3), dtype=np.float32,
    ),
    "linear": lambda: mlp(R, lambda X: X[:, 0], hidden_layer_sizes=()),
    "a stream": lambda: mlp(R, lambda X: X[:, 0], random_state=np.random.RandomState(3)),
    "table of words": lambda: table(cr.TableClassifier, lambda X: X["side"].fillna("none") + X["zone"].astype(str)),
    "table of truth": lambda: table(cr.TableClassifier, lambda X: X["sure"]),
    "table of numbers": lambda: table(cr.TableRegressor, lambda X: X["size"].fillna(0.0) * 10, activation=bent),
}  # fmt: skip


@cache
def fitted(name):
    """(model, rows to predict on); do not change it."""
    return MODELS[name]()
