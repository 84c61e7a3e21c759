"""Floor 1, descent: Bayesian regularisation: the penalty's size is found from the data, by the evidence."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .levenberg_marquardt import LevenbergMarquardt
from .view import Quadratic, View

# α of the first steps, beside β = 1: as good as none.
_HELD_ALPHA = 1e-10
# A penalty so many times the largest curvature of β E_D holds its parameters at 0: more of it would change nothing.
_CEILING = 1e8


class BayesianRegularisation(LevenbergMarquardt):
    """Levenberg-Marquardt on β E_D + Σ_g α_g E_g, E_D = Σ e², E_g = Σ x² of a group; all α and β follow the evidence.

    The groups are the objective's: of a network each A_l and each b_l, which are of different sizes and units; of a
    plain function all of x is one. After every step, with H = 2 (β JᵀJ + diag α), γ_g = K_g − 2 α_g tr_g H⁻¹ of a
    group's K_g parameters, α_g = γ_g/(2 E_g), and with γ = Σ γ_g, β = (N − γ)/(2 E_D). γ is the number of parameters
    that the data determine, between 0 and K; 1/(2β) is the variance of the noise. `evidence` is ln P(e | α, β), by
    Laplace's approximation around x. `alpha` is Σ_g α_g E_g / Σ x², so that alpha · Σ x² is the whole penalty.

    The first `hold` steps are nearly those of Levenberg and Marquardt alone: of first weights, which fit nothing, the
    evidence says that all is noise, and leads to where nearly all of them are 0, which is a maximum of it too, but a
    poor one. Then it begins with γ = K and one α for all groups, `first` times that of trainbr.

    F stays ½ Σ e²: values and gradients of the path are of it. It ends where β E_D + Σ α_g E_g is stationary.
    """

    reported: ClassVar[tuple[str, ...]] = ("mu", "alpha", "beta", "gamma", "evidence")

    def __init__(self, view: View, **hyper: float):
        super().__init__(view, **hyper)
        self.vectors["alphas"] = np.zeros(0)  # one a group

    @property
    def slope(self) -> np.ndarray:
        """∇F with the penalty's gradient in F's scale: what is 0 at the end, which no held step is."""
        if self._is_held:
            return np.full_like(self.g, np.inf)
        return self.g + self._penalty / self.numbers["beta"] * self.x

    @property
    def _is_held(self) -> bool:
        return self.numbers["made"] < self.hyper["hold"]

    @property
    def _penalty(self) -> np.ndarray:
        """α of each parameter."""
        return self.vectors["alphas"][self.view.groups(self.x.size)[1]]

    def report(self) -> dict[str, float]:
        names, alphas = self.view.groups(self.x.size)[0], self.vectors["alphas"]
        return super().report() | {f"alpha_{name}": float(a) for name, a in zip(names, alphas, strict=True) if name}

    def start(self, x: np.ndarray) -> None:
        super().start(x)
        self.vectors["alphas"] = np.full(len(self.view.groups(x.size)[0]), _HELD_ALPHA)
        self.numbers |= {"gamma": float(self.x.size), "alpha": _HELD_ALPHA, "beta": 1.0, "made": 0.0}
        if not self.hyper["hold"]:
            self._begin()
        self._measured()

    def _begin(self) -> None:
        """From here on α and β follow the evidence; where they have no meaning yet, they are 1 as in trainbr."""
        K, E_W = float(self.x.size), float(self.x @ self.x)
        self.vectors["alphas"][:] = self.hyper["first"] * (K / (2.0 * E_W) if E_W > 0 else 1.0)
        self._tell(K)

    def step(self) -> str:
        why = super().step()
        if why and self._is_held:  # it has come to the end of what it may do without a penalty
            self.numbers |= {"made": self.hyper["hold"], "mu": self.hyper["mu"]}
            self._begin()
            why = super().step()
        return why

    def _system(self, model: Quadratic, x: np.ndarray | None = None) -> Quadratic:
        alpha, beta = self._penalty, self.numbers["beta"]
        G = beta * model.G
        G.flat[:: len(G) + 1] += alpha
        return Quadratic(beta * model.g + alpha * (self.x if x is None else x), G)

    def _merit(self, x: np.ndarray, value: float) -> float:
        return self.numbers["beta"] * value + 0.5 * float(self._penalty @ np.square(x))

    def _arrive(self, x: np.ndarray, value: float, model: Quadratic) -> None:
        super()._arrive(x, value, model)
        gammas = self._measured()
        was_held = self._is_held
        self.numbers["made"] += 1
        if self._is_held:
            self.numbers["gamma"] = float(gammas.sum())
        elif was_held:
            self._begin()
        else:
            self._weigh(gammas)

    def _weigh(self, gammas: np.ndarray) -> None:
        """α of each group's γ, and β; a group without a size or without a γ says nothing, and keeps its α."""
        assert self._model is not None
        E_W, alphas = self._sizes(), self.vectors["alphas"]
        ceiling = _CEILING * self.numbers["beta"] * float(np.diagonal(self._model.G).max())
        says = (gammas > 0) & (E_W > 0)
        alphas[says] = np.minimum(gammas[says] / (2.0 * E_W[says]), ceiling)
        self._tell(float(gammas.sum()))

    def _tell(self, gamma: float) -> None:
        """β of γ; and the one α that would be as large a penalty as all of them."""
        E_D, E_W, alphas = 2.0 * self.value, self._sizes(), self.vectors["alphas"]
        unexplained = self.view.residual_count(self.x) - gamma
        self.numbers["gamma"] = gamma
        self.numbers["alpha"] = float(alphas @ E_W / E_W.sum() if E_W.any() else alphas.mean())
        self.numbers["beta"] = unexplained / (2.0 * E_D) if E_D > 0 and unexplained > 0 else 1.0

    def _sizes(self) -> np.ndarray:
        """E_g = Σ x² of each group."""
        names, group = self.view.groups(self.x.size)
        return np.bincount(group, np.square(self.x), len(names))

    def _measured(self) -> np.ndarray:
        """γ of each group where the descent stands, by the α and β that led there; their evidence is noted."""
        assert self._model is not None
        names, group = self.view.groups(self.x.size)
        N, beta, alphas = self.view.residual_count(self.x), self.numbers["beta"], self.vectors["alphas"]
        inverse, logarithm = _inverse_and_logarithm(self._system(self._model).G)
        self.numbers["evidence"] = float(
            -2.0 * self._merit(self.x, self.value)
            - 0.5 * logarithm
            + 0.5 * np.sum(np.log(self._penalty))
            + 0.5 * N * np.log(beta / np.pi)
        )
        counts = np.bincount(group, minlength=len(names))
        gammas = np.clip(counts - alphas * np.bincount(group, inverse, len(names)), 0.0, counts)
        return gammas * min(1.0, N / max(float(gammas.sum()), 1.0))


def _inverse_and_logarithm(A: np.ndarray) -> tuple[np.ndarray, float]:
    """(diagonal of A⁻¹, ln det A), A positive definite; eigenvalues that rounding made negative count as the least."""
    from scipy.linalg import eigh, lapack

    if not np.isfinite(A).all():
        return np.zeros(len(A)), 0.0
    factor, failed = lapack.dpotrf(A.T, lower=True, clean=True)
    if not failed:
        inverse, failed = lapack.dtrtri(factor, lower=True)
        if not failed:
            return np.sum(np.square(inverse), axis=0), 2.0 * float(np.sum(np.log(np.diagonal(factor))))
    values, vectors = eigh(A, check_finite=False)
    values = np.maximum(values, np.finfo(float).eps * values[-1])
    return np.square(vectors) @ (1.0 / values), float(np.sum(np.log(values)))
