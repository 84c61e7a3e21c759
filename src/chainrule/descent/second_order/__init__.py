"""Floor 1, descent: second-order methods, one row each: they use curvature and find their own steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chainrule.tables import INSIDE, NOT_NEGATIVE, POSITIVE, SHARE, Interval, find, table, with_given

from ..objective import Objective
from .bayesian import BayesianRegularisation
from .conjugate import ScaledConjugateGradient
from .levenberg_marquardt import LevenbergMarquardt
from .memory import check_memory
from .newton import GaussNewtonCG, NewtonCG
from .solver import NO_BETTER, Solver
from .view import Quadratic, View

_GROWS = Interval(1.0)


@dataclass(frozen=True)
class SecondOrder:
    """One second-order method.

    Parameters
    ----------
    name : what it is called
    solver : what makes its steps
    needs : what F must have: "residuals" (a sum of squares), "normal" (residuals, or a Gauss-Newton matrix), or
        "gradient"
    defaults, ranges : the hyperparameters, their defaults and intervals
    min_grad : the largest entry of the mean loss's gradient at which the fit of a network ends
    source, formula : the paper, and the step as it is written there
    aliases : other names for it
    note : where other libraries differ
    keeps_matrix : whether it keeps K × K numbers
    initialiser : of the networks that it fits, where none is asked for
    best_by : which of the numbers that it reports is larger for a better fit; nothing: none, the loss is smaller
    """

    name: str
    solver: type[Solver]
    needs: str
    defaults: Mapping[str, float] = field(hash=False)
    ranges: Mapping[str, Interval] = field(hash=False)
    min_grad: float
    source: str
    formula: str
    aliases: tuple[str, ...] = ()
    note: str = ""
    keeps_matrix: bool = False
    initialiser: str = "auto"
    best_by: str = ""

    def hyperparameters(self, given: Mapping[str, Any], others: Any = ()) -> dict[str, float]:
        """The defaults with the given ones in place; unknown names and numbers out of range are errors.

        >>> SECOND_ORDER["levenberg_marquardt"].hyperparameters({"mu": 1})["mu"]
        1.0
        """
        return with_given(f"the method {self.name!r}", self.defaults, self.ranges, given, others)

    def check_objective(self, objective: Objective) -> None:
        """A TypeError where F lacks what the method needs."""
        fits = {"residuals": objective.residuals is not None, "normal": objective.has_normal, "gradient": True}
        if fits[self.needs]:
            return
        raise TypeError(
            f"{self.name} needs a sum of squares: give Objective(residuals=…), for F = ½ Σ e²"
            + (", or an Objective with normal, its Gauss-Newton matrix" if self.needs == "normal" else "")
            + "; for any other F there are scaled_conjugate_gradient, newton_cg and lbfgs"
        )


_CORRECTIONS = Interval(0.0, low_included=True, whole=True)
_MU: dict[str, float] = {"mu": 0.001, "mu_dec": 0.1, "mu_inc": 10.0, "mu_max": 1e10, "scaling": 0.0}
_MU_RANGES = {"mu": POSITIVE, "mu_dec": INSIDE, "mu_inc": _GROWS, "mu_max": POSITIVE, "scaling": SHARE}
_BALL: dict[str, float] = {"radius": 1.0, "forcing": 0.5, "sigma": 5e-5}
_BALL_RANGES = {"radius": POSITIVE, "forcing": INSIDE, "sigma": POSITIVE}

SECOND_ORDER: dict[str, SecondOrder] = table([
    SecondOrder(
        "levenberg_marquardt", LevenbergMarquardt, "normal", _MU | {"corrections": 2},
        _MU_RANGES | {"corrections": _CORRECTIONS}, 1e-7,
        "Levenberg 1944; Marquardt 1963; Hagan & Menhaj 1994; corrections: Transtrum & Sethna 2012, Fan 2012",
        "d = −(JᵀJ + μ D)⁻¹ Jᵀe, D = diag(JᵀJ)^scaling;  `corrections` times "
        "d ← d − (JᵀJ + μ D)⁻¹ (Jᵀe(w + d) + μ D d);  w ← w + d and μ ← μ · mu_dec where E falls, "
        "else μ ← μ · mu_inc and again",
        (),
        "MATLAB's trainlm with its defaults, and corrections that it has not; trainlm is the one without. SciPy's "
        "least_squares(method='lm') is MINPACK's, with a trust region for μ and Marquardt's scaling; its 2 · cost is "
        "our 2 · E",
        keeps_matrix=True, initialiser="nguyen_widrow",
    ),
    SecondOrder(
        "trainlm", LevenbergMarquardt, "normal", _MU | {"corrections": 0}, _MU_RANGES | {"corrections": _CORRECTIONS},
        1e-7, "Hagan & Menhaj 1994",
        "w ← w − (JᵀJ + μ D)⁻¹ Jᵀe, D = diag(JᵀJ)^scaling;  μ ← μ · mu_dec where E falls, else μ · mu_inc and again",
        (),
        "MATLAB's, step by step: levenberg_marquardt without its corrections",
        keeps_matrix=True, initialiser="nguyen_widrow",
    ),
    SecondOrder(
        "bayesian_regularisation", BayesianRegularisation, "residuals",
        _MU | {"mu": 0.005, "first": 0.01, "hold": 10.0},
        _MU_RANGES | {"first": POSITIVE, "hold": NOT_NEGATIVE}, 1e-7,
        "MacKay 1992; Foresee & Hagan 1997",
        "as levenberg_marquardt on β Σe² + α Σw², an α for each A_l and b_l;  γ = K − 2α tr H⁻¹ of each;  "
        "α ← γ/(2 Σw²);  β ← (N − Σγ)/(2 Σe²)",
        ("trainbr",),
        "MATLAB's trainbr with its defaults, but that there one α is for all parameters, as here of an Objective "
        "without groups, α and β follow the evidence from the first step (hold = 0), and the first α is the whole "
        "(first = 1). Biases are penalised too. scikit-learn's BayesianRidge has two penalties of the same "
        "kind for linear models",
        keeps_matrix=True, best_by="evidence",
    ),
    SecondOrder(
        "scaled_conjugate_gradient", ScaledConjugateGradient, "gradient",
        {"sigma": 5e-5, "lambda_0": 5e-7}, {"sigma": POSITIVE, "lambda_0": NOT_NEGATIVE}, 1e-6,
        "Møller 1993",
        "w ← w + (−pᵀ∇E)/(pᵀHp + λ‖p‖²) p;  p ← −∇E + β p;  λ by the share of the promised fall that was got",
        ("trainscg",),
        "MATLAB's trainscg with its defaults, but that Hp is exact where the objective has it; σ is then not used",
    ),
    SecondOrder(
        "newton_cg", NewtonCG, "gradient", _BALL, _BALL_RANGES, 1e-6,
        "Steihaug 1983; Nocedal & Wright 2006, algorithms 4.1 and 7.2; products by Pearlmutter 1994",
        "w ← w + d, ‖H d + ∇E‖ ≤ η ‖∇E‖ within ‖d‖ ≤ radius, by conjugate gradients",
        (),
        "SciPy's trust-ncg is the same with other rules for the radius; its Newton-CG searches along a line instead",
    ),
    SecondOrder(
        "gauss_newton_cg", GaussNewtonCG, "normal", _BALL, _BALL_RANGES, 1e-6,
        "Schraudolph 2002; Martens 2010",
        "as newton_cg with the Gauss-Newton matrix in the place of H",
        (),
        "Martens' Hessian-free method damps with λ I instead of a radius",
    ),
])  # fmt: skip


def get_second_order(name: str | SecondOrder) -> SecondOrder:
    """The row called `name`, aliases included, or `name` itself if it is a row.

    >>> get_second_order("trainbr").name
    'bayesian_regularisation'
    """
    return name if isinstance(name, SecondOrder) else find(SECOND_ORDER, name, "second-order method")


__all__ = [
    "NO_BETTER",
    "SECOND_ORDER",
    "Quadratic",
    "SecondOrder",
    "Solver",
    "View",
    "check_memory",
    "get_second_order",
]
