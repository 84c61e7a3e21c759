"""Fits that can be killed and resumed: one row each. As a program it runs them in forks of itself and kills those.

One JSON line in, one out for each. Imports and kernels are loaded once, before the forks, so that a kill at a random
moment falls into the fit.
"""

import builtins
import json
import os
import signal
import sys
import time
import warnings

import numpy as np
import pandas as pd
import scipy.sparse

import chainrule as cr
import chainrule.files as files
from chainrule.estimators import blocks
from chainrule.training import journal

# Sparse rows are made dense so many bytes at a time: a block is a part of the table.
SMALL_BLOCK = 1 << 14


def rows(N=240, D=5):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(N, D))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] ** 2 + 0.3 * rng.normal(size=N)


X, y = rows()
labels = np.array(["low", "mid", "high"])[np.digitize(y, [0.3, 1.2])]
HELD = rows(300)[0][240:], rows(300)[1][240:]
HELD_LABELS = HELD[0], np.array(["low", "mid", "high"])[np.digitize(HELD[1], [0.3, 1.2])]
weights = np.random.default_rng(4).uniform(0.5, 2, len(y))
frame = pd.DataFrame(X, columns=list("abcde"))
table = frame.assign(a=np.where(frame["a"] > 0, "up", "down"), b=frame["b"].mask(frame["b"] > 1.5))


def own_loss(y, yhat):
    return np.log(np.cosh(yhat - y))


def classifier(**settings):
    return cr.MLPClassifier(**{"hidden_layer_sizes": (8,), "max_iter": 25, "random_state": 0, "tol": 0.0, **settings})


def regressor(**settings):
    return cr.MLPRegressor(**{"hidden_layer_sizes": (8,), "max_iter": 25, "random_state": 0, "tol": 0.0, **settings})


# name -> (the model, X, y, what fit is given beside them)
FITS = {
    "adam": lambda: (classifier(), X, labels, {}),
    "sgd, adaptive": lambda: (
        classifier(solver="sgd", learning_rate="adaptive", learning_rate_init=0.8, tol=1e-2, n_iter_no_change=1,
                   max_iter=40), X, labels, {}),
    "sgd, invscaling": lambda: (regressor(solver="sgd", learning_rate="invscaling", nesterovs_momentum=False), X, y, {}),
    "early stopping": lambda: (
        classifier(early_stopping=True, n_iter_no_change=8, learning_rate_init=0.02, validation_fraction=0.2),
        X, labels, {}),
    "dropout": lambda: (classifier(hidden_layer_sizes=(8, 6), dropout=[0.3, 0.1]), X, labels, {}),
    "averaging": lambda: (regressor(averaging=0.9, early_stopping=True, n_iter_no_change=30), X, y, {}),
    "eval sets, a scorer": lambda: (
        classifier(early_stopping=True, scoring="neg_log_loss", n_iter_no_change=30), X, labels,
        {"eval_set": {"held": HELD_LABELS, "seen": (X, labels, weights)}}),
    "a schedule": lambda: (classifier(solver="adamw", learning_rate="one_cycle", warm_up=0.1), X, labels, {}),
    "class weights": lambda: (
        classifier(class_weight="balanced", label_smoothing=0.1), X, labels, {"sample_weight": weights}),
    "RandomState": lambda: (regressor(random_state=np.random.RandomState(11)), X, y, {}),
    "no seed": lambda: (classifier(random_state=None, early_stopping=True, dropout=0.2), X, labels, {}),
    "no shuffle, rmsprop": lambda: (regressor(shuffle=False, solver="rmsprop", l1=1e-3, clip_norm=1.0), X, y, {}),
    "sparse": lambda: (classifier(batch_size=16), scipy.sparse.csr_matrix(np.repeat(X * (X > 0), 8, axis=1)), labels, {}),
    "float32": lambda: (regressor(loss="huber"), X.astype(np.float32), y.astype(np.float32), {"eval_set": HELD}),
    "a DataFrame": lambda: (classifier(), frame, pd.Series(labels), {}),
    "two outputs, own loss": lambda: (regressor(loss=own_loss), X, np.column_stack([y, -y]), {}),
    "lbfgs": lambda: (regressor(solver="lbfgs", tol=1e-9), X, y, {"eval_set": HELD}),
    "lbfgs, no seed": lambda: (classifier(solver="lbfgs", tol=1e-9, random_state=None), X, labels, {}),
    "lbfgs, sparse, float32": lambda: (
        classifier(solver="lbfgs", random_state=np.random.RandomState(5)),
        scipy.sparse.csr_matrix((X * (X > 0)).astype(np.float32)), labels, {}),
    "levenberg_marquardt": lambda: (
        regressor(solver=("levenberg_marquardt", {"scaling": 1.0}), early_stopping=True, n_iter_no_change=30), X,
        np.column_stack([y, -y]), {"sample_weight": weights}),
    "bayesian_regularisation, no seed": lambda: (
        regressor(solver="bayesian_regularisation", random_state=None), X, y, {"eval_set": HELD}),
    "scaled_conjugate_gradient, sparse, float32": lambda: (
        classifier(solver="scaled_conjugate_gradient"),
        scipy.sparse.csr_matrix((X * (X > 0)).astype(np.float32)), labels, {}),
    "an initialiser, sparse": lambda: (
        regressor(initialiser="nguyen_widrow", hidden_layer_sizes=(6, 5)), scipy.sparse.csr_matrix(X * (X > 0)), y, {}),
    "newton_cg": lambda: (classifier(solver="newton_cg", class_weight="balanced"), X, labels, {}),
    "table": lambda: (cr.TableRegressor((8,), epochs=20, patience=15, random_state=0), table, y, {"sample_weight": weights}),
    "table, no seed": lambda: (cr.TableClassifier((8,), epochs=20), table, labels, {}),
}  # fmt: skip
# Those that callbacks can break off.
MLPS = [name for name in FITS if "table" not in name]


def fit(name, stop_at=None, entropy=7, **asked):
    """(the model, what was seen of it); it is broken off by `Stop` in the epoch `stop_at`.

    `entropy` seeds NumPy's global state, which fits without a seed of their own draw from.
    """
    np.random.seed(entropy)  # noqa: NPY002 (it is the global state that is meant)
    model, X, y, given = FITS[name]()

    def emit(event):
        if event.epoch == stop_at:
            raise Stop

    if stop_at is not None:
        model.set_callbacks(emit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y, **given, **asked)
    return model, seen(model)


class Stop(Exception):
    pass


def plain(value):
    """Something that compares by all of its bits."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else repr(value)


RECORDS = (
    "loss_", "loss_curve_", "validation_scores_", "n_iter_", "t_", "best_loss_", "best_validation_score_",
    "stopped_because_", "_no_improvement_count",
)  # fmt: skip


def seen(model):
    """All that two equal fits have in common: weights, records, random numbers, the state of the descent."""
    history = model.history_.columns()
    history.pop("seconds", None)
    found = {name: getattr(model, name) for name in RECORDS if hasattr(model, name)}
    found |= {"w": model.network_.w, "history": history}
    if hasattr(model, "_random_state"):
        found["random"] = model._random_state.get_state(legacy=False)
    if hasattr(model, "outcome_"):
        found |= {"why": model.outcome_.stopped_because, "best_epoch": model.outcome_.best_epoch, "seed": model.seed_}
    if getattr(model, "_descent", None) is not None:
        found |= {name: getattr(model._descent, name) for name in ("state", "t", "step")}
    return plain(found)


# ---------------------------------------------------------------- the process that kills


class SlowFile:
    """A file that takes its time over every write, so that a kill falls into the middle of one."""

    def __init__(self, file):
        self.file = file

    def write(self, data):
        piece = max(1, len(data) // 4)
        for k in range(0, len(data), piece):
            self.file.write(data[k : k + piece])
            self.file.flush()
            time.sleep(0.001)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.file.close()


def slow_down():
    """Let each stage of a checkpoint's way to the disk take a while."""
    fsync, replace = os.fsync, os.replace

    def opened(path, mode="r", **options):
        file = builtins.open(path, mode, **options)  # noqa: SIM115 (whoever asked closes it)
        return SlowFile(file) if mode in ("xb", "r+b") else file

    files.open = journal.open = opened
    os.fsync = lambda *a: (time.sleep(0.002), fsync(*a))
    os.replace = lambda *a: (time.sleep(0.002), replace(*a), time.sleep(0.002))


def run(order, wait=None):
    """Fit in a fork, killed after `wait` seconds; (how it ended, seconds that it took)."""
    child, began = os.fork(), time.perf_counter()
    if child == 0:
        if order["slow"]:
            slow_down()
        fit(order["name"], entropy=order["entropy"], checkpoint=order["path"], every=order["every"])
        os._exit(0)
    if wait is not None:
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return "killed" if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), time.perf_counter() - began


def main():
    blocks.BLOCK_BYTES = SMALL_BLOCK
    whole = {}  # seconds that a fit takes when it is left alone
    for line in sys.stdin:
        order = json.loads(line)
        kind = order["name"], order["slow"]
        if kind not in whole:
            fit(order["name"])
            whole[kind] = run(order | {"path": order["path"] + ".timed"})[1]
        print(json.dumps(run(order, order["fraction"] * whole[kind])[0]), flush=True)


if __name__ == "__main__":
    main()
