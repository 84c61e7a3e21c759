"""Floor 4, estimators: what MLPClassifier and MLPRegressor share: weights, fitting, outputs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from inspect import signature
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn import neural_network
from sklearn.base import BaseEstimator, _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from chainrule.blas import one_blas_thread
from chainrule.descent import SECOND_ORDER
from chainrule.engine import Network, predict
from chainrule.engine.ranges import input_ranges
from chainrule.network import LOSSES, Layout, Loss, get_activation, own_loss
from chainrule.network.rows import is_row
from chainrule.training import Checkpointer, EvaluationJournal, History
from chainrule.training.audit import audit
from chainrule.training.checkpoint import check_every

from .blocks import dense_if_small, row_blocks
from .callbacks import CallbackMixin
from .follower import NON_FINITE
from .heldout import HeldOut, own_sets
from .job import Job, LastWord
from .looks import LooksMixin
from .own_functions import check_functions
from .second_order import fit_second_order
from .settings import WHOLE_BATCH, Descent, check_settings, check_watched, initialiser_of, own_generator, solver_name
from .solvers import fit_lbfgs, fit_stochastic
from .starts import fit_starts
from .transfer import copy_layers, layers_of
from .views import fitted_views

_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))
# Parameters whose contents may change while they stay the same objects.
_CONTAINERS = (list, dict, set, np.ndarray)
# So many numbers are few: scikit-learn's checks of more of them take no time beside their prediction.
_SMALL = 1 << 14
_RECORDS = ("loss_curve_", "validation_scores_", "best_validation_score_", "best_loss_", "_no_improvement_count")

# Parameters that a checkpoint does not compare: the result does not depend on them, or they are compared as data.
_NOT_COMPARED = ("n_threads", "progress", "verbose", "max_time", "start_from", "audit", "n_init")


def is_function(loss: Any) -> bool:
    """Whether a loss is a function of one's own, and not a name or a row."""
    return callable(loss) and not isinstance(loss, Loss)


class BaseMLP(CallbackMixin, LooksMixin, BaseEstimator):
    """What classifier and regressor share: checking, first weights, fitting, predicting."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}
    _descent: Descent | None = None

    coefs_ = fitted_views("coefs_", "A", "A_1 … A_L, as views into `network_.w`: what is written there is used.")
    intercepts_ = fitted_views("intercepts_", "b", "b_1 … b_L, as views into `network_.w`.")

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        """The names, read from the signature once: scikit-learn reads it at every call."""
        return super()._get_param_names()

    @classmethod
    @cache
    def _defaults(cls) -> dict[str, Any]:
        """The defaults of all parameters, those of a class that one of ours was derived from among them."""
        makers = [c.__init__ for c in reversed(cls.__mro__) if issubclass(c, BaseMLP) and "__init__" in vars(c)]
        found = (parameter for maker in makers for parameter in signature(maker).parameters.values())
        return {parameter.name: parameter.default for parameter in found if parameter.default is not parameter.empty}

    def _validate_params(self) -> None:
        """scikit-learn's check, but not again while the parameters are the same objects."""
        given = self.get_params(deep=False)
        valid = self.__dict__.get("_valid_params")
        if valid is not None and all(valid[name] is value for name, value in given.items()):
            return
        super()._validate_params()
        contained = any(isinstance(value, _CONTAINERS) for value in given.values())
        self._valid_params = None if contained else given

    def _hidden(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = [sizes] if not hasattr(sizes, "__iter__") else list(sizes)
        for D in sizes:
            if isinstance(D, bool) or not isinstance(D, Real):
                raise ValueError(f"hidden_layer_sizes must be whole numbers > 0, got {D!r} in {sizes}")
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes

    def _has_weights(self) -> bool:
        return "network_" in self.__dict__ or {"coefs_", "intercepts_"} <= self.__dict__.keys()

    def _fitted_network(self) -> Network:
        """The network; where `coefs_` and `intercepts_` were set by hand it is made of them."""
        if "network_" in self.__dict__:
            return self.__dict__["network_"]
        if not self._has_weights():
            raise AttributeError(f"this {type(self).__name__} is not fitted yet")
        A, b = ([np.asarray(part) for part in self.__dict__[name]] for name in ("coefs_", "intercepts_"))
        sizes = [*(part.shape[0] for part in A), A[-1].shape[1]]
        w = np.concatenate([part.ravel() for part in [*A, *b]])
        self.network_ = Network.from_layout(self._layout(sizes), w.astype(np.result_type(w, np.float32), copy=False))
        del self.__dict__["coefs_"], self.__dict__["intercepts_"]
        self._forget()
        return self.network_

    def _first_weights(self, layout: Layout, rows: Callable[[], Any]) -> np.ndarray:
        """The initialiser's, which may want the rows; or Glorot & Bengio's bound for weights and biases alike, drawn as
        scikit-learn draws them, layer by layer."""
        name = initialiser_of(self)
        if name != "auto":
            return layout.first_weights(self._random_state, name, self._ranges(layout, rows))
        w = np.empty(layout.K)
        sigmas = [layer.activation for layer in layout.layers[:-1]]
        # The output has the bound of the last hidden layer; of one that there would be, where there is none.
        own = layout.output if isinstance(self.activation, list) else get_activation(self.activation)
        sigmas += sigmas[-1:] or [own]
        for row, A, b in zip(sigmas, *layout.views(w), strict=True):
            bound = np.sqrt((2.0 if row.name == "sigmoid" else 6.0) / sum(A.shape))
            A[...] = self._random_state.uniform(-bound, bound, A.shape)
            b[...] = self._random_state.uniform(-bound, bound, b.shape)
        return w

    def _ranges(self, layout: Layout, rows: Callable[[], Any]) -> Callable[[np.ndarray, int], Any]:
        """What comes to a layer, whose layers below are those to start from, as far as there are any."""

        def ranges(w: np.ndarray, l: int) -> tuple[np.ndarray, np.ndarray]:
            net = Network.from_layout(layout, w.copy())
            if self.start_from is not None:
                copy_layers(self.start_from, net)
            return input_ranges(layout, net.w, rows(), l)

        return ranges

    def _layout(self, sizes: list[int]) -> Layout:
        return Layout.of(sizes, self.activation, self.out_activation_)

    def _initialize(self, sizes: list[int], dtype: Any, rows: Callable[[], Any]) -> None:
        self.n_iter_ = 0
        self.t_ = 0
        layout = self._layout(sizes)
        self.n_layers_ = layout.L + 1
        self.network_ = Network.from_layout(layout, self._first_weights(layout, rows).astype(dtype, copy=False))
        if self.start_from is not None:
            copy_layers(self.start_from, self.network_)
        self._forget()
        for name in (*_RECORDS, "loss_", "stopped_because_"):
            self.__dict__.pop(name, None)

    def _forget(self) -> None:
        self.history_ = History()
        self._descent = None

    def _start_records(self) -> None:
        """What is reported epoch by epoch; scikit-learn has none of it for lbfgs."""
        self.loss_curve_: list[float] = []
        self._no_improvement_count = 0
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else np.inf

    def _fit(self, X: Any, y: Any, sample_weight: Any = None, incremental: bool = False, **asked: Any):
        check_settings(self)
        eval_set = asked.get("eval_set")
        if not incremental:
            check_watched(self, eval_set)
        ready = self.__dict__.get("_is_ready", False)  # `initialize` made the network, this fit moves it
        first = not self._has_weights() or not (self.warm_start or incremental or ready)
        checked_X, Y, weights, sizes = self._prepare(X, y, sample_weight, known=incremental or ready, reset=first)
        job = Job(X, y, incremental, own_sets(self, eval_set), starts=self.n_init if first and not incremental else 1)
        if sample_weight is not None:
            job.metadata["sample_weight"] = sample_weight
        self._random_state = check_random_state(self.random_state)
        given = self._given(checked_X, Y, sample_weight, job.sets, ready)
        with self._keep_checkpoints(job, given, asked):
            counted = cache(partial(self._counted, checked_X, Y, weights, incremental))

            def start() -> LastWord | None:
                self._make_ready(first, ready, sizes, checked_X.dtype, counted)
                return self._train(checked_X, Y, weights, job)

            last_word = fit_starts(self, job, start)
        if last_word is not None:
            last_word()
        if not np.isfinite(self.network_.w).all():
            raise ValueError(NON_FINITE)
        return self

    def _train(self, X: Any, Y: np.ndarray, weights: Any, job: Job) -> LastWord | None:
        """Move the weights of the network that is there, by the solver's way."""
        check_functions(self.network_.layout, self._loss_row(), self.network_.w.dtype)
        fit_by = {"lbfgs": fit_lbfgs, **dict.fromkeys(SECOND_ORDER, fit_second_order)}
        way = fit_by.get(solver_name(self), fit_stochastic)
        if way is not fit_lbfgs and not self._has_records():
            self._start_records()
        self.__dict__.pop("recording_", None)
        if self.audit:
            audit(self.network_, self._loss_row(), X, self._smoothed(Y), float(self.alpha))
        # minibatches are multiplied by tiles of our own
        with nullcontext() if way is fit_stochastic else one_blas_thread():
            return way(self, X, Y, weights, job)

    def _counted(self, X: Any, Y: np.ndarray, weights: Any, incremental: bool) -> Any:
        """The rows whose weight is not 0, if there are any."""
        weights = self._class_weights(Y, weights, incremental)
        if weights is None or np.all(weights) or not np.any(weights):
            return X
        return X[np.flatnonzero(weights)]

    def _make_ready(self, first: bool, ready: bool, sizes: list[int], dtype: Any, rows: Callable[[], Any]) -> None:
        """The network that the fit moves: a new one, or the one that is there if it fits."""
        self.__dict__.pop("_is_ready", None)
        if first:
            self._initialize(sizes, dtype, rows)
            return
        self._go_on(sizes)
        if ready:  # draw and forget: what follows draws as in a fit without `initialize`
            self._first_weights(self.network_.layout, rows)

    def _go_on(self, sizes: list[int]) -> None:
        """Take the network that is there, with the activations that are asked for now."""
        net = self._fitted_network()
        if list(net.sizes) != sizes:
            raise ValueError(
                f"the fit goes on with the network of the last one, whose layer sizes are {list(net.sizes)}; "
                f"now they would be {sizes}. Keep them, or set warm_start=False and call fit"
            )
        layout = self._layout(sizes)
        if layout != net.layout:
            self.network_ = Network.from_layout(layout, net.w)

    def _prepare(self, X: Any, y: Any, sample_weight: Any, known: bool = False, reset: bool = True) -> tuple[Any, ...]:
        """(X, Y, weights, layer sizes), checked; Y is N × D_L."""
        hidden = self._hidden()
        X, Y = self._validate_input(X, y, known, reset=reset)
        Y = Y.reshape(X.shape[0], -1)
        self._set_outputs(Y.shape[1])
        return X, self._spread(Y), self._checked_weights(sample_weight, X), [X.shape[1], *hidden, self.n_outputs_]

    def _checked_weights(self, sample_weight: Any, X: Any) -> np.ndarray | None:
        return None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)

    def _class_weights(self, Y: np.ndarray, weights: Any, partial: bool) -> Any:
        return weights

    def _own_loss(self, function: Any, output: str) -> Loss:
        """The row of a loss of one's own; it is made once a fit, since its derivative has to be found."""
        key = (function, output, self.n_outputs_)
        known = self.__dict__.get("_own_loss_row")
        if known is None or known[0] != key:
            known = self._own_loss_row = key, own_loss(function, output, self.n_outputs_)
        return known[1]

    def __getstate__(self):
        # what was derived of a function of the user's is derived again where it is needed
        left_out = ("_own_loss_row", "_valid_params")
        return {name: value for name, value in super().__getstate__().items() if name not in left_out}

    def __setstate__(self, state):
        # what was no parameter yet when a pickle was made has its default
        super().__setstate__(self._defaults() | state)

    def _spread(self, Y: np.ndarray) -> np.ndarray:
        return Y

    def _smoothed(self, Y: np.ndarray) -> np.ndarray:
        return Y

    def _given(self, X: Any, Y: np.ndarray, sample_weight: Any, sets: list[HeldOut], ready: bool) -> dict[str, Any]:
        """What a fit is given beside its parameters, by name, as the checkpoint compares it."""
        return {
            "X": X,
            "y": [getattr(self, "classes_", None), Y],
            "sample_weight": None if sample_weight is None else np.asarray(sample_weight),
            "eval_set": [[held.name, held.X, held.Y, held.weights] for held in sets],
            "start_from": None if self.start_from is None else layers_of(self.start_from),
            "the weights after initialize": self.network_.w if ready else None,
        }

    def _keep_checkpoints(self, job: Job, data: dict[str, Any], asked: dict[str, Any]) -> AbstractContextManager[Any]:
        """Open the checkpoint before anything random is drawn, so that a resumed fit draws the same."""
        path = asked.get("checkpoint")
        if path is None:
            return nullcontext()
        if self.warm_start:
            raise ValueError("checkpoint keeps one fit from its beginning; it does not go with warm_start=True")
        if job.starts > 1:
            raise ValueError(
                f"checkpoint keeps one training, and n_init={job.starts} makes several; fit models with different "
                "random_state, each with a checkpoint of its own"
            )
        every = check_every(asked["every"])
        self._random_state = own_generator(self.random_state)
        parameters = {k: v for k, v in self.get_params(deep=False).items() if k not in _NOT_COMPARED}
        seeded = isinstance(self.random_state, int | np.integer)
        given = {
            "resume": asked["resume"],
            "data": data,
            "parameters": parameters | {"random_state": self.random_state if seeded else None},
            "generator": self._random_state,
        }
        if solver_name(self) == "lbfgs":
            job.journal = EvaluationJournal(lambda w: job.objective(w), path, **given)
            return job.journal
        job.checkpoint = Checkpointer(path, every=every, **given)
        return nullcontext()

    def initialize(self, X, y):
        """Make the network for X and y with its first weights, and train nothing: it can be looked at and set.

        `coefs_` and `intercepts_` are views into `network_.w`; what is written there is where the next `fit` begins.

        Parameters
        ----------
        X : array-like or sparse matrix, N × D_0
        y : array-like, N or N × outputs

        Returns
        -------
        self
        """
        self._validate_params()
        check_settings(self)
        X, _, _, sizes = self._prepare(X, y, None)
        self._random_state = check_random_state(self.random_state)
        self._initialize(sizes, X.dtype, lambda: X)
        self._is_ready = True
        return self

    @classmethod
    def from_sklearn(cls, fitted: Any) -> Any:
        """The model that scikit-learn's fitted MLP of the same name is: its parameters, weights and records.

        Parameters
        ----------
        fitted : a fitted sklearn.neural_network.MLPClassifier (MLPRegressor)

        Returns
        -------
        A fitted model that predicts the same to rounding; `partial_fit` and `warm_start` go on with its weights, but
        begin with a fresh optimizer.

        Raises
        ------
        TypeError : for another class. NotFittedError : for one that is not fitted.

        >>> from sklearn.neural_network import MLPClassifier as Theirs
        >>> from chainrule import MLPClassifier
        >>> theirs = Theirs((3,), solver="lbfgs", random_state=0).fit([[0.0], [1.0]], ["a", "b"])
        >>> bool((MLPClassifier.from_sklearn(theirs).predict([[0.0], [1.0]]) == theirs.predict([[0.0], [1.0]])).all())
        True
        """
        theirs = next(getattr(neural_network, c.__name__) for c in cls.__mro__ if hasattr(neural_network, c.__name__))
        if not isinstance(fitted, theirs):
            raise TypeError(
                f"from_sklearn of {cls.__name__} takes a fitted sklearn.neural_network.{theirs.__name__}, got "
                f"{type(fitted).__module__}.{type(fitted).__name__}"
            )
        check_is_fitted(fitted)
        model = cls(**fitted.get_params(deep=False))
        private = ("_label_binarizer", "_no_improvement_count")
        for name, value in vars(fitted).items():
            if name in private or (name.endswith("_") and not name.startswith("_")):
                model.__dict__[name] = list(value) if isinstance(value, list) else value
        model._fitted_network()
        model.stopped_because_ = "scikit-learn fitted it"
        return model

    def _has_records(self) -> bool:
        """Whether there are records to go on with: none after lbfgs, others if early_stopping was turned on or off."""
        watched = getattr(self, "validation_scores_", None) is not None
        return hasattr(self, "loss_curve_") and watched == self.early_stopping

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, eval_set=None, checkpoint=None, every=1, resume=True):
        """Fit the network to X (N × D_0) and y.

        Parameters
        ----------
        X : array-like or sparse matrix, N × D_0
            float32 is trained in float32, all else in float64. A large sparse matrix is made dense 32 MB (or one
            batch) at a time.
        y : array-like, N (labels or numbers) or N × outputs
        sample_weight : array-like of N numbers ≥ 0, optional
        eval_set : (X, y), (X, y, sample_weight), or a list or dict of such tuples, optional
            Rows that are looked at after every epoch: `history_` has the loss and score of the first set as
            `validation_loss` and `validation_score`, of the k-th other one as `eval_k_loss` and `eval_k_score`, and
            where a dict names them under these names. With `early_stopping` the first set takes the place of the part
            that would be held out; without it nothing is changed by them.
        checkpoint : path, optional
            A file from which this fit goes on if it is killed, with the same bits as if it had not been. Loading it
            runs no code. For lbfgs it is a journal of its evaluations.
        every : int ≥ 1
            Epochs between two checkpoints.
        resume : bool
            Whether to go on from the checkpoint if there is one; other data or parameters are then refused.

        Returns
        -------
        self

        Raises
        ------
        ValueError : for parameters out of range or in contradiction, input that cannot be learned from, or numbers
            that overflowed in training (of all n_init; the last finite weights are kept; with `early_stopping` it is
            a ConvergenceWarning).
        CheckpointError : for a checkpoint that is damaged or belongs to another fit.
        """
        return self._fit(X, y, sample_weight, eval_set=eval_set, checkpoint=checkpoint, every=every, resume=resume)

    def _needs_no_check(self, X: Any) -> bool:
        """Whether X is a small array that `validate_data` would hand back as it is, without a word: its checks take ten
        times as long as the prediction of a row. Whatever is in doubt is checked.
        """
        own = self.__dict__
        return (
            type(X) is np.ndarray
            and X.dtype in _FLOATS
            and X.ndim == 2
            and 0 < X.size <= _SMALL
            and "network_" in own
            and "feature_names_in_" not in own  # an array gets a warning then
            and X.shape[1] == own.get("n_features_in_") == own["network_"].layout.layers[0].inputs
            and bool(np.isfinite(X).all())
        )

    def _checked_outputs(self, X: Any) -> np.ndarray:
        if self._needs_no_check(X):
            return self._outputs(X)
        check_is_fitted(self)
        return self._outputs(
            validate_data(self, X, accept_sparse=["csr", "csc"], reset=False, dtype=(np.float64, np.float32))
        )

    def _outputs(self, X: Any, w: np.ndarray | None = None) -> np.ndarray:
        """ŷ in the wider of the two float widths, that of X and that of w (the network's, or others)."""
        net = self._fitted_network()
        own = net.w if w is None else w
        if isinstance(X, np.ndarray) and X.dtype == own.dtype:
            return predict(net.layout, own, X, self.n_threads)
        w = own.astype(np.result_type(X, own), copy=False)
        X = dense_if_small(X, w.dtype)
        parts = [predict(net.layout, w, block, self.n_threads) for _, block in row_blocks(X, w.dtype)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _reporter(self) -> Callable[[float, float], float]:
        """(our mean loss, the penalty) -> both in scikit-learn's scale: its squared error is averaged over outputs."""
        row = self._loss_row()
        share = self.n_outputs_ if row.name == "squared" and is_row(LOSSES, row) else 1
        return lambda data, penalty: data / share + penalty

    def _has_partial_fit(self) -> bool:
        if solver_name(self) in WHOLE_BATCH:
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {solver_name(self)} is not stochastic."
            )
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
