"""Floor 4, scores: how good a model is on given rows, beside the plain guess that ignores the columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import is_classifier

# name -> what people read
WORDS = {
    "accuracy": "accuracy: share of rows right (1 is perfect)",
    "log_loss": "log-loss: surprise at the true class (0 is perfect)",
    "roc_auc": "ROC AUC: order of the rows right (0.5 is chance, 1 is perfect)",
    "r2": "R²: share of the variation explained (1 is perfect)",
    "rmse": "root mean squared error, in the target's unit",
    "mae": "mean absolute error, in the target's unit",
}


def plain(model: Any, codes: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """The plain guess from the targets of the training rows: the share of each class, or (mean, median)."""
    if is_classifier(model):
        counts = np.bincount(codes, weights, minlength=len(model.classes_))
        return np.asarray(counts / counts.sum())
    return np.array([np.average(codes, weights=weights), np.median(codes)])


def of(
    model: Any, X: Any, codes: np.ndarray, weights: np.ndarray | None, baseline: np.ndarray | None = None
) -> dict[str, Any]:
    """Scores by name, those of the plain guess as NAME_baseline; a score that is not defined is left out."""
    if is_classifier(model):
        p = model.predict_proba(X)
        found = _of_classes(codes, p, weights)
        if baseline is not None:
            found |= _baseline(_of_classes(codes, np.tile(baseline, (len(codes), 1)), weights))
            found["baseline"] = f"always {model.classes_[int(np.argmax(baseline))]}"
    else:
        found = _of_numbers(codes, model.predict(X), weights)
        if baseline is not None:
            mean, median = (np.full(len(codes), value) for value in baseline)
            found |= _baseline(_of_numbers(codes, mean, weights))
            found["mae_baseline"] = _of_numbers(codes, median, weights)["mae"]
            found["baseline"] = f"always the average, {baseline[0]:.4g}"
    return {name: value for name, value in found.items() if isinstance(value, str) or np.isfinite(value)}


def _baseline(found: dict[str, float]) -> dict[str, Any]:
    return {f"{name}_baseline": value for name, value in found.items() if name != "r2"}  # that is 0 but for chance


def _of_classes(codes: np.ndarray, p: np.ndarray, weights: np.ndarray | None) -> dict[str, Any]:
    from sklearn.metrics import accuracy_score, roc_auc_score

    chosen = np.maximum(p[np.arange(len(codes)), codes], 1e-15)
    found = {
        "accuracy": float(accuracy_score(codes, p.argmax(axis=1), sample_weight=weights)),
        "log_loss": float(np.average(-np.log(chosen), weights=weights)),
    }
    counted = codes if weights is None else codes[weights > 0]
    if p.shape[1] == 2 and len(np.unique(counted)) == 2:
        found["roc_auc"] = float(roc_auc_score(codes, p[:, 1], sample_weight=weights))
    return found


def _of_numbers(true: np.ndarray, found: np.ndarray, weights: np.ndarray | None) -> dict[str, Any]:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    return {
        "r2": float(r2_score(true, found, sample_weight=weights)) if np.ptp(true) > 0 else float("nan"),
        "rmse": float(root_mean_squared_error(true, found, sample_weight=weights)),
        "mae": float(mean_absolute_error(true, found, sample_weight=weights)),
    }


def show(result: dict[str, Any], title: str, say: Callable[[str], None]) -> None:
    """The scores as lines for people, the plain guess beside them."""
    names = [name for name in WORDS if name in result]
    width = max(len(WORDS[name]) for name in names)
    plain_guess = f"   plain guess ({result['baseline']})" if "baseline" in result else ""
    say(f"{title}:{'':<{max(width + 3 - len(title), 1)}}{'network':>10}{plain_guess}")
    for name in names:
        base = result.get(f"{name}_baseline")
        say(f"  {WORDS[name]:<{width}}  {result[name]:>10.4g}" + ("" if base is None else f"   {base:.4g}"))
