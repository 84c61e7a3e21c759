"""Floor 4, estimators: one row per parameter and attribute: range, default, sentence -> checks, docstrings, page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions

from chainrule.descent import METHODS, SCHEDULES, SECOND_ORDER, Method, Schedule, SecondOrder
from chainrule.network import ACTIVATIONS, LOSSES, Initialiser, Loss

from .settings import SOLVERS, STEP_RULES


@dataclass(frozen=True)
class Parameter:
    """One constructor parameter: name, default, the constraints that scikit-learn's validator checks, a sentence."""

    name: str
    default: Any
    constraints: list[Any] | None = field(hash=False)
    sentence: str
    kind: str = "number"

    def numpydoc(self) -> str:
        """The entry of a docstring's Parameters section."""
        return f"{self.name} : {self.kind}, default={self.default!r}\n    {self.sentence}"


def _number(low: float, high: float | None = None, closed: str = "left", integer: bool = False) -> Interval:
    return Interval(Integral if integer else Real, low, high, closed=closed)


_SCIKIT_LEARN = [
    Parameter("hidden_layer_sizes", (100,), ["array-like", _number(1, integer=True)],
              "Units of each hidden layer, D_1 … D_{L-1}; () is a linear model.", "array-like of int"),
    Parameter("activation", "relu", [str, list, tuple, callable],
              "σ of the hidden layers: a name, (name, {number: value}) as in ('leaky_relu', {'alpha': 0.2}), a NumPy "
              "function, or a list with one of these for each layer.", "str, (name, dict), callable or list"),
    Parameter("solver", "adam", [StrOptions(set(SOLVERS)), tuple, Method, SecondOrder],
              "The method of descent: 'lbfgs', 'sgd' (with momentum), 'adam', or any other row of the tables of "
              "methods; ('rmsprop', {'rho': 0.99}) sets hyperparameters that are no parameters here. Small networks: "
              "'levenberg_marquardt', 'bayesian_regularisation', 'scaled_conjugate_gradient', 'newton_cg' look at all "
              "rows in every step, in float64, and end where no entry of the gradient is larger than their min_grad.",
              "str, (name, dict), Method or SecondOrder"),
    Parameter("alpha", 0.0001, [_number(0)],
              "α of the penalty ½ α Σ‖A_l‖², divided by the weight of the batch; biases are not penalised. "
              "bayesian_regularisation does not look at it: it finds its own, for each A_l and b_l.",
              "float ≥ 0"),
    Parameter("batch_size", "auto", [StrOptions({"auto"}), _number(1, integer=True)],
              "Rows of a minibatch; 'auto' is min(200, N). Not used by lbfgs; second-order solvers refuse a number.",
              "int ≥ 1 or 'auto'"),
    Parameter("learning_rate", "constant", [StrOptions({*STEP_RULES, *SCHEDULES}), tuple, Schedule],
              "How the step size goes on. 'constant', 'invscaling' (learning_rate_init / t^power_t with t the rows "
              "seen) or 'adaptive' (a fifth whenever tol is not met), which adam and lbfgs do not look at; or a "
              "schedule over all steps of max_iter epochs: 'cosine', 'one_cycle', ('step_decay', {'drop': 0.5}) …",
              "str, (name, dict) or Schedule"),
    Parameter("learning_rate_init", 0.001, [_number(0, closed="neither")],
              "The first step size γ.", "float > 0"),
    Parameter("power_t", 0.5, [_number(0)], "The exponent of 'invscaling'.", "float ≥ 0"),
    Parameter("max_iter", 200, [_number(1, integer=True)], "At most so many epochs (lbfgs: iterations).", "int ≥ 1"),
    Parameter("shuffle", True, ["boolean"], "Whether rows are put in a new order before every epoch.", "bool"),
    Parameter("random_state", None, ["random_state"],
              "Seed of first weights, hold-out and order of rows; None follows NumPy's global state.",
              "int, RandomState or None"),
    Parameter("tol", 1e-4, [_number(0)],
              "An epoch must be better by tol to count as progress; lbfgs: the largest gradient entry at the end. "
              "Second-order solvers look at it with early_stopping only; theirs is ('newton_cg', {'min_grad': 1e-8}).",
              "float ≥ 0"),
    Parameter("verbose", False, ["verbose"], "Print a line for every epoch on standard output.", "bool"),
    Parameter("warm_start", False, ["boolean"], "Whether fit goes on from the weights of the last fit.", "bool"),
    Parameter("momentum", 0.9, [_number(0, 1, closed="both")], "μ of sgd.", "float in [0, 1]"),
    Parameter("nesterovs_momentum", True, ["boolean"], "Whether sgd's momentum is Nesterov's.", "bool"),
    Parameter("early_stopping", False, ["boolean"],
              "Hold out validation_fraction of the rows (or watch the first eval_set of fit), stop when their score no "
              "longer rises, keep the best weights. lbfgs does not look at it.",
              "bool"),
    Parameter("validation_fraction", 0.1, [_number(0, 1)], "The share of rows held out.", "float in [0, 1)"),
    Parameter("beta_1", 0.9, [_number(0, 1)], "Adam's decay of the first moment.", "float in [0, 1)"),
    Parameter("beta_2", 0.999, [_number(0, 1)], "Adam's decay of the second moment.", "float in [0, 1)"),
    Parameter("epsilon", 1e-8, [_number(0, closed="neither")],
              "Added to Adam's √v (scikit-learn's form: not bias-corrected).", "float > 0"),
    Parameter("n_iter_no_change", 10, [_number(1, integer=True), Options(Real, {np.inf})],
              "Stop after more than so many epochs without progress.", "int ≥ 1"),
    Parameter("max_fun", 15000, [_number(1, integer=True)], "lbfgs: at most so many evaluations of E.", "int ≥ 1"),
]  # fmt: skip

_MORE = [
    Parameter("initialiser", "auto", [str, Initialiser],
              "Where first weights come from. 'auto' draws them as scikit-learn does, biases too, but for "
              "levenberg_marquardt and trainlm: these begin with 'nguyen_widrow', which lays the "
              "units of hidden layers over the ranges of what comes to them, for all rows of X whose weight is not 0, "
              "held-out ones too (partial_fit: those of its first call). The other names of the initialisers "
              "('he_normal', 'lecun_normal' …) draw weights, and biases start at 0. An own Initialiser goes, too.",
              "str or Initialiser"),
    Parameter("n_init", 1, [_number(1, integer=True)],
              "So many trainings, each from first weights of its own, drawn one after another; the best is kept: that "
              "of the lowest loss_, of bayesian_regularisation of the largest evidence, with early_stopping (but for "
              "lbfgs) of the best score of the same held-out rows. A fit that goes on with weights that are there "
              "(warm_start, partial_fit, initialize) is one.", "int ≥ 1"),
    Parameter("dropout", 0.0, [_number(0, 1), "array-like"],
              "The share of the outputs of each hidden layer that are 0 in a step, one number or one for each layer.",
              "float in [0, 1) or list"),
    Parameter("l1", 0.0, [_number(0)], "λ of the penalty λ Σ|A_l|, divided as alpha's is.", "float ≥ 0"),
    Parameter("weight_decay", None, [None, _number(0)],
              "Every step first multiplies the weights (not the biases) by 1 − γ · weight_decay, whatever the method; "
              "None: only what solver='adamw' has by default, 0.01.", "float ≥ 0 or None"),
    Parameter("clip_norm", None, [None, _number(0, closed="neither")],
              "A gradient whose Euclidean norm is larger is shortened to it.", "float > 0 or None"),
    Parameter("warm_up", 0.0, [_number(0, 1)],
              "The share of all steps in which the step size rises in a line before its schedule begins.",
              "float in [0, 1)"),
    Parameter("averaging", None, [None, _number(0, 1)],
              "β of the running average of w over the steps (EMA), which is watched and kept instead of w.",
              "float in [0, 1) or None"),
    Parameter("frozen", (), ["array-like"], "Layers that keep their weights, counted from 1.", "list of int"),
    Parameter("start_from", None, None,
              "A Network or fitted model whose first layers, as far as their shapes fit, are where training starts. "
              "clone and searches unfit models among the parameters: give them its network_ (or a FrozenEstimator).",
              "Network, fitted model or None"),
    Parameter("scoring", None, [None, str, callable],
              "How rows that are watched are scored: by any of scikit-learn's scorers, by name or as a function of "
              "(estimator, X, y, and sample_weight where the rows have weights); X has no names of columns. None: by "
              "the accuracy (regression: R²).", "str, callable or None"),
    Parameter("max_time", None, [None, _number(0, closed="neither")],
              "Stop at the end of the epoch in which so many seconds have passed, all trainings of n_init together.",
              "float > 0 or None"),
]  # fmt: skip

# Losses that go with any output: for a classifier, of its probabilities.
_OF_OUTPUTS = {name for row in LOSSES.values() if row.link == "identity" for name in (row.name, *row.aliases)}

_CLASSES = [
    Parameter("loss", "log_loss", [StrOptions({"log_loss", *_OF_OUTPUTS}), tuple, callable, Loss],
              "The cross-entropy; 'squared_error' (Brier's), 'absolute' or 'huber' of the probabilities; or a NumPy "
              "function of (y, ŷ), both N × outputs, y one-hot and ŷ probabilities, that returns one number a row or "
              "an output; its derivative is found by the calculus.", "str, (name, dict) or callable"),
    Parameter("class_weight", None, [dict, list, StrOptions({"balanced"}), None],
              "Weights of the classes, multiplied onto sample_weight in training: {label: weight} (1 for a label that "
              "is not named), or 'balanced' for N / (classes · rows of the class); for multilabel y a list of "
              "{0: weight, 1: weight}, one for each label. Held-out rows count by their sample_weight alone.",
              "dict, 'balanced', list of dict or None"),
    Parameter("label_smoothing", 0.0, [_number(0, 1)],
              "ε: the targets that are trained on are 1 − ε + ε/C for the class of a row, ε/C for the others.",
              "float in [0, 1)"),
]  # fmt: skip

_OWN = [
    Parameter("n_threads", None, [None, _number(1, integer=True)],
              "Threads of the engine; None: all that are available. The result has the same bits for any number.",
              "int ≥ 1 or None"),
    Parameter("progress", False, ["boolean"], "Draw a progress bar on standard error.", "bool"),
    Parameter("record", False, ["boolean"],
              "Keep w and the method's state at epoch ends in recording_, for replay, explain and pictures of the "
              "descent, and the training rows with them. At most 64 MB: the more epochs, the fewer of them are kept. "
              "Not a bit of the fit changes.", "bool"),
    Parameter("audit", False, ["boolean"],
              "Before training, hold the gradient of a few random weights to central differences in float64; where "
              "they part, fit is an error and trains nothing.", "bool"),
]  # fmt: skip

_REGRESSION_LOSSES = {
    name for row in LOSSES.values() if row.link in ("identity", "exp", "ascending") for name in (row.name, *row.aliases)
}
_LOSS = Parameter("loss", "squared_error", [StrOptions(_REGRESSION_LOSSES), tuple, callable, Loss],
                  "'squared_error', 'absolute', 'huber', 'poisson', 'gamma', 'tweedie' or 'quantile', with parameters "
                  "as ('quantile', {'levels': (0.1, 0.5, 0.9)}) (one output for each level, which cannot cross); or a "
                  "NumPy function of (y, ŷ). The output is the loss's link: the identity, or exp for the deviances.",
                  "str, (name, dict) or callable")  # fmt: skip

# scikit-learn's parameters in its order, then ours.
PARAMETERS: dict[str, Parameter] = {row.name: row for row in [_LOSS, *_SCIKIT_LEARN, *_MORE, *_OWN]}
CLASSIFIER_PARAMETERS: dict[str, Parameter] = {row.name: row for row in [*_SCIKIT_LEARN, *_CLASSES, *_MORE, *_OWN]}


_TABLE = [
    Parameter("hidden_layer_sizes", (128, 64), ["array-like", _number(1, integer=True)],
              "Units of each hidden layer.", "array-like of int"),
    Parameter("activation", "relu", [str, list, tuple, callable],
              "σ of the hidden layers: a name, (name, {number: value}) as in ('leaky_relu', {'alpha': 0.2}), a NumPy "
              "function, or a list with one of these for each layer.", "str, (name, dict), callable or list"),
    Parameter("epochs", "auto", [StrOptions({"auto"}), _number(1, integer=True)],
              "Passes over the training rows; the weights of the best one are kept. 'auto': by the number of rows.",
              "int ≥ 1 or 'auto'"),
    Parameter("batch_size", "auto", [StrOptions({"auto"}), _number(1, integer=True)],
              "Rows of a minibatch; 'auto': by the number of rows.", "int ≥ 1 or 'auto'"),
    Parameter("step_size", 0.004, [_number(0, closed="neither")],
              "AdamW's first step size γ; it falls to 0 along a cosine.", "float > 0"),
    Parameter("weight_decay", "auto", [StrOptions({"auto"}), _number(0)],
              "Every step multiplies the weights (not the biases) by 1 − γ · weight_decay; 'auto': as 1/rows.",
              "float ≥ 0 or 'auto'"),
    Parameter("validation_fraction", 0.15, [_number(0, 1, closed="neither")],
              "The share of rows held out to find the best epoch.", "float in (0, 1)"),
    Parameter("patience", None, [None, _number(1, integer=True)],
              "Stop when the held-out loss has not fallen for more than so many epochs; None: train to the end.",
              "int ≥ 1 or None"),
    Parameter("networks", "auto", [_number(1, integer=True), Options(str, {"auto"})],
              "So many networks are trained side by side and made one, whose raw score is the mean of theirs; "
              "'auto': 4 for at most 25,000 rows and, with all inputs, 2 million numbers, else 1.",
              "int ≥ 1 or 'auto'"),
    Parameter("max_time", None, [None, _number(0, closed="neither")],
              "Stop after so many seconds, at the end of an epoch.", "float > 0 or None"),
    Parameter("kinds", None, [None, dict],
              "What a column is, where the inferred kind is wrong: {'zip': 'category'}.", "dict or None"),
    Parameter("random_state", None, ["random_state"], "Seed of hold-out, first weights and order of rows.",
              "int, RandomState or None"),
    *_OWN,
]  # fmt: skip

TABLE_PARAMETERS: dict[str, Parameter] = {row.name: row for row in _TABLE}


@dataclass(frozen=True)
class Attribute:
    """One fitted attribute: its name, what kind of thing it is, a sentence."""

    name: str
    kind: str
    sentence: str

    def numpydoc(self) -> str:
        """The entry of a docstring's Attributes section."""
        return f"{self.name} : {self.kind}\n    {self.sentence}"


_ATTRIBUTES = [
    Attribute("classes_", "array", "The labels in sorted order; outputs are in this order."),
    Attribute("loss_", "float", "The loss of the last epoch with its penalty, in scikit-learn's scale (of several "
              "outputs with squared error: their mean)."),
    Attribute("best_loss_", "float or None", "The smallest of loss_curve_; None with early_stopping. Not with lbfgs."),
    Attribute("loss_curve_", "list of float", "loss_ of every epoch, each batch as it was before its step (second "
              "order: after it). Not with lbfgs."),
    Attribute("validation_scores_", "list of float or None",
              "With early_stopping: the score (accuracy, R², or that of scoring) of the rows held out, after every "
              "epoch. Not with lbfgs."),
    Attribute("best_validation_score_", "float or None", "The largest of validation_scores_. Not with lbfgs."),
    Attribute("t_", "int", "The rows seen in training, every one counted in every epoch."),
    Attribute("n_iter_", "int", "Epochs (lbfgs: iterations) of the last fit."),
    Attribute("coefs_", "list of arrays, D_{l-1} × D_l", "A_1 … A_L, views into network_.w: what is written there is "
              "used."),
    Attribute("intercepts_", "list of arrays, D_l", "b_1 … b_L, views into network_.w."),
    Attribute("n_layers_", "int", "L + 1: the inputs count as a layer."),
    Attribute("n_outputs_", "int", "D_L."),
    Attribute("out_activation_", "str", "'identity', 'logistic', 'softmax', 'exp' or 'ascending'."),
    Attribute("starts_", "list of float", "What each of the n_init trainings ended at: its loss_, or what else tells "
              "the better one (see n_init); NaN where its numbers overflowed, or Ctrl-C came before it had any. There "
              "are fewer where the time, Ctrl-C, a callback between them or an error ended the fit."),
    Attribute("stopped_because_", "str", "Why the training that was kept ended, in words."),
    Attribute("n_features_in_", "int", "D_0."),
    Attribute("feature_names_in_", "array of str", "The names of the columns, where X has names."),
    Attribute("network_", "Network", "The network; its w holds all parameters."),
    Attribute("history_", "History", "Every epoch (lbfgs: iteration) as plain data, over all fits that went on; its "
              "`loss` is the mean over rows of the sum over outputs, without the penalty. Second-order solvers add "
              "their numbers: `mu`; bayesian_regularisation's `alpha` (that of all w together), `alpha_A_1`, … , "
              "`alpha_b_1`, … (those of its parts), `beta`, `gamma` (the effective number of parameters) and "
              "`evidence`."),
    Attribute("recording_", "Recording", "With record=True: `epochs` (0 for the start) and `points`, the w that the "
              "steps moved at the end of each, of the last fit."),
]  # fmt: skip

ATTRIBUTES: dict[str, Attribute] = {row.name: row for row in _ATTRIBUTES}


def constraints(rows: Iterable[Parameter]) -> dict[str, list[Any]]:
    """What scikit-learn's validator wants: name -> constraints, for those that have some."""
    return {row.name: row.constraints for row in rows if row.constraints is not None}


def parameters_section(rows: Iterable[Parameter]) -> str:
    """The Parameters section of a docstring, written from the rows."""
    return "Parameters\n----------\n" + "\n".join(row.numpydoc() for row in rows)


def attributes_section(rows: Iterable[Attribute]) -> str:
    """The Attributes section of a docstring, written from the rows."""
    return "Attributes\n----------\n" + "\n".join(row.numpydoc() for row in rows)


def store(estimator: Any, rows: Mapping[str, Parameter], given: Mapping[str, Any]) -> None:
    """What a scikit-learn constructor does: keep every parameter under its name, unchanged."""
    for name in rows:
        if name in given:
            setattr(estimator, name, given[name])


# ---------------------------------------------------------------- the reference page


def _table(heads: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    cells = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in cells)


def _parameters_table(rows: Iterable[Parameter]) -> str:
    return _table(
        ("parameter", "default", "what it may be", "what it does"),
        ([f"`{row.name}`", f"`{row.default!r}`", row.kind, row.sentence] for row in rows),
    )


def _rows_table(numbers: str, rows: Iterable[Any]) -> str:
    """Of methods, schedules, activations or losses: `numbers` is where a row keeps its numbers."""
    return _table(
        ("name", "other names", "its numbers", "formula"),
        (
            [
                f"`{row.name}`",
                ", ".join(f"`{alias}`" for alias in row.aliases),
                ", ".join(f"{name} {value}" for name, value in getattr(row, numbers).items() if name != "step"),
                row.formula,
            ]
            for row in rows
        ),
    )


def reference() -> str:
    """The page docs/reference/parameters.md, written from the rows: `python -m chainrule.estimators.parameters`."""
    attributes = _table(
        ("attribute", "what it is", "what it says"),
        ([f"`{row.name}`", row.kind, row.sentence] for row in _ATTRIBUTES),
    )
    return f"""# Parameters

This page is printed from the rows that the estimators check their parameters by:
`python -m chainrule.estimators.parameters > docs/reference/parameters.md`.

## MLPClassifier and MLPRegressor

As in scikit-learn, in its order; `MLPRegressor` has `loss` before them.

{_parameters_table(_SCIKIT_LEARN)}

`loss` of `MLPRegressor`:

{_parameters_table([_LOSS])}

Of `MLPClassifier` alone:

{_parameters_table(_CLASSES)}

What scikit-learn has not:

{_parameters_table([*_MORE, *_OWN])}

### Fitted attributes

{attributes}

## TableClassifier and TableRegressor

{_parameters_table(_TABLE)}

{_names_section()}"""


def _names_section() -> str:
    """What the parameters that name a row take, printed from the tables of rows."""
    outputs = [row for row in ACTIVATIONS.values() if row.rowwise]
    return f"""## Names that the parameters take

A name may come with numbers of its own, as in `("rmsprop", {{"rho": 0.99}})`.

### `activation`

Not for hidden layers: {", ".join(f"`{row.name}`" for row in outputs)}, which couple the units of a layer.

{_rows_table("parameters", [row for row in ACTIVATIONS.values() if not row.rowwise])}

### `loss`

{_rows_table("parameters", LOSSES.values())}

### `solver`

Besides `lbfgs`, and `sgd`, which is `nesterov` or, with `nesterovs_momentum=False`, `momentum`. Numbers that are
parameters of the estimator (`momentum`, `beta_1`, `beta_2`, `epsilon`) are taken from there.

{_rows_table("defaults", METHODS.values())}

Solvers that look at all rows in every step, which also take `min_grad`, the largest entry of the mean loss's gradient
at the end:

{_rows_table("defaults", SECOND_ORDER.values())}

### `learning_rate`

Besides `constant`, `invscaling` and `adaptive`; s is the share of all steps that are done, from 0 to 1.

{_rows_table("parameters", [row for name, row in SCHEDULES.items() if name != "constant"])}
"""


if __name__ == "__main__":
    print(reference(), end="")
