"""What all tests share."""

import signal

import pytest


@pytest.fixture(autouse=True)
def _ctrl_c_interrupts():
    """Python's own answer to Ctrl-C, also where the tests were started with the signal ignored (in the background)."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)
