"""Floor 5, insight.plots: what every figure shares: the axes that it draws on and the colours that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Told apart by people who see few colours, in print and on a screen (Okabe and Ito, 2008).
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#7f7f7f",
)  # fmt: skip


def pyplot() -> Any:
    """Return matplotlib.pyplot, or say which extra brings it."""
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError as e:
        raise ModuleNotFoundError("figures need matplotlib: pip install 'chainrule[plot]'") from e
    return plt


def axes_or_new(ax: Axes | None, **figure: Any) -> Axes:
    """Return ``ax``, or the axes of a new figure made with the keywords of ``pyplot.subplots``."""
    if ax is not None:
        return ax
    return pyplot().subplots(layout="constrained", **figure)[1]
