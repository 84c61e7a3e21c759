"""Floor 1, descent: Bayesian regularisation: the penalty's size is found from the data, by the evidence."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .levenberg_marquardt import LevenbergMarquardt
from .view import Quadratic

# α of the first steps, beside β = 1: as good as none.
_HELD_ALPHA = 1e-10


class BayesianRegularisation(LevenbergMarquardt):
    """Levenberg-Marquardt on β E_D + α E_W, with E_D = Σ e² and E_W = Σ x²; α and β follow the evidence.

    After every step, with H = 2 (β JᵀJ + α I), γ = K − 2 α tr H⁻¹, α = γ/(2 E_W), β = (N − γ)/(2 E_D). γ is the number
    of parameters that the data determine, between 0 and K; 1/(2β) is the variance of the noise. `evidence` is
    ln P(e | α, β), by Laplace's approximation around x.

    The first `hold` steps are nearly those of Levenberg and Marquardt alone: of first weights, which fit nothing, the
    evidence says that all is noise, and leads to where nearly all of them are 0, which is a maximum of it too, but a
    poor one. Then it begins with γ = K and `first` times the α of that, where trainbr takes the whole from the start.

    F stays ½ Σ e²: values and gradients of the path are of it. It ends where β E_D + α E_W is stationary.
    """

    reported: ClassVar[tuple[str, ...]] = ("mu", "alpha", "beta", "gamma", "evidence")

    @property
    def slope(self) -> np.ndarray:
        """∇F with the penalty's gradient in F's scale: what is 0 at the end, which no held step is."""
        if self._is_held:
            return np.full_like(self.g, np.inf)
        return self.g + self.numbers["alpha"] / self.numbers["beta"] * self.x

    @property
    def _is_held(self) -> bool:
        return self.numbers["made"] < self.hyper["hold"]

    def start(self, x: np.ndarray) -> None:
        super().start(x)
        self.numbers |= {"gamma": float(self.x.size), "alpha": _HELD_ALPHA, "beta": 1.0, "made": 0.0}
        if not self.hyper["hold"]:
            self._begin()
        self._measured()

    def _begin(self) -> None:
        """From here on α and β follow the evidence."""
        K = float(self.x.size)
        self._weigh(K, self.view.residual_count(self.x) - K)
        self.numbers["alpha"] *= self.hyper["first"]

    def step(self) -> str:
        why = super().step()
        if why and self._is_held:  # it has come to the end of what it may do without a penalty
            self.numbers |= {"made": self.hyper["hold"], "mu": self.hyper["mu"]}
            self._begin()
            why = super().step()
        return why

    def _system(self, model: Quadratic, x: np.ndarray | None = None) -> Quadratic:
        alpha, beta = self.numbers["alpha"], self.numbers["beta"]
        G = beta * model.G
        G.flat[:: len(G) + 1] += alpha
        return Quadratic(beta * model.g + alpha * (self.x if x is None else x), G)

    def _merit(self, x: np.ndarray, value: float) -> float:
        return self.numbers["beta"] * value + 0.5 * self.numbers["alpha"] * float(x @ x)

    def _arrive(self, x: np.ndarray, value: float, model: Quadratic) -> None:
        super()._arrive(x, value, model)
        gamma = self._measured()
        was_held = self._is_held
        self.numbers["made"] += 1
        if self._is_held:
            self.numbers["gamma"] = gamma
        elif was_held:
            self._begin()
        else:
            self._weigh(gamma, self.view.residual_count(self.x) - gamma)

    def _weigh(self, gamma: float, unexplained: float) -> None:
        """α and β of γ; where they have no meaning (no weights, no errors, too few rows), they are 1 as in trainbr."""
        E_D, E_W = 2.0 * self.value, float(self.x @ self.x)
        self.numbers["gamma"] = gamma
        self.numbers["alpha"] = gamma / (2.0 * E_W) if E_W > 0 and gamma > 0 else 1.0
        self.numbers["beta"] = unexplained / (2.0 * E_D) if E_D > 0 and unexplained > 0 else 1.0

    def _measured(self) -> float:
        """γ of the point where the descent stands, by the α and β that led there; their evidence is noted."""
        assert self._model is not None
        K, N = self.x.size, self.view.residual_count(self.x)
        inverse, logarithm = _trace_and_logarithm(self._system(self._model).G)
        alpha, beta = self.numbers["alpha"], self.numbers["beta"]
        self.numbers["evidence"] = float(
            -2.0 * self._merit(self.x, self.value)
            - 0.5 * logarithm
            + 0.5 * K * np.log(alpha)
            + 0.5 * N * np.log(beta / np.pi)
        )
        return float(np.clip(K - alpha * inverse, 0.0, min(K, N)))


def _trace_and_logarithm(A: np.ndarray) -> tuple[float, float]:
    """(tr A⁻¹, ln det A) of a positive definite matrix; eigenvalues that rounding made negative count as the least."""
    from scipy.linalg import eigvalsh, lapack

    if not np.isfinite(A).all():
        return 0.0, 0.0
    factor, failed = lapack.dpotrf(A.T, lower=True, clean=True)
    if not failed:
        inverse, failed = lapack.dtrtri(factor, lower=True)
        if not failed:
            return float(np.sum(np.square(inverse))), 2.0 * float(np.sum(np.log(np.diagonal(factor))))
    values = eigvalsh(A, check_finite=False)
    values = np.maximum(values, np.finfo(float).eps * values[-1])
    return float(np.sum(1.0 / values)), float(np.sum(np.log(values)))
