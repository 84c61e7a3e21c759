"""Floor 0, calculus: why a stated gradient and a numerical one part, as far as the numbers tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .graph import Graph, record
from .primitives import unbroadcast


@dataclass(frozen=True)
class Entry:
    """One entry of a gradient: where, what is stated, and the differences."""

    argument: str
    index: tuple[int, ...]
    stated: float
    numerical: float  # (f(x+h) − f(x−h))/2h
    left: float  # (f(x) − f(x−h))/h
    right: float  # (f(x+h) − f(x))/h
    jump: bool = False  # the slopes grow as 1/h: f is not continuous here, and nothing can be compared

    @property
    def where(self) -> str:
        return f"{self.argument}[{', '.join(map(str, self.index))}]" if self.index else self.argument

    def is_kink(self, h: float) -> bool:
        """Whether the slopes on both sides part: by a jump, and not by about h f'' as for a smooth function."""
        size = abs(self.numerical)
        return bool(abs(self.right - self.left) > 1e-3 * (1.0 + size) + 100 * h * size)

    def off(self, h: float, rtol: float, atol: float) -> float:
        """How many times the tolerance stated and numerical differ; 0 for a value between the two slopes of a kink."""
        allowed = atol + rtol * abs(self.numerical)
        low, high = min(self.left, self.right) - allowed, max(self.left, self.right) + allowed
        if self.jump:
            return np.inf
        if self.is_kink(h) and low <= self.stated <= high:
            return 0.0
        off = abs(self.stated - self.numerical) / allowed
        return off if np.isfinite(off) else np.inf

    def __str__(self) -> str:
        gap = f"off by {abs(self.stated - self.numerical):.3g}"
        return f"{self.where}: stated {self.stated:.9g}, numerical {self.numerical:.9g} ({gap})"


@dataclass(frozen=True)
class Evidence:
    """All that a check found."""

    f: Callable[..., Any]
    points: list[np.ndarray]
    names: list[str]
    stated: list[np.ndarray]
    numerical: list[np.ndarray]
    entries: list[Entry]
    failures: tuple[Entry, ...]
    derived: bool  # the gradient is the one that the calculus derived
    h: float
    rtol: float
    atol: float

    def agree(self, a: Any, b: Any) -> bool:
        """Whether a stated value agrees with a numerical one, with some room for the error of differences."""
        return bool(np.all(np.abs(np.asarray(a) - b) <= 10 * (self.atol + self.rtol * np.abs(b))))

    def step(self, entry: Entry, h: float) -> float:
        """How far an entry is moved."""
        return h * max(1.0, abs(float(self.points[self.names.index(entry.argument)][entry.index])))

    def difference(self, entry: Entry, h: float) -> float:
        """The central difference at an entry with another step."""
        n, step = self.names.index(entry.argument), self.step(entry, h)
        moved = []
        for s in (step, -step):
            points = [point.copy() for point in self.points]
            points[n][entry.index] += s
            moved.append(float(self.f(*(point if point.ndim else point[()] for point in points))))
        return (moved[0] - moved[1]) / (2 * step)


def reasons_of(found: Evidence) -> Iterator[str]:
    """The first causes that fit, one sentence each."""
    here = [point if point.ndim else point[()] for point in found.points]
    first, second = float(found.f(*here)), float(found.f(*here))
    if first != second:
        yield (
            f"f is not the same twice: {first:.12g}, then {second:.12g} at one point; draw its random numbers from a "
            "seed that is set inside f"
        )
        return
    if found.derived and (rules := sorted(_wrong_rules(found))):
        yield f"the rule of {', '.join(rules)} in chainrule's table does not fit its function"
    yield from _of_values(found)
    yield from _of_differences(found)
    for n, name in enumerate(found.names):
        if (reason := _of_pattern(found, n, name)) is not None:
            yield reason


def _of_values(found: Evidence) -> Iterator[str]:
    broken = [e for e in found.failures if not np.isfinite(e.stated)]
    if broken:
        yield f"the stated gradient at {broken[0].where} is {broken[0].stated}"
    lost = [e for e in found.failures if not np.isfinite(e.numerical)]
    if lost:
        yield f"f is not finite at {lost[0].where} or a step of {found.h:g} beside it"


def _of_differences(found: Evidence) -> Iterator[str]:
    """Kinks, jumps and noise: what a smaller step does to the difference."""
    for e in found.failures[:5]:
        if not (np.isfinite(e.stated) and np.isfinite(e.numerical)):
            continue
        finer = found.difference(e, found.h / 10)
        allowed = found.atol + found.rtol * abs(e.numerical)
        if e.jump:
            size = abs(e.right - e.left) * found.step(e, found.h)
            yield f"f jumps at {e.where}, by about {size:.3g}: it has no derivative there"
        elif e.is_kink(found.h):
            low, high = sorted((e.left, e.right))
            yield f"{e.where} is a kink: any number from {low:.6g} to {high:.6g} would do, {e.stated:.6g} does not"
        elif abs(finer - e.numerical) > max(100 * allowed, 0.5 * abs(e.stated - e.numerical)):
            yield (
                f"at {e.where} the difference itself is uncertain ({e.numerical:.6g}, then {finer:.6g} with a tenth of "
                "the step): f is rounded coarsely, as float32 is; compute it in float64 or take a larger h"
            )
            return


def _of_pattern(found: Evidence, n: int, name: str) -> str | None:
    """A sign, a factor, a transposition, or entries that are left out."""
    stated, numerical = found.stated[n], found.numerical[n]
    failing = [e for e in found.failures if e.argument == name and np.isfinite(e.stated) and np.isfinite(e.numerical)]
    if not failing or any(e.is_kink(found.h) for e in failing):
        return None
    if stated.ndim == 2 and len(set(stated.shape)) == 1 and found.agree(stated.T, numerical):
        return f"the stated gradient by {name} is transposed"
    if all(e.stated == 0 for e in failing):
        places = ", ".join(e.where for e in failing[:3])
        return f"0 is stated at {places}, though f changes there: a term is missing, or was taken for a constant"
    sizable = np.abs(numerical) > 1e-3 * np.max(np.abs(numerical))
    ratio = float(np.median(stated[sizable] / numerical[sizable]))
    if ratio != 0 and len(failing) >= np.count_nonzero(sizable) and found.agree(stated / ratio, numerical):
        near = round(ratio) if abs(ratio - round(ratio)) < 1e-4 else ratio
        cause = "a minus is missing or too many" if near == -1 else "a factor is missing or too many"
        return f"the stated gradient by {name} is {near:.6g} times the numerical one: {cause}"
    return None


def _wrong_rules(found: Evidence) -> set[str]:
    """The primitives of f whose rule, in one direction at this point, disagrees with a difference."""
    try:
        graph = record(found.f, *(point if point.ndim else point[()] for point in found.points))
    except TypeError:  # f branches on values, which a formula cannot
        return set()
    rng = np.random.default_rng(0)
    return {name for k in range(len(graph.nodes)) if (name := _wrong_rule(graph, k, rng))}


def _wrong_rule(graph: Graph, k: int, rng: np.random.Generator) -> str:
    node = graph.nodes[k]
    row = node.primitive
    if row is None:
        return ""
    operands = [graph.nodes[i].value for i in node.inputs]
    if np.result_type(node.value) != np.float64 or (row.kink and np.any(row.kink(*operands, **node.keywords))):
        return ""  # a difference tells nothing
    g = rng.normal(size=np.shape(node.value))[()]
    for place, i in enumerate(node.inputs):
        rule = row.pullback(place)
        if rule is None or graph.nodes[i].kind == "constant":
            continue
        extra = {"k": place} if row.takes_sequence else {}
        v = rng.normal(size=np.shape(operands[place]))[()]
        back = unbroadcast(rule(g, node.value, *operands, **node.keywords, **extra), np.shape(v))
        ends = []
        for step in (1e-6, -1e-6):
            moved = [*operands[:place], operands[place] + step * v, *operands[place + 1 :]]
            ends.append(np.asarray(row.evaluate(moved, node.keywords), dtype=float))
        stated, numerical = float(np.sum(back * v)), float(np.sum(g * (ends[0] - ends[1]) / 2e-6))
        if abs(stated - numerical) > 1e-6 + 1e-4 * abs(numerical):
            return row.name
    return ""
