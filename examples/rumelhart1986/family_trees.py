"""The family trees (figures 2 to 4 of the paper): 24 people, 12 relations, who stands in it to whom.

The paper's settings, as its text has them, do not train this network in our hands; the table says what does.

python family_trees.py --figure family_trees.png
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from family import PEOPLE, coded
from starts import arguments, sigmoid, split, squared

import chainrule as cr
from chainrule.descent import Method, Schedule, get_method

# 24 people + 12 relations → 6 + 6 → 12 → 6 → 24: the matrices, then the biases
SHAPES = [(24, 6), (12, 6), (12, 12), (12, 6), (6, 24), (1, 6), (1, 6), (1, 12), (1, 6), (1, 24)]
K = sum(rows * columns for rows, columns in SHAPES)
CASES, HELD_OUT = 104, 4
EARLY = 20  # sweeps at half the step size and with a momentum of 0.5


def outputs(W: Any, person: np.ndarray, relation: np.ndarray) -> Any:
    """ŷ (S × N × 24) of S networks; person is N × 24 or S × N × 24, relation N × 12 or S × N × 12."""
    A_person, A_relation, A_2, A_3, A_4, b_person, b_relation, b_2, b_3, b_4 = split(W, SHAPES)
    y = [sigmoid(person @ A_person + b_person), sigmoid(relation @ A_relation + b_relation)]
    y = sigmoid(np.concatenate(y, axis=-1) @ A_2 + b_2)
    return sigmoid(sigmoid(y @ A_3 + b_3) @ A_4 + b_4)


def good_enough(Y: Any, d: np.ndarray) -> Any:
    """Where an output is counted as without error: above 0.8 where it should be 1, below 0.2 where it should be 0."""
    return np.where(d == 1.0, Y > 0.8, Y < 0.2)


def to_the_target(Y: Any, d: np.ndarray) -> Any:
    """E with y − d until an output is good enough: it falls to 0 there by a jump."""
    return squared(np.where(good_enough(Y, d), d, Y), d)


def to_the_bound(Y: Any, d: np.ndarray) -> Any:
    """E with the way that is left to 0.8 or 0.2: it falls to 0 there without a jump."""
    bound = np.where(d == 1.0, 0.8, 0.2)
    return squared(np.where(good_enough(Y, d), bound, Y), bound)


def _move(w, g, v, t, step, momentum, decay):
    w, (v,) = get_method("momentum").advance(w, g, (v,), t, step=step, momentum=0.5 if t <= EARLY else momentum)
    return (1.0 - decay) * w, v


# chainrule's momentum; after each step every weight is made smaller, as the paper does (AdamW's decay has γ in it).
MOVE = Method("momentum1986", _move, ("v",), {"step": 0.01, "momentum": 0.9, "decay": 0.002})
STEPS = Schedule("half_at_first", lambda t, T: np.where(t < EARLY, 0.5, 1.0))


@dataclass(frozen=True)
class Trial:
    """One way to train: first weights in ±`size`, the later step size, the share that a weight loses each sweep."""

    name: str
    size: float
    step: float
    decay: float
    error: Callable[[Any, np.ndarray], Any] = to_the_target


TRIALS = (
    Trial("the paper's settings, first weights ±0.3", 0.3, 0.01, 0.002),
    Trial("the paper's settings, first weights ±1", 1.0, 0.01, 0.002),
    Trial("… error measured to the bound", 1.0, 0.01, 0.002, to_the_bound),
    Trial("… without decay", 1.0, 0.01, 0.0),
    Trial("ε × 5, decay / 10", 1.0, 0.05, 0.0002),
    Trial("ε × 10, decay as in the paper", 1.0, 0.1, 0.002),
    Trial("ε × 10, decay as in the paper, error to the bound", 1.0, 0.1, 0.002, to_the_bound),
)


@dataclass(frozen=True)
class Outcome:
    """What S networks know afterwards: which of the 104 questions each answers (S × 104), which it had not seen."""

    W: np.ndarray
    right: np.ndarray
    held_out: np.ndarray

    @property
    def trained(self) -> float:
        """The share of the training questions that are answered."""
        return float(self.right[~self.held_out].mean())

    @property
    def unseen(self) -> tuple[int, int]:
        """(answered, asked) of the held-out questions."""
        return int(self.right[self.held_out].sum()), int(self.held_out.sum())


def answers(W: np.ndarray) -> np.ndarray:
    """For each network and question whether all 24 outputs are on the right side of ½ (S × 104)."""
    person, relation, d = coded()
    return np.all((outputs(W, person, relation) > 0.5) == (d > 0.5), axis=-1)


def beginning(trial: Trial, starts: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(W, held out): first weights S × K, and four questions of each start, its own, that it does not see (S × 104)."""
    rng = np.random.default_rng(seed)
    held_out = np.argsort(rng.random((starts, CASES)), axis=1) < HELD_OUT
    return rng.uniform(-trial.size, trial.size, (starts, K)), held_out


def run(trial: Trial, starts: int, sweeps: int, seed: int) -> Outcome:
    """Train `starts` networks on 100 questions each."""
    W, held_out = beginning(trial, starts, seed)
    seen = np.array([np.flatnonzero(~hidden) for hidden in held_out])
    person, relation, d = (x[seen] for x in coded())
    path = cr.minimize(
        lambda W: trial.error(outputs(W, person, relation), d), W, MOVE, step=trial.step * STEPS, decay=trial.decay,
        max_iter=sweeps, tol_gradient=0.0, record="ends",
    )  # fmt: skip
    W = path.points[-1]
    return Outcome(W, answers(W), held_out)


def trait(less: str, more: str) -> np.ndarray:
    """−1 for the people named in `less`, 1 for those in `more`, 0 for others, and the same in the other tree (24)."""
    one_tree = [1.0 * (name in more.split()) - (name in less.split()) for name in PEOPLE[:12]]
    return np.tile(one_tree, 2)


# What the paper saw units of the first layer tell.
TRAITS = {
    "nationality": np.repeat([-1.0, 1.0], 12),
    "generation": trait("Christopher Penelope Andrew Christine", "Colin Charlotte"),
    "branch": trait("Christopher Penelope Arthur Margaret Victoria", "Andrew Christine James Jennifer Charles"),
}


def correlations(W: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """|correlation| of a trait's codes with the weights from the people to each of the 6 units (S × 6)."""
    A = split(W, SHAPES[:1])[0]
    A = A - A.mean(axis=1, keepdims=True)
    t = codes - codes.mean()
    return np.abs(np.einsum("skd,k->sd", A, t)) / (np.linalg.norm(A, axis=1) * np.linalg.norm(t))


def draw(found: Outcome, file: str) -> None:
    """Figure 4: the weights from the people to their six units, of the network that answers most."""
    from drawing import save, squares

    from chainrule.insight.plots.canvas import pyplot

    best = int(np.argmax(found.right.sum(axis=1)))
    A = split(found.W[best : best + 1], SHAPES[:1])[0][0]
    order = sorted(range(12), key=lambda k: (TRAITS["generation"][k], TRAITS["branch"][k]))
    figure, axes = pyplot().subplots(6, 1, figsize=(9, 10), layout="constrained", sharex=True)
    for unit, ax in enumerate(axes):
        squares(ax, np.stack([A[order, unit], A[[12 + k for k in order], unit]]), np.abs(A).max())
        ax.set_yticks((0, 1), ("English", "Italian"))
        tells = "; ".join(
            f"{name} {correlations(found.W[best : best + 1], codes)[0, unit]:.2f}" for name, codes in TRAITS.items()
        )
        ax.set_title(f"unit {unit}   |correlation| with {tells}", fontsize=9, loc="left")
    names = [f"{PEOPLE[k]}\n{PEOPLE[12 + k]}" for k in order]
    axes[-1].set_xticks(range(12), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    for ax in axes:
        for place in (3.5, 9.5):
            ax.axvline(place, color="0.4", linewidth=1, linestyle=":")
    save(figure, file)


def main(argv: list[str] | None = None) -> None:
    given = arguments("The family trees, figures 2 to 4 of Rumelhart, Hinton & Williams 1986.", 10, 1500, argv)
    print(f"{CASES} questions, {HELD_OUT} of them held out, {given.starts} starts, {given.sweeps:,} sweeps")
    print(f"{'':52}{'ε':>6}{'decay':>8}{'trained':>9}{'held out':>10}")
    for trial in TRIALS:
        found = run(trial, given.starts, given.sweeps, given.seed)
        right, asked = found.unseen
        print(f"{trial.name:52}{trial.step:6}{trial.decay:8}{found.trained:9.1%}{f'{right}/{asked}':>10}", flush=True)
    print("of the last: the unit that tells most of a trait, median |correlation| of the starts (at first weights)")
    at_first, _ = beginning(trial, given.starts, given.seed)
    for name, codes in TRAITS.items():
        after, before = (np.median(correlations(W, codes).max(axis=1)) for W in (found.W, at_first))
        print(f"  {name}: {after:.2f} ({before:.2f})")
    if given.figure:
        draw(found, given.figure)


if __name__ == "__main__":
    main()
