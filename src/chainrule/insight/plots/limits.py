"""Floor 5, insight.plots: the error of secants against their step: the V of truncation and rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.calculus import LimitTable

from .canvas import BLUE, GREY, ORANGE, RED, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_limit(table: LimitTable, ax: Axes | None = None) -> Axes:
    """Draw the errors of the secant's slope and of the central difference against h, both axes logarithmic.

    The two regimes are shaded and named, the step at which they meet is marked. Where the function has no derivative
    (a kink, a jump, an edge) the slopes from both sides are drawn instead.

    table : what `limit_table` returned
    ax : where to draw; a new figure without it
    """
    ax = axes_or_new(ax, figsize=(7.0, 4.4))
    ax.set_xscale("log")
    ax.set_xlabel("step h")
    if table.sides.kind == "smooth":
        _errors(table, ax)
    else:
        _slopes(table, ax)
    return ax


def _errors(table: LimitTable, ax: Axes) -> None:
    h = np.abs(table.h)
    errors = {"secant (f(a+h) − f(a))/h": table.secant_error, "central (f(a+h) − f(a−h))/2h": table.central_error}
    positive = np.concatenate([e[np.isfinite(e) & (e > 0)] for e in errors.values()])
    # an error of exactly 0 has no logarithm: it is drawn, hollow, on the floor of the figure
    floor = 10.0 ** np.floor(np.log10(positive.min()) - 1) if positive.size else 1e-17
    for (label, e), color, marker in zip(errors.items(), (BLUE, ORANGE), ("o", "s"), strict=True):
        order = np.argsort(h)
        shown = np.where(e > 0, e, floor)[order]
        ax.plot(h[order], shown, color=color, marker=marker, markersize=5, label=label)
        if np.any(e == 0):
            ax.plot(h[e == 0], np.full(np.count_nonzero(e == 0), floor), ls="", color=color, marker=marker, mfc="white")
    ax.set_yscale("log")
    ax.set_ylabel(f"error against f'({table.a:g}) = {table.exact:.6g}")
    low, high = float(h.min()), float(h.max())
    ax.set_xlim(low / 2, high * 2)
    words: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "va": "bottom", "ha": "center", "fontsize": 10}
    rounding, truncation, best = "rounding: error ~ ε/h", "truncation: error ~ h", abs(table.best_h)
    if not positive.size:
        ax.text(np.sqrt(low * high), 1.01, "no error at all: the points stand on the floor of the figure", **words)
    elif best in (low, high):
        ax.text(np.sqrt(low * high), 1.01, rounding if best == high else truncation, **words)
    else:
        ax.axvspan(low / 2, best, color=GREY, alpha=0.12, lw=0)
        ax.axvline(best, color=GREY, ls="--", lw=1)
        ax.text(np.sqrt(low / 2 * best), 1.01, rounding, **words)
        ax.text(np.sqrt(high * 2 * best), 1.01, truncation, **words)
        ax.text(best, 0.02, f" they meet at {best:.0e}", transform=ax.get_xaxis_transform(), fontsize=9, color="black")
    ax.legend(loc="upper center", frameon=False)
    ax.set_title("how near the slope of a secant comes to the derivative", pad=22, fontsize=11)


def _slopes(table: LimitTable, ax: Axes) -> None:
    h = np.abs(table.h)
    ax.plot(h, table.left, color=BLUE, marker="o", markersize=5, label="from the left (f(a) − f(a−h))/h")
    ax.plot(h, table.secant, color=ORANGE, marker="s", markersize=5, label="from the right (f(a+h) − f(a))/h")
    if np.isfinite(table.exact):
        ax.axhline(table.exact, color=RED, ls="--", lw=1, label=f"what the calculus returns: {table.exact:g}")
    if table.sides.kind != "kink":
        ax.set_yscale("symlog", linthresh=1.0)  # slopes that grow without bound, of either sign
        ax.margins(y=0.02)
    ax.set_ylabel(f"slope at {table.a:g}")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False)
    titles = {
        "kink": "a kink: the slopes on both sides differ",
        "jump": "a jump: the slopes grow as 1/h",
        "vertical": "the slopes grow without bound",
        "edge": "the function ends here",
    }
    ax.set_title(titles[table.sides.kind], fontsize=11)
