"""Fits whose bits are compared between threads, processes and pools, and what those do; `main` is run in a process."""

import faulthandler
import hashlib
import json
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import chain

import joblib
import numpy as np
import scipy.sparse

import chainrule as cr
import chainrule.blas as blas

# Whatever is not done by then hangs.
SECONDS = 100


def rows(N=900, D=12):
    rng = np.random.default_rng(8)
    X = rng.normal(size=(N, D))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.2 * rng.normal(size=N)


X, y = rows()
labels = np.array(["low", "mid", "high"])[np.digitize(y, [-0.5, 0.7])]


def classifier(n_threads=None, **settings):
    return cr.MLPClassifier((32, 16), max_iter=6, random_state=0, n_threads=n_threads, **settings)


def regressor(n_threads=None, **settings):
    return cr.MLPRegressor(hidden_layer_sizes=(32, 16), max_iter=6, random_state=0, n_threads=n_threads, **settings)


# name -> (threads -> the model, X, y)
FITS = {
    "adam": (lambda n: classifier(n), X, labels),
    "sgd, large batches": (lambda n: regressor(n, solver="sgd", batch_size=450), X, y),
    "dropout, early stopping": (lambda n: classifier(n, dropout=0.3, early_stopping=True), X, labels),
    "averaging, schedule, l1": (
        lambda n: regressor(n, averaging=0.9, learning_rate="cosine", warm_up=0.1, l1=1e-3, clip_norm=1.0), X, y),
    "lbfgs": (lambda n: regressor(n, solver="lbfgs"), X, y),
    "levenberg_marquardt": (lambda n: classifier(n, solver="levenberg_marquardt"), X[:300], labels[:300]),
    "scaled_conjugate_gradient": (lambda n: regressor(n, solver="scaled_conjugate_gradient"), X, y),
    "float32": (lambda n: classifier(n, batch_size=64), X.astype(np.float32), labels),
    "sparse": (lambda n: classifier(n), scipy.sparse.csr_matrix(X * (X > 0)), labels),
    "table": (
        lambda n: cr.TableClassifier((32, 16), epochs=6, random_state=0, n_threads=n), X, labels),
}  # fmt: skip


def fit(name, n_threads=None):
    make, X, y = FITS[name]
    return make(n_threads).fit(X, y)


def mark_of(model, X):
    """A hash of all bits that a fit has: weights, losses, predictions of all rows and of few."""
    history = model.history_.columns()
    history.pop("seconds")
    found = hashlib.sha256(model.network_.w.tobytes() + repr(history).encode())
    for part in (X, X[:7]):
        out = model.predict_proba(part) if hasattr(model, "predict_proba") else model.predict(part)
        found.update(out.tobytes())
    return found.hexdigest()


def mark(name, n_threads=None):
    return mark_of(fit(name, n_threads), FITS[name][1])


def forked(name, n_threads=None):
    """The mark of a fit in a fork of this process."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)  # ends it if it hangs; the parent's watchdog is a thread, which a fork does not have
        os.write(into, mark(name, n_threads).encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out) as said:
        found = said.read()
    assert os.waitpid(child, 0)[1] == 0
    return found


# ---------------------------------------------------------------- what a process does: each gives (fit, mark) pairs

AT_ONCE = ["adam", "sgd, large batches", "lbfgs", "dropout, early stopping"]
HALVES = AT_ONCE[:2], AT_ONCE[2:]


def every_fit():
    return [(name, mark(name)) for name in FITS]


def forks():
    """After a fit, and in the middle of one: the fork has none of its parent's threads, it starts its own."""
    make, X, y = FITS["sgd, large batches"]
    found = [mark("sgd, large batches", 2), forked("sgd, large batches", 2)]
    model = make(2).set_callbacks(
        lambda event: found.append(forked("sgd, large batches", 2)) if event.epoch == 3 else None
    )
    found += [mark_of(model.fit(X, y), X), mark("sgd, large batches", 2)]
    with blas._blas_lock:  # as if another thread held it at that moment
        found.append(forked("sgd, large batches", 2))
    return [("sgd, large batches", m) for m in found]


def processes(method):
    mark("adam", 2)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        return list(zip(AT_ONCE, pool.map(mark, AT_ONCE, [2] * len(AT_ONCE)), strict=True))


def threads():
    with ThreadPoolExecutor(4) as pool:
        return list(zip(AT_ONCE * 2, pool.map(mark, AT_ONCE * 2, [2] * 8), strict=True))


def predictions():
    """Of one model, from several threads at once."""
    model = fit("float32")
    X = np.tile(FITS["float32"][1], (40, 1))  # so many rows that two threads share them
    alone = model.predict_proba(X).tobytes()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: model.predict_proba(X).tobytes(), range(8))) == [alone] * 8
    return [("float32", mark_of(model, FITS["float32"][1]))]


def _several(names, backend):
    found = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(mark)(name, 2) for name in names)
    return list(zip(names, found, strict=True))


def processes_in_threads():
    with ThreadPoolExecutor(2) as pool:
        return list(chain.from_iterable(pool.map(_several, HALVES, ["loky", "loky"])))


def threads_in_processes():
    found = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(_several)(names, "threading") for names in HALVES)
    return list(chain.from_iterable(found))


SCENARIOS = {
    "every fit": every_fit,
    "forks": forks,
    **{
        f"processes by {method}": lambda method=method: processes(method)
        for method in multiprocessing.get_all_start_methods()
    },
    "threads": threads,
    "predictions": predictions,
    "processes in threads": processes_in_threads,
    "threads in processes": threads_in_processes,
}


def main(*names):
    faulthandler.dump_traceback_later(SECONDS, exit=True)  # says where it hangs
    print(json.dumps([pair for name in names for pair in SCENARIOS[name]()]))
