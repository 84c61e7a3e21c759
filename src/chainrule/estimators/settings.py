"""Floor 4, estimators: what the parameters ask of the engine: method, step sizes, plan; contradictions are named here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from chainrule.descent import (
    METHODS,
    SCHEDULES,
    Method,
    Schedule,
    check_hyperparameters,
    get_method,
    get_schedule,
    warm_up,
)
from chainrule.engine import Plan
from chainrule.network import Layout, Loss

# scikit-learn's own ways for the step size of sgd; every other name is a schedule over all steps.
STEP_RULES = ("constant", "invscaling", "adaptive")
# Solvers that look at all rows at once.
WHOLE_BATCH = ("lbfgs",)
SOLVERS = ("lbfgs", "sgd", "adam", *(name for name in METHODS if name != "adam"))
# What such a solver cannot do, and why.
_STOCHASTIC_ONLY = {
    "dropout": (0.0, "every evaluation of the loss would see another network"),
    "l1": (0.0, "its line search needs a smooth loss, and |w| has a kink at 0"),
    "weight_decay": (None, "it makes no steps of the gradient; alpha is the penalty that it minimises"),
    "clip_norm": (None, "its line search finds the length of a step"),
    "averaging": (None, "it has one best point, and no noise of minibatches to average away"),
    "warm_up": (0.0, "its line search finds the length of a step"),
    "frozen": ((), "it moves all of w"),
}


def solver_name(model: Any) -> str:
    """The solver's name, where it may come with hyperparameters."""
    return model.solver[0] if isinstance(model.solver, tuple) else getattr(model.solver, "name", model.solver)


@dataclass
class Descent:
    """How a model moves: the method, its hyperparameters, the step size now; partial_fit hands it to the next one.

    As scikit-learn's optimizer, it keeps the settings that it began with.
    """

    method: Method
    hyper: dict[str, float]
    rule: str
    schedule: Schedule | None
    first_step: float
    power_t: float
    step: float
    state: np.ndarray | None = None
    t: int = 0

    @classmethod
    def of(cls, model: Any) -> Descent:
        """From the model's parameters; a TypeError or ValueError names what does not fit."""
        method, hyper = _method(model)
        rule, schedule = _step_rule(model)
        first = float(model.learning_rate_init)
        return cls(method, hyper, rule, schedule, first, model.power_t, first)

    def sizes(self, epoch: int, n_epochs: int, per_epoch: int) -> float | np.ndarray:
        """The step sizes of an epoch (from 0): one number, or with a schedule one a step."""
        if self.schedule is None:
            return self.step
        return self.first_step * self.schedule(np.arange(per_epoch) + epoch * per_epoch, n_epochs * per_epoch)


def _method(model: Any) -> tuple[Method, dict[str, float]]:
    """The row, and its hyperparameters: the model's parameters of the same name, those that came with the solver."""
    spec, given = model.solver, {}
    if isinstance(spec, tuple):
        if len(spec) != 2 or not isinstance(spec[1], Mapping):
            raise ValueError(f"solver must be a name, a Method, or (name, {{hyperparameter: value}}); got {spec!r}")
        spec, given = spec
    if isinstance(spec, str) and spec not in SOLVERS:
        get_method(spec)  # an alias, or an error that names the nearest
    if spec == "sgd":
        spec = "nesterov" if model.nesterovs_momentum else "momentum"
    method = get_method(spec)
    own = {name: getattr(model, name) for name in method.defaults if hasattr(model, name)}
    if "decay" in method.defaults and model.weight_decay is not None:
        own["decay"] = model.weight_decay
    if "step" in given:
        raise ValueError(f"the step size of {method.name!r} is learning_rate_init; leave 'step' out of solver")
    asked = check_hyperparameters(method, given) if given else {}
    hyper = {**method.defaults, **own, **{name: asked[name] for name in given}}
    hyper.pop("step")
    return method, hyper


def _step_rule(model: Any) -> tuple[str, Schedule | None]:
    spec = model.learning_rate
    if isinstance(spec, str) and spec in STEP_RULES:
        # Only scikit-learn's sgd looks at them.
        rule = spec if solver_name(model) == "sgd" else "constant"
        if not model.warm_up:
            return rule, None
        if rule != "constant":
            raise ValueError(
                f"warm_up={model.warm_up!r} needs step sizes that are known beforehand, and learning_rate={spec!r} "
                f"finds them on the way; choose one of constant, {', '.join(SCHEDULES)}"
            )
        spec = "constant"
    if isinstance(spec, tuple):
        if len(spec) != 2 or not isinstance(spec[1], Mapping):
            raise ValueError(f"learning_rate must be a name, a Schedule, or (name, {{parameter: value}}); got {spec!r}")
        row = get_schedule(spec[0]).configured(**spec[1])
    else:
        row = get_schedule(spec)
    return row.name, warm_up(row, model.warm_up) if model.warm_up else row


def dropout_rates(model: Any, hidden: int) -> tuple[float, ...]:
    """One rate for each hidden layer, or none."""
    rates = model.dropout
    several = hasattr(rates, "__iter__")
    rates = [float(rate) for rate in rates] if several else [float(rates)] * hidden
    if several and len(rates) != hidden:
        raise ValueError(f"dropout has {len(rates)} rates for {hidden} hidden layers; give one number, or one for each")
    wrong = [rate for rate in rates if not 0 <= rate < 1]
    if wrong:
        raise ValueError(
            f"dropout must lie in [0, 1), the share of a layer's outputs that are dropped; got {wrong[0]!r}"
        )
    return tuple(rates) if any(rates) else ()


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
    name = solver_name(model)
    if name in WHOLE_BATCH:
        if isinstance(model.solver, tuple):
            raise ValueError(f"the solver {name!r} takes no hyperparameters of its own; use tol, max_iter and max_fun")
        for parameter, (off, why) in _STOCHASTIC_ONLY.items():
            value = getattr(model, parameter)
            if not (value is off or np.array_equal(value, off)):
                raise ValueError(
                    f"{parameter}={value!r} does not go with solver={name!r}: {why}. Use solver='adam', or leave it out"
                )
        if not (isinstance(model.learning_rate, str) and model.learning_rate in STEP_RULES):
            raise ValueError(
                f"learning_rate={model.learning_rate!r} does not go with solver={name!r}, which finds its steps"
            )
    else:
        Descent.of(model)
    hidden = np.size(model.hidden_layer_sizes)
    dropout_rates(model, hidden)
    for l in model.frozen:
        if isinstance(l, bool) or int(l) != l or not 1 <= l <= hidden + 1:
            raise ValueError(f"frozen names layer {l!r}; the layers of this network count from 1 to {hidden + 1}")
    if len(set(model.frozen)) == hidden + 1:
        raise ValueError(f"frozen names all {hidden + 1} layers; nothing would be trained")
    if isinstance(model.activation, list) and len(model.activation) != hidden:
        raise ValueError(
            f"activation has {len(model.activation)} entries for {hidden} hidden layers; give one name, or one for each"
        )


def own_generator(random_state: Any) -> np.random.RandomState:
    """The generator of a training that is to be resumed: never NumPy's global one, which others move too."""
    if random_state is None or random_state is np.random:
        return np.random.RandomState(check_random_state(None).randint(2**31 - 1))
    return check_random_state(random_state)
