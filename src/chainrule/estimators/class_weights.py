"""Floor 4, estimators: the weights of classes as weights of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from chainrule.tables import NOT_NEGATIVE


def class_weights(spec: Any, labels: Sequence[Any], Y: np.ndarray, multilabel: bool) -> np.ndarray:
    """One number a row of Y (N × D_L, of 0 and 1), as scikit-learn's compute_sample_weight.

    Unlike that, {label: weight} may be given for labels that no row of Y has, as a part of the rows may lack some.

    >>> class_weights({"no": 1.0, "yes": 3.0}, ["no", "yes"], np.array([[0], [1], [0]]), multilabel=False)
    array([1., 3., 1.])
    """
    Y = Y.astype(int)
    codes = Y if multilabel else Y[:, 0] if Y.shape[1] == 1 else Y.argmax(axis=1)
    if isinstance(spec, str):
        return compute_sample_weight(spec, codes)
    if not multilabel:
        if not isinstance(spec, Mapping):
            raise ValueError(f"class_weight must be {{label: weight}} or 'balanced' for labels, got {spec!r}")
        return _looked_up(spec, labels)[codes]
    if isinstance(spec, Mapping) or len(spec) != Y.shape[1]:
        raise ValueError(
            f"class_weight must be 'balanced' or a list of {Y.shape[1]} {{0: weight, 1: weight}}, one for each label, "
            f"where y is multilabel; got {spec!r}"
        )
    return np.prod([_looked_up(one, (0, 1))[column] for one, column in zip(spec, codes.T, strict=True)], axis=0)


def _looked_up(weights: Any, labels: Sequence[Any]) -> np.ndarray:
    if not isinstance(weights, Mapping):
        raise ValueError(f"class_weight must be {{label: weight}}, got {weights!r}")
    unknown = set(weights) - set(labels)
    if unknown:
        raise ValueError(
            f"class_weight has {next(iter(unknown))!r}, which is no class of y; they are {', '.join(map(str, labels))}"
        )
    found = [NOT_NEGATIVE.check(f"class_weight[{label!r}]", weights.get(label, 1.0)) for label in labels]
    if not any(found):
        raise ValueError(f"class_weight={weights!r} gives no class any weight")
    return np.array(found)
