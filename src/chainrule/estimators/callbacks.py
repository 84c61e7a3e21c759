"""Floor 4, estimators: scikit-learn's callback protocol on our events, and plain functions as its callbacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.callback import CallbackSupportMixin, FitCallback

from chainrule.training import Event, reason_of


class CallbackMixin(CallbackSupportMixin):
    """`set_callbacks` for an estimator whose `fit` makes `FitTasks` and carries `sklearn.callback.with_callbacks`."""

    def set_callbacks(self, *callbacks):
        """Set what is called while `fit` runs; none clears it. `clone` and searches take the callbacks along.

        Parameters
        ----------
        *callbacks : plain functions of an event (`chainrule.training.Event`, one an epoch), objects that can be called
            so, or callbacks of scikit-learn's protocol (`sklearn.callback`). A plain one ends training with True or a
            text that says why; one of scikit-learn's with True. With `n_init` they see one training after another,
            each from its epoch 1 on (a logger writes these steps again), and end the one that they are in: the next
            one follows, unless one of scikit-learn's says True at the end of a task called "start".

        Returns
        -------
        self

        Raises
        ------
        TypeError : for what is neither.
        """
        return super().set_callbacks(*map(_as_fit_callback, callbacks))


def _as_fit_callback(callback: Any) -> Any:
    # A class satisfies scikit-learn's runtime check of protocols; it refuses classes itself, with its own sentence.
    if isinstance(callback, type | FitCallback) or not callable(callback):
        return callback
    return EventCallback(callback)


class EventCallback:
    """A plain function of our events as a callback of scikit-learn's protocol."""

    def __init__(self, function: Callable[[Event], Any]):
        self.function = function

    def setup(self, estimator: Any, context: Any) -> None:
        """Nothing is prepared."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing is put away."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Our events come at the end of epochs only."""

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        """Show the function the epoch's event, which `FitTasks` left in the context; True to stop."""
        event = getattr(context, "event", None)
        if event is None:
            return False
        reason = reason_of(self.function(event), self.function)
        context.reason = getattr(context, "reason", "") or reason
        return bool(reason)


class FitTasks:
    """One fit as a tree of scikit-learn's tasks: the fit, and under it one task an epoch.

    Made in `fit` once the number of epochs is known; `fit` itself must carry `sklearn.callback.with_callbacks`. It is a
    consumer of events; `before(order)` begins an epoch's task when the loop asks for the order of its rows::

        tasks = FitTasks(self, X, y, n_epochs, fitted=lambda: {"network_": self.network_.copy()}, metadata={…})
        training = Training(run, n_epochs, tasks.before(order), step_size)
        outcome = chainrule.training.run(training, rules=[…, tasks])
        tasks.end()

    Parameters
    ----------
    estimator : what is fitted
    X, y : as the caller of `fit` gave them: callbacks such as ScoringMonitor score with them
    n_epochs : at most so many
    fitted : gives the attributes that make a copy of the estimator predict as if training had stopped now; its arrays
        must not move afterwards
    metadata : what came beside X and y by name, `sample_weight` for one
    parent : the task of the whole fit where this is one of its starts, as `fit_starts` makes it

    An epoch's context has our `event`, so that scikit-learn's callbacks can read it too.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        n_epochs: int,
        fitted: Callable[[], Mapping[str, Any]],
        metadata: Mapping[str, Any] | None = None,
        parent: Any = None,
    ):
        self._estimator, self._fitted = estimator, fitted
        self._given = {"estimator": estimator, "X": X, "y": y, "metadata": dict(metadata or {})}
        if parent is None:
            self._fit = estimator._init_callback_context(max_subtasks=n_epochs)
        else:
            self._fit = parent.subcontext(task_name="start", max_subtasks=n_epochs)
        # Without callbacks nobody asks for the epochs' tasks.
        self._watched = bool(getattr(estimator, "_skl_callbacks", []))
        self._n_epochs = n_epochs
        self._epoch: Any = None
        self._fit.call_on_fit_task_begin(**self._given)

    def before(self, order: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
        """`order`, with the epoch's task begun first."""

        def begin() -> np.ndarray:
            if self._watched:
                self._epoch = self._fit.subcontext(task_name="epoch")
                self._epoch.call_on_fit_task_begin(**self._given)
            return order()

        return begin

    def __call__(self, event: Event) -> str | bool:
        """The epoch's task is done: whether a callback wants to stop, or why."""
        if self._epoch is None:
            return False
        task, self._epoch = self._epoch, None
        task.event = event
        stop = task.call_on_fit_task_end(**self._given, reconstruction_attributes=self._attributes)
        return stop and (getattr(task, "reason", "") or "a callback asked for it")

    def epochs_at_once(self) -> int:
        """Any number, where there are no callbacks."""
        return 1 if self._watched else self._n_epochs

    def end(self) -> bool:
        """The fit is done; a task whose epoch was broken off ends as an empty one, as scikit-learn's own do.

        Returns whether a callback wants no further task like this one: of a start, no further start.
        """
        if self._epoch is not None:
            self._epoch.call_on_fit_task_end(estimator=self._estimator)
            self._epoch = None
        return bool(self._fit.call_on_fit_task_end(**self._given, reconstruction_attributes=self._attributes))

    def _attributes(self) -> dict[str, Any]:
        return dict(self._fitted())
