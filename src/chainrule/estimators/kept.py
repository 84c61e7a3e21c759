"""Floor 4, estimators: the checkpoint of a table model: what a resumed fit compares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from chainrule.data import Table
from chainrule.training import Checkpointer

from .settings import own_generator

# Parameters that the weights do not depend on.
_NOT_COMPARED = ("n_threads", "progress", "max_time", "audit")


def keep_table(
    model: Any, table: Table, y: pd.Series, weights: np.ndarray | None, **asked: Any
) -> tuple[Any, Checkpointer]:
    """(where the seed comes from, the checkpoint), before anything is drawn: a resumed fit draws the same.

    `asked` is path, every and resume, as `Checkpointer` takes them.
    """
    generator = own_generator(model.random_state)
    seeded = isinstance(model.random_state, int | np.integer)
    parameters = {k: v for k, v in model.get_params(deep=False).items() if k not in _NOT_COMPARED}
    kept = Checkpointer(
        **asked,
        data={"X": _content(table.frame), "y": _content(y.to_frame()), "sample_weight": weights},
        parameters=parameters | {"random_state": model.random_state if seeded else None},
        generator=generator,
    )
    return model.random_state if seeded else generator, kept


def _content(frame: pd.DataFrame) -> list[Any]:
    """Names, types, and a hash of each row."""
    return [[str(name) for name in frame.columns], [str(dtype) for dtype in frame.dtypes],
            pd.util.hash_pandas_object(frame, index=False).to_numpy()]  # fmt: skip
