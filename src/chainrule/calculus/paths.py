"""Floor 0, calculus: the chain rule on a graph of numbers: factors one after the other, sums over paths.

A graph here is a list of steps in the order they were computed; `inputs[k]` are the steps that step k uses and
`slopes[k]` its local derivatives by them (None where no derivative passes).
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

Inputs = Sequence[Sequence[int]]
Slopes = Sequence[Sequence[float | None]]


@dataclass(frozen=True)
class Factor:
    """One factor of the chain rule, ∂(of)/∂(by)."""

    of: str
    by: str
    value: float
    paths: int  # between the two steps; with more than one the factor is itself a sum over them
    words: str = ""  # the factor as a formula, where it is one local derivative

    def __str__(self) -> str:
        number = f"{self.value + 0.0:.6g}"  # no minus before 0
        formula = f" = {self.words}" if self.words not in ("", number) else ""
        several = f"   (the sum over {counted(self.paths)} paths)" if self.paths > 1 else ""
        return f"∂{self.of}/∂{self.by}{formula} = {number}{several}"


@dataclass(frozen=True)
class Factors:
    """The factors whose product is the derivative of the output by one input, from the output back."""

    output: str
    input: str
    derivative: float
    factors: tuple[Factor, ...]

    def __len__(self) -> int:
        return len(self.factors)

    def __iter__(self):
        return iter(self.factors)

    def __getitem__(self, k):
        return self.factors[k]

    def __str__(self) -> str:
        head = f"∂{self.output}/∂{self.input} = {self.derivative + 0.0:.6g}"
        if not self.factors:
            return f"{head}, {'the function is its input' if self.output == self.input else 'no path leads there'}"
        if 1 < len(self.factors) <= 5:
            head += " = " + " · ".join(f"∂{x.of}/∂{x.by}" for x in self.factors)
        elif len(self.factors) > 5:
            head += f", the product of {len(self.factors)} factors"
        return "\n".join([head, *(f"  {x}" for x in self.factors)])


@dataclass(frozen=True)
class PathTerm:
    """One path from the output to an input, and the product of the local derivatives on it."""

    steps: tuple[str, ...]
    factors: tuple[float, ...]
    value: float

    def __str__(self) -> str:
        product = " · ".join(_some([f"{x:.6g}" for x in self.factors]))
        return f"{self.value + 0.0:>12.6g}   {' → '.join(_some(self.steps))}   {product}".rstrip()


@dataclass(frozen=True)
class Paths:
    """The derivative of the output by one input as a sum over paths, the largest in absolute value first."""

    output: str
    input: str
    derivative: float
    count: int  # of all paths
    terms: tuple[PathTerm, ...]

    @property
    def rest(self) -> float:
        """What the paths that are not listed add up to: the derivative less those that are."""
        return self.derivative - math.fsum(term.value for term in self.terms)

    def __len__(self) -> int:
        return len(self.terms)

    def __iter__(self):
        return iter(self.terms)

    def __getitem__(self, k):
        return self.terms[k]

    def __str__(self) -> str:
        many = {0: "no path leads there", 1: "1 path"}.get(self.count, f"the sum over {counted(self.count)} paths")
        lines = [f"∂{self.output}/∂{self.input} = {self.derivative + 0.0:.6g}, {many}", *(f"  {t}" for t in self.terms)]
        if (left := self.count - len(self.terms)) > 0:
            lines.append(f"  {self.rest:>12.6g}   the other {counted(left)} together")
        return "\n".join(lines)


def counted(n: int) -> str:
    """A count of any size, in words that stay short."""
    if n.bit_length() < 60:
        return f"{n:,}"
    return f"about 10^{round(n.bit_length() * math.log10(2))}"


def _some(parts: Sequence[str]) -> list[str]:
    """All of a short sequence, the two ends of a long one."""
    return list(parts) if len(parts) <= 12 else [*parts[:5], "…", *parts[-5:]]


def product(factors: Sequence[float]) -> float:
    """The product, which overflows or underflows only if it does as a whole."""
    mantissa, exponent = 1.0, 0
    for x in factors:
        mantissa, shift = math.frexp(mantissa * math.frexp(x)[0])
        exponent += shift + math.frexp(x)[1]
    try:
        return math.ldexp(mantissa, exponent)
    except OverflowError:
        return math.copysign(math.inf, mantissa)


# ---------------------------------------------------------------- which steps a path may use


def _on_paths(start: int, end: int, inputs: Inputs, slopes: Slopes) -> dict[int, list[int]]:
    """The steps that lie on a path from `start` back to `end`, the last first; with the places of their edges."""
    leads = {end}  # steps from which `end` is reached
    for k in range(end + 1, start + 1):
        if any(s is not None and i in leads for i, s in zip(inputs[k], slopes[k], strict=True)):
            leads.add(k)
    found: dict[int, list[int]] = {}
    wanted = {start} & leads
    for k in range(start, end - 1, -1):
        if k in wanted:
            wanted.discard(k)
            places = [p for p, i in enumerate(inputs[k]) if slopes[k][p] is not None and i in leads] if k > end else []
            found[k] = places
            wanted.update(inputs[k][p] for p in places)
    return found


def _count(steps: dict[int, list[int]], start: int, end: int, inputs: Inputs) -> int:
    """How many paths there are, each step's number from those above it; no path is listed."""
    waiting = {start: 1} if start in steps else {}
    for k, places in steps.items():
        if k == end:
            break
        n = waiting.pop(k)
        for p in places:
            waiting[inputs[k][p]] = waiting.get(inputs[k][p], 0) + n
    return waiting.get(end, 0)


# ---------------------------------------------------------------- the largest paths


def largest_paths(
    start: int, end: int, inputs: Inputs, slopes: Slopes, most: int
) -> tuple[int, list[tuple[list[int], list[float]]]]:
    """(number of all paths, the `most` largest in absolute value as (steps, factors)).

    The largest paths from a step begin with an edge to a step and go on by one of the largest from there, so a list of
    `most` for each step is all that is kept. They are compared by Σ ln |factor|, which does not underflow.
    """
    steps = _on_paths(start, end, inputs, slopes)
    best: dict[int, list[tuple[float, int, int]]] = {end: [(0.0, -1, 0)]}
    for k in reversed(list(steps)):
        if k == end:
            continue
        ways: list[tuple[float, int, int]] = []
        for p in steps[k]:
            size = _log(slopes[k][p])
            ways.extend((_added(size, rest), -p, -rank) for rank, (rest, _, _) in enumerate(best[inputs[k][p]]))
        best[k] = heapq.nlargest(most, ways)  # of equal ones the first place first
    found = []
    for rank in range(len(best.get(start, [])) if start in steps else 0):
        found.append(_followed(start, end, rank, best, inputs, slopes))
    found.sort(key=lambda path: -_size(product(path[1])))
    return _count(steps, start, end, inputs), found


def _followed(start, end, rank, best, inputs, slopes) -> tuple[list[int], list[float]]:
    k, steps, factors = start, [start], []
    while k != end:
        _, p, r = best[k][rank]
        factors.append(slopes[k][-p])
        k, rank = inputs[k][-p], -r
        steps.append(k)
    return steps, factors


def _log(slope: float | None) -> float:
    if slope is None or math.isnan(slope):
        return math.inf  # what is not a number is shown first
    return math.log(abs(slope)) if slope else -math.inf


def _added(a: float, b: float) -> float:
    total = a + b
    return math.inf if math.isnan(total) else total


def _size(x: float) -> float:
    return math.inf if math.isnan(x) else abs(x)


# ---------------------------------------------------------------- factors


def factors_of(start: int, end: int, inputs: Inputs, slopes: Slopes) -> list[tuple[int, int, float, int]]:
    """(of, by, value, number of paths) from `start` back to `end`, cut at every step that all paths pass."""
    steps = _on_paths(start, end, inputs, slopes)
    if not steps:
        return []
    cuts = _all_pass(steps, start, inputs)
    order, found = list(steps), []
    places = {k: n for n, k in enumerate(order)}
    for a, b in itertools.pairwise(cuts):
        value, number = {a: 1.0}, {a: 1}
        for k in order[places[a] : places[b]]:
            for p in steps[k]:
                i, slope = inputs[k][p], slopes[k][p]
                assert slope is not None
                value[i] = value.get(i, 0.0) + value[k] * slope
                number[i] = number.get(i, 0) + number[k]
        found.append((a, b, value[b], number[b]))
    return found


def _all_pass(steps: dict[int, list[int]], start: int, inputs: Inputs) -> list[int]:
    """The steps on every path, the last first: those over which no edge jumps.

    Steps on a path are numbered downward from start to end, so a path that avoids k jumps over it, and an edge that
    jumps over k belongs to such a path.
    """
    cuts, lowest = [], start
    for k, places in steps.items():
        if lowest >= k:
            cuts.append(k)
        lowest = min([lowest, *(inputs[k][p] for p in places)])
    return cuts
