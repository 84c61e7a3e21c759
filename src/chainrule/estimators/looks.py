"""Floor 4, estimators: methods that hand a fitted model to the room that looks into it, one line each."""

from __future__ import annotations

from typing import Any


class LooksMixin:
    """What a fitted estimator can be asked: explain, replay, formula, summary, health, pictures and a report."""

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

    def plot_surface(self, X: Any, y: Any, ax: Any = None, **options: Any) -> Any:
        """The error around the solution and the training on it: see `chainrule.insight.plots.surfaces`."""
        from chainrule.insight.plots.surfaces import plot_error_surface

        return plot_error_surface(self, X, y, ax, **options)

    def health(self, X: Any, y: Any = None) -> Any:
        """Dead and saturated units, gradients layer by layer, in words: see `chainrule.insight.health.health`."""
        from chainrule.insight.health import health

        return health(self, X, y)

    def write_report(self, X: Any, y: Any = None, path: Any = "report.html", **options: Any) -> Any:
        """One HTML page about the fitted model, written to `path`: see `chainrule.insight.report.report`."""
        from chainrule.insight.report import report

        return report(self, X, y, path, **options)
