"""Floor 4, estimators: `coefs_` and `intercepts_`, scikit-learn's lists, as views into w."""

from __future__ import annotations

from typing import Any

import numpy as np


class _Parameters(list):
    """The list that scikit-learn has in `coefs_`: here its entries are views into w; assigning one writes into w."""

    def __setitem__(self, index: Any, value: Any) -> None:
        views, values = (self[index], value) if isinstance(index, slice) else ([self[index]], [value])
        if len(views) != len(values):
            raise ValueError(f"{len(views)} arrays are needed, one for each layer; got {len(values)}")
        for view, new in zip(views, values, strict=True):
            if np.shape(new) != view.shape:
                raise ValueError(f"an array of shape {view.shape} is needed for this layer, got {np.shape(new)}")
            view[...] = new


def fitted_views(name: str, letter: str, sentence: str) -> property:
    """`coefs_` and `intercepts_`: views into w; before there is a network, the arrays that were given for it."""

    def get(self: Any) -> list[Any]:
        if name in self.__dict__ and "network_" not in self.__dict__:
            return self.__dict__[name]
        return _Parameters(getattr(self._fitted_network(), letter))

    def put(self: Any, values: Any) -> None:
        if "network_" in self.__dict__:
            get(self)[:] = values
        else:
            self.__dict__[name] = list(values)

    return property(get, put, doc=sentence)
