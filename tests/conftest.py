"""What all tests share."""

import signal

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _ctrl_c_interrupts():
    """Python's own answer to Ctrl-C, also where the tests were started with the signal ignored (in the background)."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture(scope="session")
def targets():
    """(loss, n, D, rng) -> n × D targets of the kind that the loss takes."""

    def draw(loss, n, D, rng):
        return {
            "real": rng.normal(size=(n, D)),
            "positive": rng.gamma(2.0, 1.0, (n, D)),
            "non-negative": rng.poisson(2.0, (n, D)).astype(float),
            "probability": rng.uniform(size=(n, D)),
            "distribution": rng.dirichlet(np.ones(D), n),
        }[loss.targets]

    return draw
