"""Floor 4, estimators: methods that hand a fitted model to the room that looks into it, one line each."""

from __future__ import annotations

from typing import Any


class LooksMixin:
    """What a fitted estimator can be asked: explain, replay, formula, summary and pictures."""

    def explain(self, X: Any = None, y: Any = None, weight: Any = None, step: int | None = None) -> Any:
        """∂E/∂w of one weight as the product that the backward pass used: see `chainrule.insight.explain.explain`."""
        from chainrule.insight.explain import explain

        return explain(self, X, y, weight, step)

    def replay(self, step: int, weight: tuple | None = None) -> Any:
        """A step of a fit with record=True, opened again: see `chainrule.insight.replay.replay`."""
        from chainrule.insight.replay import replay

        return replay(self, step, weight)

    def formula(self, numbers: bool = False) -> Any:
        """The network as a composition, symbols or numbers: see `chainrule.insight.formula.formula`."""
        from chainrule.insight.formula import formula

        return formula(self, numbers)

    def summary(self) -> Any:
        """Layers, shapes, parameters, memory: see `chainrule.insight.formula.summary`."""
        from chainrule.insight.formula import summary

        return summary(self)

    def plot_history(self, ax: Any = None) -> Any:
        """The curves of training: see `chainrule.insight.plots.history.plot_history`."""
        from chainrule.insight.plots.history import plot_history

        return plot_history(self, ax=ax)

    def plot_network(self, x: Any = None, ax: Any = None) -> Any:
        """Units and weighted edges: see `chainrule.insight.plots.networks.plot_network`."""
        from chainrule.insight.plots.networks import plot_network

        return plot_network(self, x, ax)
