"""What the figures of the three experiments share: weights as squares, sweeps as steps, the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from chainrule.files import write_atomically
from chainrule.insight.plots.canvas import BLUE, ORANGE, pyplot


def squares(ax: Any, weights: np.ndarray, largest: float | None = None) -> None:
    """A Hinton diagram: one square for each weight, its area the size; blue is positive, orange negative."""
    largest = float(np.abs(weights).max()) if largest is None else largest
    rows, columns = weights.shape
    for i in range(rows):
        for j in range(columns):
            side = 0.92 * np.sqrt(abs(weights[i, j]) / largest)
            colour = BLUE if weights[i, j] > 0 else ORANGE
            ax.add_patch(pyplot().Rectangle((j - side / 2, i - side / 2), side, side, color=colour, linewidth=0))
    ax.set(xlim=(-0.6, columns - 0.4), ylim=(rows - 0.4, -0.6), aspect="equal", facecolor="0.93")
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def share_solved(ax: Any, sweeps: np.ndarray, limit: int, **line: Any) -> None:
    """The share of all starts that was solved after so many sweeps, as steps; 0 in `sweeps` means never."""
    taken = np.sort(sweeps[sweeps > 0])
    share = np.arange(len(taken) + 1) / len(sweeps)
    ax.step(np.r_[1, taken, limit], np.r_[share, share[-1]], where="post", **line)
    ax.set(xscale="log", xlim=(100, limit), ylim=(0, 1.02), xlabel="sweeps", ylabel="share of the starts solved")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.3)


def save(figure: Any, file: str) -> None:
    """The figure into a file, in the format that its ending names."""
    ending = Path(file).suffix.lstrip(".") or "png"
    write_atomically(file, lambda out: figure.savefig(out, format=ending, dpi=120))
    pyplot().close(figure)
