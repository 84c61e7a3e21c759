"""Floor 4, estimators: what the parameters ask of the engine: method, step sizes, plan; contradictions are named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from chainrule.descent import (
    METHODS,
    SCHEDULES,
    SECOND_ORDER,
    Method,
    Schedule,
    SecondOrder,
    check_hyperparameters,
    get_method,
    get_schedule,
    get_second_order,
    warm_up,
)
from chainrule.engine import Plan
from chainrule.network import Initialiser, Layout, Loss, get_initialiser
from chainrule.tables import FRACTION, NOT_NEGATIVE

# scikit-learn's own ways for the step size of sgd; every other name is a schedule over all steps.
STEP_RULES = ("constant", "invscaling", "adaptive")
# Solvers that look at all rows at once.
WHOLE_BATCH = ("lbfgs", *SECOND_ORDER)
# MATLAB's other names count too: trainbr, trainscg.
_ALIASES = {alias: name for name, row in SECOND_ORDER.items() for alias in row.aliases}
SOLVERS = ("lbfgs", "sgd", "adam", *(name for name in METHODS if name != "adam"), *SECOND_ORDER, *_ALIASES)
# What such a solver cannot do, and why.
_STOCHASTIC_ONLY = {
    "dropout": "every evaluation of the loss would see another network",
    "l1": "it needs a smooth loss, and |w| has a kink at 0",
    "weight_decay": "it makes no steps of the gradient; alpha is the penalty that it minimises",
    "clip_norm": "it finds the length of its steps",
    "averaging": "it has one best point, and no noise of minibatches to average away",
    "warm_up": "it finds the length of its steps",
    "frozen": "it moves all of w",
}
# Losses without curvature: their second derivative is 0, or there is none.
_WITHOUT_CURVATURE = ("absolute", "quantile")


def solver_name(model: Any) -> Any:
    """The solver's name, where it may be a row or come with hyperparameters."""
    spec = model.solver[0] if isinstance(model.solver, tuple) and model.solver else model.solver
    name = getattr(spec, "name", spec)
    return _ALIASES.get(name, name) if isinstance(name, str) else name


def _with_numbers(name: str, spec: Any, what: str, entry: str) -> tuple[Any, Any]:
    """(name or row, its numbers) of a parameter that is a name, a row, or a tuple of name and numbers."""
    if not isinstance(spec, tuple):
        return spec, {}
    if len(spec) != 2 or not isinstance(spec[1], Mapping):
        raise ValueError(f"{name} must be a name, a {what}, or (name, {{{entry}: value}}); got {spec!r}")
    return spec


@dataclass
class Descent:
    """How a model moves: the method, its hyperparameters, the step size now; partial_fit hands it to the next one.

    As scikit-learn's optimizer, it keeps the settings that it began with. A schedule is not kept: it is of one fit.
    """

    method: Method
    hyper: dict[str, float]
    rule: str
    first_step: float
    power_t: float
    step: float
    state: np.ndarray | None = None
    t: int = 0

    @classmethod
    def of(cls, model: Any) -> Descent:
        """From the model's parameters; a TypeError or ValueError names what does not fit."""
        method, hyper = _method(model)
        first = float(model.learning_rate_init)
        return cls(method, hyper, _step_rule(model), first, float(model.power_t), first)

    def sizes(self, schedule: Schedule | None, epoch: int, n_epochs: int, per_epoch: int) -> float | np.ndarray:
        """The step sizes of an epoch (from 0): one number, or with a schedule one a step."""
        if schedule is None:
            return self.step
        sizes = schedule(np.arange(per_epoch) + epoch * per_epoch, n_epochs * per_epoch)
        return sizes if schedule.size is not None else self.first_step * sizes


def _method(model: Any) -> tuple[Method, dict[str, float]]:
    """The row, and its hyperparameters: the model's parameters of the same name, those that came with the solver."""
    spec, given = _with_numbers("solver", model.solver, "Method", "hyperparameter")
    if spec == "sgd":
        spec = "nesterov" if model.nesterovs_momentum else "momentum"
    method = get_method(spec)
    own = {name: getattr(model, name) for name in method.defaults if hasattr(model, name)}
    if "decay" in method.defaults and model.weight_decay is not None:
        own["decay"] = model.weight_decay
    if "step" in given:
        raise ValueError(f"the step size of {method.name!r} is learning_rate_init; leave 'step' out of solver")
    if "decay" in given and model.weight_decay is not None:
        raise ValueError(f"solver={model.solver!r} and weight_decay={model.weight_decay!r} say the same; leave one out")
    asked = check_hyperparameters(method, given) if given else {}
    hyper = {**method.defaults, **own, **{name: asked[name] for name in given}}
    hyper.pop("step")
    return method, hyper


def _step_rule(model: Any) -> str:
    """How the step size goes on from epoch to epoch, where no schedule says it."""
    rule = model.learning_rate
    # scikit-learn's adam does not look at it.
    followed = isinstance(rule, str) and rule in STEP_RULES and solver_name(model) != "adam"
    return str(rule) if followed else "constant"


def schedule_of(model: Any) -> Schedule | None:
    """The schedule over all steps of a fit; None where the step size goes on by one of scikit-learn's rules."""
    spec, numbers = _with_numbers("learning_rate", model.learning_rate, "Schedule", "parameter")
    if isinstance(spec, str) and spec in STEP_RULES:
        if not model.warm_up:
            return None
        if _step_rule(model) != "constant":
            raise ValueError(
                f"warm_up={model.warm_up!r} needs step sizes that are known beforehand, and learning_rate={spec!r} "
                f"finds them on the way; choose one of {', '.join(SCHEDULES)}"
            )
        spec = "constant"
    row = get_schedule(spec).configured(**numbers)
    return warm_up(row, model.warm_up) if model.warm_up else row


def dropout_rates(model: Any, hidden: int) -> tuple[float, ...]:
    """One rate for each hidden layer, or none."""
    several = hasattr(model.dropout, "__iter__")
    rates = list(model.dropout) if several else [model.dropout] * hidden
    if several and len(rates) != hidden:
        raise ValueError(f"dropout has {len(rates)} rates for {hidden} hidden layers; give one number, or one for each")
    if not several and model.dropout and not hidden:
        raise ValueError(f"dropout={model.dropout!r} drops outputs of hidden layers, and there is none")
    for rate in rates:
        FRACTION.check("dropout, the share of a layer's outputs that are dropped,", rate)
    return tuple(map(float, rates)) if any(rates) else ()


def plan_of(model: Any, layout: Layout, loss: Loss, descent: Descent, batch_size: int) -> Plan:
    """The plan of a stochastic solver."""
    rates = dropout_rates(model, layout.L - 1)
    decay = 0.0 if model.weight_decay is None or "decay" in descent.method.defaults else float(model.weight_decay)
    return Plan(
        layout=layout,
        loss=loss,
        method=descent.method,
        hyper=descent.hyper,
        batch_size=batch_size,
        penalty=float(model.alpha),
        dtype=str(model.network_.w.dtype),
        l1=float(model.l1),
        decay=decay,
        clip=model.clip_norm,
        dropout=rates,
        average=model.averaging,
        frozen=frozenset(model.frozen),
        seed=_dropout_seed(model._random_state) if rates else 0,
    )


def _dropout_seed(random_state: np.random.RandomState) -> int:
    """A seed that depends on the generator's state and leaves it as it is: rows are shuffled as without dropout."""
    copy = np.random.RandomState()
    copy.set_state(random_state.get_state())
    return int(copy.randint(2**31 - 1))


def check_settings(model: Any) -> None:
    """Parameters that are each in range but contradict one another: one sentence, before anything is trained."""
    _with_numbers("loss", model.loss, "function", "number")
    _with_numbers("activation", model.activation, "function, a list with one for each layer", "number")
    if solver_name(model) in WHOLE_BATCH:
        _check_whole_batch(model)
    else:
        Descent.of(model)
        schedule_of(model)
    if model.initialiser != "auto":
        get_initialiser(model.initialiser)
    hidden = np.size(model.hidden_layer_sizes)
    dropout_rates(model, hidden)
    _check_frozen(model, hidden + 1)
    if isinstance(model.activation, list) and len(model.activation) != hidden:
        raise ValueError(
            f"activation has {len(model.activation)} entries for {hidden} hidden layers; give one name, or one for each"
        )


def initialiser_of(model: Any) -> str | Initialiser:
    """The initialiser's name or row; "auto" where weights are drawn as scikit-learn does. The solver may prefer one."""
    if model.initialiser != "auto" or solver_name(model) not in SECOND_ORDER:
        return model.initialiser
    return second_order(model)[0].initialiser


def second_order(model: Any) -> tuple[SecondOrder, dict[str, float], float]:
    """(the row of the model's solver, its hyperparameters, the largest gradient entry at the end of a fit)."""
    spec, given = _with_numbers("solver", model.solver, "SecondOrder", "hyperparameter")
    row = get_second_order(spec)
    own = dict(given)
    min_grad = NOT_NEGATIVE.check("min_grad", own.pop("min_grad", row.min_grad))
    return row, row.hyperparameters(own, others=("min_grad",)), min_grad


def check_curvature(name: str, needs: str, loss: Loss) -> None:
    """A ValueError where the loss has not what a second-order solver called `name` needs."""
    if needs == "residuals" and loss.residual is None:
        raise ValueError(
            f"solver={name!r} needs a sum of squares, and the loss {loss.name!r} is none; use loss='squared_error' of "
            "MLPRegressor, or solver='levenberg_marquardt' with an alpha of your own"
        )
    if loss.name in _WITHOUT_CURVATURE:
        raise ValueError(
            f"solver={name!r} steps by the curvature of the loss, and {loss.name!r} has none; use solver='lbfgs' or "
            "'adam', or another loss"
        )


def _check_whole_batch(model: Any) -> None:
    name = solver_name(model)
    if name in SECOND_ORDER:
        second_order(model)
        if model.batch_size != "auto":
            raise ValueError(
                f"batch_size={model.batch_size!r} asks for minibatches, and solver={name!r} looks at all rows in every "
                "step; leave it 'auto', or use solver='adam'"
            )
    elif isinstance(model.solver, tuple):
        raise ValueError(f"the solver {name!r} takes no hyperparameters of its own; use tol, max_iter and max_fun")
    for parameter, why in _STOCHASTIC_ONLY.items():
        value = getattr(model, parameter)
        if np.any(value):
            raise ValueError(
                f"{parameter}={value!r} does not go with solver={name!r}: {why}. Use solver='adam', or leave it out"
            )
    if not (isinstance(model.learning_rate, str) and model.learning_rate in STEP_RULES):
        raise ValueError(
            f"learning_rate={model.learning_rate!r} does not go with solver={name!r}, which finds its steps"
        )


def _check_frozen(model: Any, L: int) -> None:
    for l in model.frozen:
        if isinstance(l, bool) or not isinstance(l, int | np.integer) or not 1 <= l <= L:
            raise ValueError(f"frozen names layer {l!r}; the layers of this network count from 1 to {L}")
    if len(set(model.frozen)) == L:
        raise ValueError(f"frozen names all {L} layers; nothing would be trained")


def check_watched(model: Any, eval_set: Any) -> None:
    """Parameters about rows that are watched, where none are, or where they could change nothing."""
    whole = solver_name(model) == "lbfgs"
    if model.scoring is not None and eval_set is None and (whole or not model.early_stopping):
        raise ValueError(
            f"scoring={model.scoring!r} scores rows that are watched, and there are none; "
            + ("give eval_set" if whole else "set early_stopping=True, or give eval_set")
        )
    if whole and model.early_stopping and eval_set is not None:
        raise ValueError(
            f"early_stopping=True does not go with solver={solver_name(model)!r}, which ends where the loss is least; "
            "use solver='adam', or set early_stopping=False: eval_set is then only recorded"
        )


def own_generator(random_state: Any) -> np.random.RandomState:
    """The generator of a training that is to be resumed: never NumPy's global one, which others move too."""
    if random_state is None or random_state is np.random:
        return np.random.RandomState(check_random_state(None).randint(2**31 - 1))
    return check_random_state(random_state)
