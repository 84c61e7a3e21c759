"""Floor 5, interchange: one file for a trained model: arrays by safetensors, everything else as JSON, nothing that runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data import Features, Target
from chainrule.engine import Network
from chainrule.estimators.tabular import TableClassifier, TableRegressor
from chainrule.files import FileError, load_arrays, save_arrays
from chainrule.network import ACTIVATIONS, Activation, Layout, get_activation
from chainrule.network.rows import is_row
from chainrule.training import History, Outcome

_MODELS = {"TableClassifier": TableClassifier, "TableRegressor": TableRegressor}


def save(model: Any, path: str | Path, *, extra: dict[str, Any] | None = None) -> None:
    """Write a fitted TableClassifier, TableRegressor or a Network to one file.

    The file is written beside its place and renamed, so a crash leaves the old one whole. It can be read by the
    safetensors library; it holds no code and no pickle.

    Parameters
    ----------
    model : a fitted TableClassifier, TableRegressor, or a Network
    path : where to
    extra : anything that JSON can hold, given back by `load` as `model.extra_`

    Raises
    ------
    TypeError : for another kind of object. ValueError : for a network with an activation of one's own.

    >>> import chainrule as cr, tempfile, os
    >>> net = cr.Network([2, 3, 1], "tanh", seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cr.save(net, os.path.join(folder, "net.chainrule"))
    ...     again = cr.load(os.path.join(folder, "net.chainrule"))
    >>> bool((again.w == net.w).all())
    True
    """
    if isinstance(model, Network):
        network, metadata, arrays = model, {"model": "Network"}, {}
    elif type(model).__name__ in _MODELS and hasattr(model, "network_"):
        network = model.network_
        metadata, arrays = _table_state(model)
    else:
        raise TypeError(
            f"save takes a fitted {', '.join(_MODELS)} or a Network, got {type(model).__name__}"
            + ("" if hasattr(model, "network_") or not hasattr(model, "fit") else ", which is not fitted")
        )
    metadata["layout"] = _layout_state(network.layout)
    metadata["extra"] = extra or {}
    save_arrays(path, {**arrays, "w": network.w}, metadata)


def load(path: str | Path) -> Any:
    """Read a file that `save` wrote; the model predicts the same bits.

    Raises
    ------
    FileError : for a file that is missing, cut short, altered, from a later version or not a model.
    """
    arrays, metadata = load_arrays(path)
    try:
        layout = _layout_from(metadata["layout"])
        w = np.array(arrays.pop("w"))
        network = Network.from_layout(layout, w)
        if not np.isfinite(w).all():
            raise ValueError("a weight is not finite")
        if metadata["model"] == "Network":
            return network
        model = _table_from(metadata, arrays, network)
        model.extra_ = metadata["extra"]
        return model
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise FileError(f"{path} is not a model that can be read: {error!s:.200}") from error


def _layout_state(layout: Layout) -> dict[str, Any]:
    own = [layer.activation.name for layer in layout.layers if not is_row(ACTIVATIONS, layer.activation)]
    if own:
        raise ValueError(f"the activation {own[0]!r} is a function of your own, which a model file cannot hold yet")
    return {"sizes": list(layout.sizes), "activations": [_activation_state(l.activation) for l in layout.layers]}


def _activation_state(row: Activation) -> list[Any]:
    return [row.name, dict(row.parameters)]


def _layout_from(state: dict[str, Any]) -> Layout:
    rows = [get_activation((name, dict(parameters))) for name, parameters in state["activations"]]
    if len(rows) != len(state["sizes"]) - 1:
        raise ValueError("the numbers of layers and of activations differ")
    return Layout.of(state["sizes"], rows[:-1], rows[-1])


_SCALE = ("target_mean_", "target_scale_", "target_range_")


def _table_state(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    columns, arrays = model.features_.state()
    target, target_arrays = model.target_.state()
    parameters = {name: _plain(value) for name, value in model.get_params().items()}
    metadata = {
        "model": type(model).__name__,
        "parameters": parameters,
        "features": columns,
        "target": target,
        "names": [kind.column for kind in model.features_.kinds],
        "scale": {name: _plain(getattr(model, name)) for name in _SCALE if hasattr(model, name)},
        "history": model.history_.columns(),
        "outcome": {key: value for key, value in asdict(_without_history(model.outcome_)).items() if key != "history"},
    }
    named = {f"features.{k}": v for k, v in arrays.items()} | {f"target.{k}": v for k, v in target_arrays.items()}
    return metadata, named


def _without_history(outcome: Outcome) -> Outcome:
    return Outcome(History(), outcome.stopped_because, outcome.best_epoch, outcome.interrupted)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return None  # a random state or a function: what it led to is in the weights


def _table_from(metadata: dict[str, Any], arrays: dict[str, np.ndarray], network: Network) -> Any:
    model = _MODELS[metadata["model"]]()
    known = model.get_params()
    model.set_params(**{k: v for k, v in metadata["parameters"].items() if k in known})

    def part(prefix: str) -> dict[str, np.ndarray]:
        return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

    model.features_ = Features.from_state(metadata["features"], part("features."))
    model.target_ = Target.from_state(metadata["target"], part("target."))
    model.network_ = network
    if len(model.features_.names) != network.sizes[0]:
        raise ValueError("the columns do not fit the network")
    model.feature_names_in_ = np.array(metadata["names"], dtype=object)
    model.n_features_in_ = len(metadata["names"])
    for name, value in metadata["scale"].items():
        if name in _SCALE:
            setattr(model, name, tuple(value) if isinstance(value, list) else float(value))
    model.history_ = History.from_columns(metadata["history"])
    model.outcome_ = Outcome(model.history_, **metadata["outcome"])
    model.n_iter_ = len(model.history_)
    return model
