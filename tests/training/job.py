"""One small training with everything that a checkpoint must carry; the tests run it here and in processes they kill."""

import numpy as np
import scipy.optimize

from chainrule.blas import one_blas_thread
from chainrule.descent import get_method
from chainrule.engine import Plan, Run, error, error_and_gradient
from chainrule.network import Layout, get_loss
from chainrule.training import Checkpointer, EvaluationJournal, Patience, Training, Watched, run

LOSS = get_loss("squared")


class Order:
    """As scikit-learn shuffles: each epoch shuffles the order of the epoch before."""

    def __init__(self, rng, n):
        self.rng, self.rows = rng, np.arange(n)

    def __call__(self):
        moved = np.arange(len(self.rows))
        self.rng.shuffle(moved)
        self.rows = self.rows[moved]
        return self.rows

    def snapshot(self):
        return {}, {"rows": self.rows.copy()}

    def restore(self, data, arrays):
        self.rows = arrays["rows"]


class Job:
    """A training on N rows, 60 more held out; `train` runs it, with a checkpoint if it has a path."""

    def __init__(
        self,
        epochs=12,
        legacy=True,
        step=0.02,
        watch=True,
        held_score=False,
        method="adam",
        seed=5,
        N=300,
        hidden=8,
        batch=32,
    ):
        self.layout = Layout.of([4, hidden, 1], "tanh", "identity")
        data = np.random.default_rng(seed)
        X = data.normal(size=(N + 60, 4))
        Y = np.sin(2 * X[:, :1]) + 0.3 * data.normal(size=(N + 60, 1))
        self.X, self.Y, self.held = X[:N].copy(), Y[:N].copy(), (X[N:], Y[N:])
        self.rng = np.random.RandomState(seed) if legacy else np.random.default_rng(seed)
        self.w = np.zeros(self.layout.K)
        self.plan = Plan(self.layout, LOSS, get_method(method), {}, batch, 0.01, "float64")
        self.epochs, self.step, self.watching, self.held_score = epochs, step, watch, held_score

    def first_weights(self):
        self.w[:] = self.layout.first_weights(np.random.default_rng(int(self.rng.random(1)[0] * 1e6)))

    def watch(self, w):
        loss = error(self.layout, LOSS, w, *self.held) / 60
        return Watched(loss, 1 - loss if self.held_score else None, {"validation_rmse": float(np.sqrt(2 * loss))})

    def training(self, engine_run):
        self.order = Order(self.rng, len(self.X))
        return Training(
            engine_run,
            self.epochs,
            self.order,
            lambda epoch: self.step * 0.95**epoch,
            self.watch if self.watching else None,
        )

    def start(self, n_threads=1):
        self.first_weights()
        return Run(self.plan, self.w, self.X, self.Y, n_threads=n_threads)

    def train(self, path=None, emit=None, rules=None, **options):
        """(outcome, w, history without seconds)."""
        checkpoint = None
        if path is not None:
            checkpoint = Checkpointer(
                path, data={"X": self.X, "Y": self.Y}, parameters={"step": self.step}, generator=self.rng, **options
            )
        with self.start() as engine_run:
            training = self.training(engine_run)
            if checkpoint is not None:
                checkpoint.follow(order=self.order)
            outcome = run(training, emit, [Patience(50)] if rules is None else rules, checkpoint)
        return outcome, self.w.tobytes(), seen(outcome.history)

    def lbfgs(self, path=None, **options):
        """(steps, w) of SciPy's L-BFGS on the same error, with a journal if it has a path."""
        self.first_weights()

        def mean_error(w):
            total, gradient = error_and_gradient(self.layout, LOSS, w, self.X, self.Y)
            return total / len(self.X), gradient / len(self.X)

        asked = mean_error if path is None else EvaluationJournal(mean_error, path, data={"X": self.X}, **options)
        with one_blas_thread():
            found = scipy.optimize.minimize(
                asked, self.w, jac=True, method="L-BFGS-B", options={"maxiter": self.epochs}
            )
        if path is not None:
            asked.close()
        return found.nit, found.x.tobytes()


def seen(history):
    columns = history.columns()
    columns.pop("seconds", None)
    return columns
