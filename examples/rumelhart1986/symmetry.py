"""Mirror symmetry (figure 1 of the paper): six inputs, two hidden units, and one output that is 1 for a palindrome.

python symmetry.py --figure symmetry.png
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from starts import arguments, perceptron, split, squared, train

import chainrule as cr

SIZES = (6, 2, 1)
PAPER = {"step": 0.1, "momentum": 0.9}  # its ε and α
RANGE = 0.3  # its first weights lie between −0.3 and 0.3
PAPERS_SWEEPS = 1425
SETTLING = 1000  # sweeps more, for the weights to settle: a start counts as solved well before they do

# The ratios that the weights settle at: the paper's, and one that it does not mention.
CODES = {"1 : 2 : 4": (1.0, 2.0, 4.0), "2 : 3 : 4": (1.0, 1.5, 2.0)}
TOLERANCE = 0.05  # relative, of a ratio and of what should cancel


def data() -> tuple[np.ndarray, np.ndarray]:
    """All 64 vectors of six zeros and ones (64 × 6), and 1 where the second half mirrors the first (64 × 1)."""
    X = (np.arange(64)[:, None] >> np.arange(5, -1, -1) & 1).astype(float)
    return X, np.all(X[:, ::-1] == X, axis=1).astype(float)[:, None]


X, D = data()


def error(W: Any) -> Any:
    """E of all starts, W being S × 17."""
    return squared(perceptron(W, X, SIZES), D)


def solved(W: np.ndarray) -> np.ndarray:
    """For each start whether all 64 outputs are on the right side of ½."""
    return np.all((perceptron(W, X, SIZES) > 0.5) == (D > 0.5), axis=(1, 2))


def first_weights(starts: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-RANGE, RANGE, (starts, 17))


def settle(W: np.ndarray, sweeps: int = SETTLING) -> np.ndarray:
    """The weights after so many sweeps more."""
    return cr.minimize(error, W, "momentum", max_iter=sweeps, tol_gradient=0.0, record="ends", **PAPER).points[-1]


class Pattern(NamedTuple):
    """What figure 1 shows, measured on S networks."""

    ratios: np.ndarray  # S × 2 × 3: sizes of each hidden unit's weights in ascending order, over the smallest
    antisymmetry: np.ndarray  # S: |w_i + w_{7−i}| at its largest over the largest weight: 0 about the middle
    opposition: np.ndarray  # S: the same of the two units' weights, each over its largest: 0 for opposite signs

    def is_code(self, ratios: tuple[float, ...]) -> np.ndarray:
        """For each network whether it has these ratios, antisymmetric and with opposite signs."""
        near = np.all(np.abs(self.ratios / ratios - 1) < TOLERANCE, axis=(1, 2))
        return near & (self.antisymmetry < TOLERANCE) & (self.opposition < TOLERANCE)


def pattern(W: np.ndarray) -> Pattern:
    """The pattern of the weights from the inputs to the hidden units."""
    (A,) = split(W, [(6, 2)])
    largest = np.abs(A).max(axis=1, keepdims=True)
    sizes = np.sort(np.abs(A[:, :3] - A[:, :2:-1]) / 2, axis=1)
    return Pattern(
        np.swapaxes(sizes / sizes[:, :1], 1, 2),
        np.max(np.abs(A + A[:, ::-1]) / largest, axis=(1, 2)),
        np.max(np.abs(np.sum(A / largest, axis=2)), axis=1),
    )


def draw_unit(ax: Any, unit: int, weights: np.ndarray, bias: float, onward: float) -> None:
    """The weights from the six inputs to one hidden unit as bars, blue above 0 and orange below."""
    from chainrule.insight.plots.canvas import BLUE, ORANGE

    bars = ax.bar(range(1, 7), weights, color=[BLUE if w > 0 else ORANGE for w in weights])
    ax.bar_label(bars, [f"{w:.1f}" for w in weights], fontsize=8, padding=1)
    ax.axhline(0, color="0.3", linewidth=1)
    ax.axvline(3.5, color="0.4", linewidth=1, linestyle=":")
    ax.set_title(f"to hidden unit {unit} (bias {bias:.1f}, to the output {onward:.1f})", fontsize=10)
    ax.set(ylim=np.abs(weights).max() * np.array([-1.3, 1.3]), yticks=())
    ax.set_xticks(range(1, 7), [f"$x_{i}$" for i in range(1, 7)] if unit else [""] * 6)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def draw(runs: Any, settled: np.ndarray, limit: int, file: str) -> None:
    """One network's weights, the sweeps that the starts took, and the ratios that they settled at."""
    from drawing import save, share_solved

    from chainrule.insight.plots.canvas import BLUE, GREY, RED, pyplot

    found = pattern(settled)
    shown = settled[np.argmax(found.is_code(CODES["1 : 2 : 4"]))]
    figure = pyplot().figure(figsize=(12, 4), layout="constrained")
    grid = figure.add_gridspec(2, 3, width_ratios=(1.2, 1, 1))
    middle, right = figure.add_subplot(grid[:, 1]), figure.add_subplot(grid[:, 2])
    A, v, b = shown[:12].reshape(6, 2), shown[12:14], shown[14:16]
    for unit in range(2):
        draw_unit(figure.add_subplot(grid[unit, 0]), unit, A[:, unit], b[unit], v[unit])

    share_solved(middle, runs.sweeps, limit, color=BLUE)
    middle.axvline(PAPERS_SWEEPS, color=RED, linestyle="--", label=f"the paper: {PAPERS_SWEEPS:,}")
    middle.legend(frameon=False, loc="upper left")
    middle.set_title(f"{len(runs.taken)} of {len(runs.sweeps)} starts solved")

    for W, look in ((runs.solved[runs.sweeps > 0], {"s": 10, "color": GREY, "label": "when solved"}),
                    (settled, {"s": 40, "color": BLUE, "label": f"{SETTLING:,} sweeps later"})):  # fmt: skip
        mean = pattern(W).ratios.mean(axis=1)
        right.scatter(mean[:, 1], mean[:, 2], **look)
    right.legend(frameon=False, loc="upper left", fontsize=9)
    for name, (_, x, y) in CODES.items():
        count = int(found.is_code(CODES[name]).sum())
        right.annotate(f"{name}\n{count} starts", (x, y), (24, -12), textcoords="offset points", va="top")
    right.set(title="ratios of the weights", xlabel="middle / smallest", ylabel="largest / smallest")
    right.set(xlim=(1.1, 2.8), ylim=(1, 5.4))
    right.spines[["top", "right"]].set_visible(False)
    right.grid(alpha=0.3)
    save(figure, file)


def main(argv: list[str] | None = None) -> None:
    given = arguments("Mirror symmetry, figure 1 of Rumelhart, Hinton & Williams 1986.", 100, 20_000, argv)
    runs = train(error, solved, first_weights(given.starts, given.seed), given.sweeps, **PAPER)
    print(f"64 vectors, {int(D.sum())} of them symmetric; {given.starts} starts, at most {given.sweeps:,} sweeps")
    print(runs)
    stuck = runs.last[runs.sweeps == 0]
    if len(stuck):
        each = ", ".join(sorted(f"{float(error(w[None])):.2f}" for w in stuck))
        print(f"never solved: {len(stuck)}, with the error {each} ('never symmetric' has {0.5 * D.sum():.2f})")
    if not len(runs.taken):
        print("so there is no pattern to measure or draw; more starts or more sweeps would help")
        return
    share = np.mean(runs.taken <= PAPERS_SWEEPS)
    print(f"the paper's network took {PAPERS_SWEEPS:,} sweeps: {share:.0%} of those solved took no more")
    settled = settle(runs.solved[runs.sweeps > 0])
    found = pattern(settled)
    print(f"after {SETTLING:,} sweeps more, within {TOLERANCE:.0%}:")
    counts = {name: int(found.is_code(ratios).sum()) for name, ratios in CODES.items()}
    for name, count in counts.items():
        print(f"  {name}, antisymmetric, opposite signs: {count} of {len(settled)}")
    print(f"  something else: {len(settled) - sum(counts.values())}")
    A, b = settled[0, :12].reshape(6, 2), settled[0, 14:17]
    print(f"weights of start {np.argmax(runs.sweeps > 0)}, the first that was solved:")
    for unit in range(2):
        numbers = " ".join(f"{w:7.2f}" for w in A[:, unit])
        print(f"  inputs to unit {unit}: {numbers}   bias {b[unit]:6.2f}   to the output {settled[0, 12 + unit]:7.2f}")
    print(f"  bias of the output: {b[2]:.2f}")
    if given.figure:
        draw(runs, settled, given.sweeps, given.figure)


if __name__ == "__main__":
    main()
