"""Exclusive or, in the form of the PDP book's chapter 8: one hidden unit and links from the inputs to the output.

Such a network is no plain sequence of layers, so it is written here as a NumPy function, and chainrule differentiates
it. The usual 2-2-1 network is trained in the same way, and from a few starts as a `cr.Network` too, whose gradient
comes from the compiled engine.

python xor.py --figure xor.png
"""

from __future__ import annotations

from typing import Any

import numpy as np
from starts import Runs, arguments, perceptron, sigmoid, squared, train

import chainrule as cr

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
D = np.array([0.0, 1.0, 1.0, 0.0])
RANGE = 0.3
CLOSE = 0.1  # solved: every output within so much of its target
CHAPTERS_SWEEPS = 558
BY_ENGINE = 5  # so many 2-2-1 networks are trained a second time, by the engine


def outputs(W: Any, X: np.ndarray = X) -> Any:
    """ŷ of N rows. W: 2 weights to the hidden unit, its bias; 2 direct links, the hidden unit's link, the bias.

    W may be one vector of 7 numbers (then N outputs) or S × 7 for S networks (S × N).
    """
    h = sigmoid(W[..., 0:2] @ X.T + W[..., 2:3])
    return sigmoid(W[..., 3:5] @ X.T + W[..., 5:6] * h + W[..., 6:7])


def error(W: Any) -> Any:
    """E = ½ Σ (y − d)², of one network or of all together."""
    return squared(outputs(W), D)


def close(Y: np.ndarray) -> np.ndarray:
    return np.all(np.abs(Y - D) < CLOSE, axis=-1)


def one_network(w: np.ndarray, sweeps: int) -> cr.Path:
    """The descent of one network with links from w until its outputs are close."""
    return cr.minimize(
        error, w, "momentum", step=0.5, momentum=0.9, max_iter=sweeps, tol_gradient=0.0,
        callback=lambda w, E: close(outputs(w)),
    )  # fmt: skip


def by_engine(W: np.ndarray, sweeps: int, step: float) -> Runs:
    """2-2-1 networks from the rows of W (S × 9), one after the other; the engine's backpropagation has the gradient."""
    net = cr.Network([2, 2, 1], activation="sigmoid", output="sigmoid", seed=0)
    objective = net.objective(X, D, loss="squared")

    def solved(w: np.ndarray, value: float) -> bool:
        if value > 0.5 * len(X) * CLOSE**2:  # not all can be close yet, which is told without the outputs
            return False
        net.w = w
        return bool(close(net(X)[:, 0]))

    paths = [
        cr.minimize(objective, w, "momentum", step=step, momentum=0.9, max_iter=sweeps, tol_gradient=0.0,
                    callback=solved, record="ends")
        for w in W
    ]  # fmt: skip
    last = np.stack([path.points[-1] for path in paths])
    made = np.array([path.n_iter for path in paths])
    return Runs(np.where(close(layered(last)), made, 0), last, last)


def layered(W: Any) -> Any:
    """ŷ (S × 4) of 2-2-1 networks, W being S × 9."""
    return perceptron(W, X, (2, 2, 1))[..., 0]


def by_calculus(W: np.ndarray, sweeps: int, step: float) -> Runs:
    """The same networks all at once, the gradient derived from the formula."""
    return train(lambda W: squared(layered(W), D), lambda W: close(layered(W)), W, sweeps, step=step, momentum=0.9)


def first_weights(parameters: int, starts: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-RANGE, RANGE, (starts, parameters))


def campaign(starts: int, sweeps: int, seed: int) -> dict[str, Runs]:
    """The four trials: name -> how the starts ended."""
    links, layers = first_weights(7, starts, seed), first_weights(9, starts, seed)

    def linked(step: float, momentum: float) -> Runs:
        return train(error, lambda W: close(outputs(W)), links, sweeps, step=step, momentum=momentum)

    return {
        "1 hidden and links, ε 0.5, α 0.9": linked(0.5, 0.9),
        "1 hidden and links, ε 0.5, no momentum": linked(0.5, 0.0),
        "2-2-1, ε 0.5, α 0.9": by_calculus(layers, sweeps, step=0.5),
        "2-2-1, ε 0.25, α 0.9": by_calculus(layers, sweeps, step=0.25),
    }


def draw_network(ax: Any, w: np.ndarray) -> None:
    """The network with its weights and biases; blue is positive, orange negative."""
    from chainrule.insight.plots.canvas import BLUE, ORANGE

    place = {"x₁": (0.0, 0.0), "x₂": (2.0, 0.0), "h": (1.0, 1.1), "ŷ": (1.0, 2.4)}
    edges = [("x₁", "h", w[0]), ("x₂", "h", w[1]), ("x₁", "ŷ", w[3]), ("x₂", "ŷ", w[4]), ("h", "ŷ", w[5])]
    for start, end, weight in edges:
        (a, b), (c, d) = place[start], place[end]
        ax.plot([a, c], [b, d], color=BLUE if weight > 0 else ORANGE, linewidth=1 + 0.25 * abs(weight), zorder=1)
        ax.text(a + 0.5 * (c - a), b + 0.5 * (d - b), f"{weight:.1f}", ha="center", va="center", fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
    for name, (x, y) in place.items():
        ax.scatter([x], [y], s=620, color="white", edgecolor="0.3", zorder=2)
        ax.text(x, y, name, ha="center", va="center", zorder=3)
    ax.text(1.0, 0.5, f"bias {w[2]:.1f}", ha="center", va="center", fontsize=9)
    ax.text(1.3, 2.4, f"bias {w[6]:.1f}", va="center", fontsize=9)
    ax.set(xlim=(-0.5, 2.5), ylim=(-0.4, 2.8), title="one hidden unit and direct links")
    ax.axis("off")


def draw(path: cr.Path, runs: dict[str, Runs], limit: int, file: str) -> None:
    """One solved network, its output over the unit square, and how fast the starts were solved."""
    from drawing import save, share_solved

    from chainrule.insight.plots.canvas import BLUE, GREEN, ORANGE, RED, SKY, pyplot

    figure, (left, middle, right) = pyplot().subplots(
        1, 3, figsize=(12, 4), layout="constrained", width_ratios=(0.9, 1, 1.2)
    )
    w = path.points[-1]
    draw_network(left, w)

    ticks = np.linspace(-0.2, 1.2, 101)
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    shades = middle.contourf(ticks, ticks, outputs(w, grid).reshape(101, 101), np.linspace(0, 1, 11), cmap="cividis")
    figure.colorbar(shades, ax=middle, label="ŷ", shrink=0.8)
    for x, target in zip(X, D, strict=True):
        middle.scatter(*x, s=90, color="white" if target else "black", edgecolor="0.5", zorder=3)
    middle.set(aspect="equal", xlabel="$x_1$", ylabel="$x_2$", xticks=(0, 1), yticks=(0, 1))
    middle.set_title(f"its output after {path.n_iter} sweeps\n(white: should be 1, black: 0)")

    for (name, found), colour in zip(runs.items(), (BLUE, SKY, ORANGE, GREEN), strict=True):
        share_solved(right, found.sweeps, limit, color=colour, label=name)
    right.axvline(CHAPTERS_SWEEPS, color=RED, linestyle="--", label=f"the chapter: {CHAPTERS_SWEEPS}")
    right.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.45, -0.15), ncols=2)
    right.set_title(f"{len(found.sweeps)} starts each")
    save(figure, file)


def main(argv: list[str] | None = None) -> None:
    given = arguments("Exclusive or, in the form of the PDP book and as 2-2-1.", 100, 20_000, argv)
    path = one_network(first_weights(7, 1, given.seed)[0], given.sweeps)
    w = path.points[-1]
    print(f"one network with one hidden unit: {path.n_iter} sweeps, the chapter's took {CHAPTERS_SWEEPS}")
    print(f"  to the hidden unit: {w[0]:.2f} {w[1]:.2f}, bias {w[2]:.2f}")
    print(f"  to the output: {w[3]:.2f} {w[4]:.2f}, from the hidden unit {w[5]:.2f}, bias {w[6]:.2f}")
    print("  outputs for 00 01 10 11: " + " ".join(f"{y:.3f}" for y in outputs(w)))
    runs = campaign(given.starts, given.sweeps, given.seed)
    print(f"all outputs within {CLOSE}, at most {given.sweeps:,} sweeps:")
    for name, found in runs.items():
        print(f"  {name}: {found}")
    engine = by_engine(first_weights(9, given.starts, given.seed)[:BY_ENGINE], given.sweeps, step=0.5)
    print(f"the first 2-2-1 networks by the engine: sweeps {engine.sweeps.tolist()} (0: not solved),")
    print(f"  by the calculus: {runs['2-2-1, ε 0.5, α 0.9'].sweeps[:BY_ENGINE].tolist()}")
    if given.figure:
        draw(path, runs, given.sweeps, given.figure)


if __name__ == "__main__":
    main()
