import importlib.util
import signal
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def job():
    """The module job.py beside this file."""
    spec = importlib.util.spec_from_file_location("training_job", Path(__file__).with_name("job.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _ctrl_c_interrupts():
    """Python's own answer to Ctrl-C, also where the tests were started with the signal ignored (in the background)."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)
