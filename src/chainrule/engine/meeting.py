"""Floor 2, engine: how the threads of a kernel begin together and wait for each other."""

# mypy: ignore-errors

from chainrule.engine.columns import BEGAN, MEETING, TASKS
from chainrule.engine.jit import atomic_add, atomic_load, compiled, give_way

SPINS_BEFORE_YIELD = 4_000


@compiled
def enter(thread, n_threads, counter):
    """Thread 0 lets the others in; returns how many had come to meetings before, from which `meet` counts on."""
    if thread == 0:
        counter[BEGAN] = counter[MEETING]
        if n_threads > 1:
            atomic_add(counter, TASKS, 1)
    return counter[BEGAN]


@compiled
def meet(counter, n_threads, target):
    """Wait until all threads are here: each adds one, the last makes the counter reach the target."""
    if n_threads == 1:
        return
    atomic_add(counter, MEETING, 1)
    spins = 0
    while atomic_load(counter, MEETING) < target:
        spins += 1
        if spins > SPINS_BEFORE_YIELD:
            give_way()
